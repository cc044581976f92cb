"""`dit4dit correct`: an expert corrects a policy in an environment; what it shows is a dataset."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dit4dit_policy.evaluation.arguments import (
    add_attempt_arguments,
    check_attempt_arguments,
    tasks_of,
)

if TYPE_CHECKING:
    from rich.table import Table

    from dit4dit_policy.evaluation.rollouts import Attempt
    from dit4dit_policy.training.corrections import Correction

_OUTCOMES = ('corrected', 'done', 'lost', 'failed')
_PARTS, _JOURNAL = '.parts', 'attempts.jsonl'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `dit4dit correct`."""
    add_attempt_arguments(parser, 100_000, '; evaluation begins at 10000')
    parser.add_argument(
        '--out', type=Path, required=True, metavar='DIR',
        help='gets a LeRobot v2.1 dataset for each task; goes on there where it was interrupted',
    )  # fmt: skip


def main(arguments: argparse.Namespace) -> int:
    """Records corrections; ValueError or FileNotFoundError says what is wrong with arguments."""
    check_attempt_arguments(arguments)
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    from dit4dit_policy.evaluation.rollouts import Attempt, load_policy, make_environment

    environment = make_environment(arguments.env, (), arguments.latency)
    tasks = tasks_of(arguments.task, environment)
    load_policy(arguments.policy, arguments.checkpoint, environment)  # a bad one is told here, once
    environment.close()
    if there := [task for task in tasks if (arguments.out / task).exists()]:
        raise ValueError(f'--out: {arguments.out} has corrections of {", ".join(there)} already')
    seeds = range(arguments.seed_start, arguments.seed_start + arguments.episodes)
    attempts = [Attempt(task, seed) for task in tasks for seed in seeds]
    console, outcomes = Console(), _journal(arguments.out)
    left = [a for a in attempts if (a.task, a.seed) not in outcomes]
    with Progress(
        '{task.description}',
        BarColumn(),
        MofNCompleteColumn(),
        '{task.fields[corrected]} corrected',
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        bar = progress.add_task(
            'attempts', total=len(attempts), completed=len(attempts) - len(left), corrected=0
        )
        for correction in _corrections(arguments, left):
            key = correction.attempt.task, correction.attempt.seed
            outcomes[key] = correction.outcome
            with (arguments.out / _JOURNAL).open('a') as journal:
                journal.write(json.dumps(asdict(correction)) + '\n')
            done = sum(outcome == 'corrected' for outcome in outcomes.values())
            progress.update(bar, advance=1, corrected=done)
    _merge(arguments.out, tasks)
    console.print(_table(tasks, outcomes))
    return 0


def _journal(out: Path) -> dict[tuple[str, int], str]:
    """Outcomes of what was attempted before, by task and seed."""
    path = out / _JOURNAL
    lines = path.read_text().splitlines() if path.is_file() else []
    read = [json.loads(line) for line in lines]
    return {(line['attempt']['task'], line['attempt']['seed']): line['outcome'] for line in read}


def _corrections(
    arguments: argparse.Namespace, attempts: Sequence[Attempt]
) -> Iterator[Correction]:
    """All attempts, each process one at a time."""
    if not attempts:
        return
    os.environ['OMP_NUM_THREADS'] = '1'
    parts = arguments.out / _PARTS
    parts.mkdir(parents=True, exist_ok=True)
    setting = (arguments.env, arguments.policy, arguments.checkpoint, arguments.latency)
    with ProcessPoolExecutor(
        min(arguments.workers, len(attempts)),
        multiprocessing.get_context('spawn'),
        initializer=_prepare,
        initargs=(setting, parts),
    ) as pool:
        try:
            for future in as_completed([pool.submit(_correct, a) for a in attempts]):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


class _Worker:
    """A corrector with a dataset for each task it is given."""

    def __init__(self, setting: tuple[str, str, str, float], parts: Path) -> None:
        from dit4dit_policy.training.corrections import Corrector

        self._corrector, self._parts = Corrector(*setting), parts

    def __call__(self, attempt: Attempt) -> Correction:
        from g1_data import DatasetWriter

        part = self._parts / f'{attempt.task}-{os.getpid()}'
        with DatasetWriter.create(part, self._corrector.schema) as writer:
            return self._corrector.correct(attempt, writer)


_worker: _Worker | None = None


def _prepare(setting: tuple[str, str, str, float], parts: Path) -> None:
    global _worker
    _worker = _Worker(setting, parts)


def _correct(attempt: Attempt) -> Correction:
    assert _worker is not None
    return _worker(attempt)


def _merge(out: Path, tasks: Sequence[str]) -> None:
    """The parts of each task become its dataset."""
    from g1_data import Dataset, merge

    parts = out / _PARTS
    for task in tasks:
        found = [part for part in sorted(parts.glob(f'{task}-*')) if Dataset(part).episodes]
        if found:
            merge(found, out / task)
    shutil.rmtree(parts, ignore_errors=True)


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
