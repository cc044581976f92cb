"""`dit4dit correct`: an expert corrects a policy in an environment; what it shows is a dataset."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dit4dit_policy.evaluation.arguments import (
    add_attempt_arguments,
    check_attempt_arguments,
    tasks_of,
)
from dit4dit_policy.evaluation.processes import in_processes
from dit4dit_policy.inference.shipped import checkpoint_for

if TYPE_CHECKING:
    from rich.table import Table

    from dit4dit_policy.evaluation.rollouts import Attempt
    from dit4dit_policy.training.corrections import Correction

_OUTCOMES = ('corrected', 'done', 'lost', 'failed')
_JOURNAL = 'attempts.jsonl'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `dit4dit correct`."""
    add_attempt_arguments(
        parser, 100_000, '; evaluation begins at 10000',
        others='; mistaken: no policy, but the expert, wrong about where things are',
    )  # fmt: skip
    parser.add_argument(
        '--out', type=Path, required=True, metavar='DIR',
        help='gets a LeRobot v2.1 dataset for each task; goes on there where it was interrupted',
    )  # fmt: skip
    parser.add_argument(
        '--cameras', type=lambda names: tuple(names.split(',')), default=(), metavar='NAMES',
        help='recorded, as head,left_wrist (default: those that the policy looks at)',
    )  # fmt: skip


@dataclass(frozen=True)
class Collection:
    """Which corrections are collected: the arguments of `dit4dit correct`, under their names."""

    env: str
    task: str
    policy: str
    checkpoint: str
    episodes: int
    seed_start: int
    latency: float
    workers: int
    out: Path
    cameras: tuple[str, ...] = ()


def main(arguments: argparse.Namespace) -> int:
    """Records corrections; ValueError or FileNotFoundError says what is wrong with arguments."""
    check_attempt_arguments(arguments)
    collection = Collection(**{f.name: getattr(arguments, f.name) for f in fields(Collection)})
    asked = set(collection.task.split(','))
    folders = (f.name for f in sorted(collection.out.glob('[!.]*')) if f.is_dir())
    there = [f for f in folders if asked & {f, 'all'} and not _parts_of(collection, f)]
    if there:
        raise ValueError(f'--out: {collection.out} has corrections of {", ".join(there)} already')
    collect(collection)
    return 0


def datasets(collection: Collection) -> list[Path]:
    """Those that there are of it, one a task."""
    folders = collection.out.iterdir() if collection.out.is_dir() else ()
    return sorted(folder for folder in folders if (folder / 'meta').is_dir())


def collect(collection: Collection) -> list[Path]:
    """Records corrections, or goes on where it was interrupted; returns the datasets."""
    from rich.console import Console

    from dit4dit_policy.evaluation.rollouts import Attempt, load_policy, make_environment
    from dit4dit_policy.progress import attempts_bar
    from dit4dit_policy.training.corrections import MISTAKEN

    environment = make_environment(collection.env, collection.cameras, collection.latency)
    tasks = tasks_of(collection.task, environment)
    checkpoint = checkpoint_for(collection.checkpoint, collection.policy)
    collection = replace(collection, checkpoint=checkpoint)
    if collection.policy != MISTAKEN:  # a bad one is told here, once
        policy = load_policy(collection.policy, collection.checkpoint, environment)
        if collection.cameras and (missing := set(policy.cameras) - {*collection.cameras}):
            raise ValueError(f'--cameras: the policy looks at {", ".join(sorted(missing))}, too')
    environment.close()
    seeds = range(collection.seed_start, collection.seed_start + collection.episodes)
    attempts = [Attempt(task, seed) for task in tasks for seed in seeds]
    console, outcomes = Console(), _journal(collection.out)
    left = [a for a in attempts if (a.task, a.seed) not in outcomes]
    with attempts_bar(console, 'corrected') as progress:
        there = len(attempts) - len(left)
        bar = progress.add_task('attempts', total=len(attempts), completed=there, done=0)
        for correction in _corrections(collection, left):
            key = correction.attempt.task, correction.attempt.seed
            outcomes[key] = correction.outcome
            with (collection.out / _JOURNAL).open('a') as journal:
                journal.write(json.dumps(asdict(correction)) + '\n')
            done = sum(outcome == 'corrected' for outcome in outcomes.values())
            progress.update(bar, advance=1, done=done)
    _merge(collection, tasks)
    console.print(_table(tasks, outcomes))
    return datasets(collection)


def _parts(collection: Collection) -> Path:
    """What each process has recorded of each task, until all is there."""
    return collection.out / '.parts'


def _parts_of(collection: Collection, task: str) -> list[Path]:
    """Those of one task."""
    return sorted(_parts(collection).glob(f'{task}-*'))


def _journal(out: Path) -> dict[tuple[str, int], str]:
    """Outcomes of what was attempted before, by task and seed."""
    path = out / _JOURNAL
    lines = path.read_text().splitlines() if path.is_file() else []
    read = [json.loads(line) for line in lines]
    return {(line['attempt']['task'], line['attempt']['seed']): line['outcome'] for line in read}


def _corrections(collection: Collection, attempts: Sequence[Attempt]) -> Iterator[Correction]:
    """All attempts, each process one at a time; a single process is this."""
    if not attempts:
        return
    parts = _parts(collection)
    parts.mkdir(parents=True, exist_ok=True)
    _check_cameras(parts / 'cameras', ','.join(collection.cameras))
    yield from in_processes(partial(_Worker, collection), attempts, collection.workers)


def _check_cameras(begun: Path, cameras: str) -> None:
    """ValueError where what is gone on with was begun with other cameras."""
    if begun.is_file() and begun.read_text() != cameras:
        raise ValueError(
            f'--cameras: {begun.parents[1]} was begun with {begun.read_text() or "none"}, '
            f'got {cameras or "none"}; go on as it was begun, or choose another --out'
        )
    begun.write_text(cameras)


class _Worker:
    """A corrector with a dataset for each task it is given."""

    def __init__(self, of: Collection) -> None:
        from dit4dit_policy.training.corrections import Corrector

        self._corrector = Corrector(of.env, of.policy, of.checkpoint, of.latency, of.cameras)
        self._parts = _parts(of)

    def __call__(self, attempt: Attempt) -> Correction:
        from g1_data import DatasetWriter

        part = self._parts / f'{attempt.task}-{os.getpid()}'
        with DatasetWriter.create(part, self._corrector.schema) as writer:
            return self._corrector.correct(attempt, writer)


def _merge(collection: Collection, tasks: Sequence[str]) -> None:
    """The parts of each task become its dataset; those of other tasks stay, to be gone on with."""
    from g1_data import Dataset, merge

    for task in tasks:
        found = [part for part in _parts_of(collection, task) if Dataset(part).episodes]
        if found and not (collection.out / task / 'meta').is_dir():
            merge(found, collection.out / task)
    for part in [part for task in tasks for part in _parts_of(collection, task)]:
        shutil.rmtree(part, ignore_errors=True)
    if not any(path.is_dir() for path in _parts(collection).glob('*')):
        shutil.rmtree(_parts(collection), ignore_errors=True)


def _table(tasks: Sequence[str], outcomes: dict[tuple[str, int], str]) -> Table:
    from rich.table import Table

    table = Table(title='Corrections')
    table.add_column('task')
    for name in ('attempts', *_OUTCOMES):
        table.add_column(name, justify='right')
    for task in tasks:
        counts = Counter(outcome for (of, _), outcome in outcomes.items() if of == task)
        cells = [counts.total(), *(counts[outcome] for outcome in _OUTCOMES)]
        table.add_row(task, *map(str, cells))
    return table
