"""The command `g1 dataset`: looks at datasets, checks, joins, divides and converts them."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from g1_data import assemble, layout, version3
from g1_data.contact_sheet import contact_sheet
from g1_data.dataset import Dataset
from g1_data.disk import explained, new_file
from g1_data.mapping import ColumnMap
from g1_data.repair import rewrite_statistics
from g1_data.schema import ACTION_KEY, STATE_KEY
from g1_data.validate import validate


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `g1 dataset ARGV`; exit code 0: fine, 1: the dataset has faults, 2: wrong use."""
    parser = argparse.ArgumentParser(
        prog='g1 dataset',
        description=__doc__,
        epilog='g1 dataset browse DATASET opens the episodes in the browser, to play, judge and '
        'cut them; g1 dataset replay DATASET EPISODE plays the commands of one on a running robot.',
    )
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    info = _command(commands, 'info', 'table of what a dataset holds', _info)
    info.add_argument('--picture', type=Path, help='also write a contact sheet of the episodes')
    info.add_argument('--hash', action='store_true', help='also the SHA-256 over all of its files')
    _command(commands, 'validate', 'check every rule of the format', _validate)
    join = _command(commands, 'merge', 'write several datasets as one new one', _merge)
    join.add_argument('parts', type=Path, nargs='+', help='folders of the datasets to join')
    divide = _command(commands, 'split', 'write a dataset as two new ones', _split)
    divide.add_argument('share', type=float, help="part of every task's episodes, 0 to 1")
    divide.add_argument('--rest', type=Path, required=True, help='new dataset of the other ones')
    leave = _command(commands, 'drop', 'write a dataset without some of its episodes', _drop)
    leave.add_argument('episodes', type=int, nargs='+', help='episodes to leave out')
    _command(commands, 'stats', 'compute the statistics from the data again', _stats)
    turn = _command(commands, 'convert', 'write a dataset in the other LeRobot format', _convert)
    turn.add_argument('--to', choices=('v2.1', 'v3.0'), required=True, help='format to write')
    for command in (join, divide, leave, turn):
        command.add_argument('--out', type=Path, required=True, help='folder of the new dataset')
    arguments = parser.parse_args(argv)
    try:
        mapping = ColumnMap.read(arguments.map) if getattr(arguments, 'map', None) else None
        return int(arguments.run(arguments, mapping))
    except (OSError, ValueError) as error:
        said = explained(error) if isinstance(error, OSError) else error
        print(f'error: {said}', file=sys.stderr)
        return 2


def _command(
    commands: Any, name: str, what: str, run: Callable[[Any, ColumnMap | None], int]
) -> argparse.ArgumentParser:
    """A command that `run` does; all but those that change a dataset or take several take a map."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=what, description=what)
    if name != 'merge':
        parser.add_argument('root', type=Path, help='folder of the dataset')
    if name != 'stats':
        parser.add_argument(
            '--map',
            type=Path,
            help="YAML file that says which of somebody else's columns are what (see "
            'g1_data.mapping)',
        )
    parser.set_defaults(run=run)
    return parser


def _info(arguments: Any, mapping: ColumnMap | None) -> int:
    root: Path = arguments.root
    dataset = Dataset(root, mapping)
    picture = new_file(arguments.picture) if arguments.picture else None
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
        *([('hash', dataset.content_hash(_hashing)[:16])] if arguments.hash else ()),
    ):
        table.add_row(name, value)
    console = Console()
    console.print(table)
    for episode in dataset.episodes:
        if episode.health and not episode.health.get('healthy', True):
            text = f'episode {episode.index}: {episode.health.get("text", "")}'
            console.print(text, style='yellow', markup=False)
    if dataset.episodes:
        console.print(_tasks(dataset))
        try:
            console.print(_joints(dataset))
        except ValueError as error:
            console.print(str(error), style='yellow', markup=False, soft_wrap=True)
    if picture is not None:
        contact_sheet(dataset, picture, lambda episodes: _track(episodes, 'drawing'))
        console.print(f'contact sheet: {picture}', soft_wrap=True)
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
        padding=(0, 1, 0, 0),  # seven columns in a terminal of 80
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


def _validate(arguments: Any, mapping: ColumnMap | None) -> int:
    console, root = Console(), arguments.root
    faults = validate(root, lambda episodes: _track(episodes, 'checking'), mapping)
    for fault in faults:
        console.print(fault, markup=False, highlight=False, soft_wrap=True)
    if faults:
        many = '1 fault' if len(faults) == 1 else f'{len(faults)} faults'
        console.print(f'[red]{root}: {many}', soft_wrap=True)
        return 1
    episodes = len(Dataset(root, mapping).episodes)
    many = '1 episode' if episodes == 1 else f'{episodes} episodes'
    console.print(f'[green]{root}: valid, {many}', soft_wrap=True)
    return 0


def _merge(arguments: Any, mapping: ColumnMap | None) -> int:
    parts, out = arguments.parts, arguments.out
    merged = assemble.merge(parts, out, _copying, mapping)
    print(f'{out}: {len(merged.episodes)} episodes of {len(parts)} datasets')
    return 0


def _split(arguments: Any, mapping: ColumnMap | None) -> int:
    outs = arguments.rest, arguments.out
    for made in assemble.split(arguments.root, arguments.share, outs, _copying, mapping):
        print(f'{made.root}: {len(made.episodes)} episodes')
    return 0


def _drop(arguments: Any, mapping: ColumnMap | None) -> int:
    root, out = arguments.root, arguments.out
    left = assemble.drop(root, arguments.episodes, out, _copying, mapping)
    print(f'{out}: {len(left.episodes)} of the {len(Dataset(root, mapping).episodes)} episodes')
    return 0


def _stats(arguments: Any, _mapping: ColumnMap | None) -> int:
    root = arguments.root
    kept = rewrite_statistics(root, lambda episodes: _track(episodes, 'computing'))
    print(f'{root}: statistics written; the old ones are kept in {kept}')
    return 0


def _convert(arguments: Any, mapping: ColumnMap | None) -> int:
    to_version3 = arguments.to == version3.VERSION
    if layout.version(arguments.root) == arguments.to:
        raise ValueError(
            f'{arguments.root} is LeRobot {arguments.to} already, there is nothing to convert'
        )
    convert = version3.to_version3 if to_version3 else version3.from_version3
    convert(arguments.root, arguments.out, lambda rows: _track(rows, 'converting'), mapping)
    print(f'{arguments.out}: written as LeRobot {arguments.to}')
    return 0


def _hashing(files: Iterable[Path]) -> Iterable[Path]:
    return _track(files, 'hashing')


def _copying(picks: Iterable[assemble.Pick]) -> Iterable[assemble.Pick]:
    return _track(picks, 'copying')


def _track(items: Iterable[Any], what: str) -> Iterable[Any]:
    console = Console(stderr=True)
    return track(tuple(items), what, console=console, disable=not console.is_terminal)
