"""The command `g1 dataset`: looks at datasets, checks, joins, divides and converts them."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from g1_data import assemble, version3
from g1_data.contact_sheet import contact_sheet
from g1_data.dataset import Dataset
from g1_data.repair import rewrite_statistics
from g1_data.schema import ACTION_KEY, STATE_KEY
from g1_data.validate import validate


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `g1 dataset ARGV`; exit code 0: fine, 1: the dataset has faults, 2: wrong use."""
    parser = argparse.ArgumentParser(
        prog='g1 dataset',
        description=__doc__,
        epilog='g1 dataset replay DATASET EPISODE plays the commands of an episode on a running '
        'robot (g1 dataset replay --help).',
    )
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    info = commands.add_parser('info', help='table of what a dataset holds')
    info.add_argument('root', type=Path, help='folder of the dataset')
    info.add_argument('--picture', type=Path, help='also write a contact sheet of the episodes')
    info.set_defaults(run=lambda a: _info(a.root, a.picture))
    check = commands.add_parser('validate', help='check every rule of the format')
    check.add_argument('root', type=Path, help='folder of the dataset')
    check.set_defaults(run=lambda a: _validate(a.root))
    join = commands.add_parser('merge', help='write several datasets as one new one')
    join.add_argument('parts', type=Path, nargs='+', help='folders of the datasets to join')
    join.add_argument('--out', type=Path, required=True, help='folder of the new dataset')
    join.set_defaults(run=lambda a: _merge(a.parts, a.out))
    divide = commands.add_parser('split', help='write a dataset as two new ones')
    divide.add_argument('root', type=Path, help='folder of the dataset')
    divide.add_argument('share', type=float, help="part of every task's episodes, 0 to 1")
    divide.add_argument('--rest', type=Path, required=True, help='new dataset of the other ones')
    divide.add_argument('--out', type=Path, required=True, help='new dataset of that part')
    divide.set_defaults(run=lambda a: _split(a.root, a.share, a.rest, a.out))
    leave = commands.add_parser('drop', help='write a dataset without some of its episodes')
    leave.add_argument('root', type=Path, help='folder of the dataset')
    leave.add_argument('episodes', type=int, nargs='+', help='episodes to leave out')
    leave.add_argument('--out', type=Path, required=True, help='folder of the new dataset')
    leave.set_defaults(run=lambda a: _drop(a.root, a.episodes, a.out))
    count = commands.add_parser('stats', help='compute the statistics from the data again')
    count.add_argument('root', type=Path, help='folder of the dataset; the old file is kept')
    count.set_defaults(run=lambda a: _stats(a.root))
    turn = commands.add_parser('convert', help='write a dataset in the other LeRobot format')
    turn.add_argument('root', type=Path, help='folder of the dataset, v2.1 or v3.0')
    turn.add_argument('--to', choices=('v2.1', 'v3.0'), required=True, help='format to write')
    turn.add_argument('--out', type=Path, required=True, help='folder of the new dataset')
    turn.set_defaults(run=lambda a: _convert(a.root, a.to, a.out))
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2


def _info(root: Path, picture: Path | None) -> int:
    dataset = Dataset(root)
    frames = sum(episode.length for episode in dataset.episodes)
    size = sum(path.stat().st_size for path in root.rglob('*') if path.is_file())
    table = Table(title=str(root), show_header=False)
    for name, value in (
        ('format', f'LeRobot {dataset.info["codebase_version"]}'),
        ('robot', dataset.schema.robot_type),
        ('episodes', f'{len(dataset.episodes)}'),
        ('frames', f'{frames} at {dataset.fps} fps, {frames / dataset.fps / 60:.1f} min'),
        *(
            (f'camera {name}', '{1}x{0}'.format(*video.shape) + f', {video.codec}')
            for name, video in dataset.schema.videos.items()
        ),
        ('size', f'{size / 1e6:.1f} MB'),
        ('hash', dataset.content_hash(lambda files: _track(files, 'hashing'))[:16]),
    ):
        table.add_row(name, value)
    console = Console()
    console.print(table)
    for episode in dataset.episodes:
        if episode.health and not episode.health['healthy']:
            console.print(f'[yellow]episode {episode.index}: {episode.health["text"]}')
    if dataset.episodes:
        console.print(_tasks(dataset))
        try:
            console.print(_joints(dataset))
        except ValueError as error:
            console.print(f'[yellow]{error}', soft_wrap=True)
    if picture is not None:
        contact_sheet(dataset, picture, lambda episodes: _track(episodes, 'drawing'))
        console.print(f'contact sheet: {picture}')
    return 0


