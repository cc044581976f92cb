"""The command `g1 dataset`: looks at datasets, checks them, joins them."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from g1_data.contact_sheet import contact_sheet
from g1_data.dataset import Dataset
from g1_data.merge import merge
from g1_data.validate import validate


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `g1 dataset ARGV`; exit code 0: fine, 1: the dataset has faults, 2: wrong use."""
    parser = argparse.ArgumentParser(prog='g1 dataset', description=__doc__)
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
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2


def _info(root: Path, picture: Path | None) -> int:
    dataset = Dataset(root)
    frames = sum(episode.length for episode in dataset.episodes)
    height, width = dataset.image_shape
    size = sum(path.stat().st_size for path in root.rglob('*') if path.is_file())
    table = Table(title=str(root), show_header=False)
    for name, value in (
        ('format', f'LeRobot {dataset.info["codebase_version"]}'),
        ('robot', dataset.info['robot_type']),
        ('episodes', f'{len(dataset.episodes)}'),
        ('frames', f'{frames} at {dataset.fps} fps, {frames / dataset.fps / 60:.1f} min'),
        ('video', f'{width}x{height}'),
        ('size', f'{size / 1e6:.1f} MB'),
        ('hash', dataset.content_hash()[:16]),
    ):
        table.add_row(name, value)
    console = Console()
    console.print(table)
    if dataset.episodes:
        console.print(_tasks(dataset), _joints(dataset))
    if picture is not None:
        contact_sheet(dataset, picture)
        console.print(f'contact sheet: {picture}')
    return 0


def _tasks(dataset: Dataset) -> Table:
    table = Table('task', 'episodes', 'shortest [s]', 'longest [s]')
    for task, count in Counter(episode.task for episode in dataset.episodes).items():
        seconds = [e.length / dataset.fps for e in dataset.episodes if e.task == task]
        table.add_row(task, str(count), f'{min(seconds):.1f}', f'{max(seconds):.1f}')
    return table


def _joints(dataset: Dataset) -> Table:
    table = Table('joint [rad, m]', 'state min', 'mean', 'max', 'action min', 'mean', 'max')
    state, action = dataset.stats['observation.state'], dataset.stats['action']
    for k, name in enumerate(dataset.joint_names):
        numbers = [s[key][k] for s in (state, action) for key in ('min', 'mean', 'max')]
        table.add_row(name, *(f'{number:.3f}' for number in numbers))
    return table


def _validate(root: Path) -> int:
    console = Console()
    faults = validate(
        root,
        lambda episodes: track(
            tuple(episodes), 'checking', console=console, disable=not console.is_terminal
        ),
    )
    for fault in faults:
        console.print(fault, markup=False, highlight=False, soft_wrap=True)
    if faults:
        console.print(f'[red]{root}: {len(faults)} faults', soft_wrap=True)
        return 1
    console.print(f'[green]{root}: valid, {len(Dataset(root).episodes)} episodes', soft_wrap=True)
    return 0


def _merge(parts: list[Path], out: Path) -> int:
    merged = merge(parts, out)
    print(f'{out}: {len(merged.episodes)} episodes of {len(parts)} datasets')
    return 0