def _tasks(dataset: Dataset) -> Table:
    table = Table('task', 'episodes', 'shortest [s]', 'longest [s]')
    for task, count in Counter(episode.task for episode in dataset.episodes).items():
        seconds = [e.length / dataset.fps for e in dataset.episodes if e.task == task]
        table.add_row(task, str(count), f'{min(seconds):.1f}', f'{max(seconds):.1f}')
    return table


def _joints(dataset: Dataset) -> Table:
    """Ranges of what states and actions are made of."""
    table = Table(
        Column('joint [rad, m]', no_wrap=True),
        'state min',
        'mean',
        'max',
        'action min',
        'mean',
        'max',
    )
    statistics = dataset.statistics(STATE_KEY, ACTION_KEY)
    vectors = ((STATE_KEY, dataset.state_names), (ACTION_KEY, dataset.action_names))
    for name in dict.fromkeys((*dataset.state_names, *dataset.action_names)):
        cells = []
        for key, names in vectors:
            for what in ('min', 'mean', 'max'):
                values = statistics[key][what]
                known = name in names and len(values) == len(names)
                cells.append(f'{values[names.index(name)]:.3f}' if known else '')
        table.add_row(name, *cells)
    return table


def _validate(root: Path) -> int:
    console = Console()
    faults = validate(root, lambda episodes: _track(episodes, 'checking'))
    for fault in faults:
        console.print(fault, markup=False, highlight=False, soft_wrap=True)
    if faults:
        console.print(f'[red]{root}: {len(faults)} faults', soft_wrap=True)
        return 1
    console.print(f'[green]{root}: valid, {len(Dataset(root).episodes)} episodes', soft_wrap=True)
    return 0


def _merge(parts: list[Path], out: Path) -> int:
    merged = assemble.merge(parts, out, lambda picks: _track(picks, 'copying'))
    print(f'{out}: {len(merged.episodes)} episodes of {len(parts)} datasets')
    return 0


def _split(root: Path, share: float, rest: Path, out: Path) -> int:
    for made in assemble.split(root, share, (rest, out), lambda picks: _track(picks, 'copying')):
        print(f'{made.root}: {len(made.episodes)} episodes')
    return 0


def _drop(root: Path, episodes: list[int], out: Path) -> int:
    left = assemble.drop(root, episodes, out, lambda picks: _track(picks, 'copying'))
    print(f'{out}: {len(left.episodes)} of the {len(Dataset(root).episodes)} episodes')
    return 0


def _stats(root: Path) -> int:
    kept = rewrite_statistics(root, lambda episodes: _track(episodes, 'computing'))
    print(f'{root}: statistics written; the old ones are kept in {kept}')
    return 0


def _convert(root: Path, version: str, out: Path) -> int:
    convert = version3.to_version3 if version == version3.VERSION else version3.from_version3
    convert(root, out, lambda episodes: _track(episodes, 'converting'))
    print(f'{out}: written as LeRobot {version}')
    return 0


def _track(items: Iterable[Any], what: str) -> Iterable[Any]:
    console = Console(stderr=True)
    return track(tuple(items), what, console=console, disable=not console.is_terminal)
