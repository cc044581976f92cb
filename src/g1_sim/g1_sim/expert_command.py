"""`g1 expert TASK|all`: scripted demonstrations in simulation, as a LeRobot v2.1 dataset.

g1 expert all --episodes 50 --dry-run                      how often the expert succeeds
g1 expert move_spoon --episodes 200 --out data/spoon       a dataset of it
g1 expert all --episodes 20 --from-anywhere                whether it takes over from anywhere
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console

from dit4dit_policy.evaluation.success_table import Successes, success_table
from dit4dit_policy.progress import attempts_bar
from g1_data import Dataset, DatasetWriter, Schema, merge
from g1_description import load_robot
from g1_sim.expert import Demonstration, demonstrate
from g1_sim.parallel import EachSeed, Worker
from g1_sim.planner import Planner
from g1_sim.rearranged import demonstrate_rearranged, with_chunks
from g1_sim.recovery import Recovery, recover
from g1_sim.rendering import check_rendering
from g1_sim.rollout import FRAME_PERIOD
from g1_sim.simulation import Simulation
from g1_sim.tasks import load_task, simulated_tasks

Attempt = TypeVar('Attempt', Demonstration, Recovery)

IMAGE_SHAPE = (240, 320)
_ALL = 'all'


def record(
    task: str,
    seeds: Sequence[int],
    out: Path | None,
    workers: int,
    cameras: tuple[str, ...] = ('head',),
    variant: str = '',
    straying: float = 1.0,
    misjudging: float = 0.0,
    rearranged: int = 0,
) -> Generator[Demonstration, None, None]:
    """Demonstrates every seed in `workers` processes; the dataset is at `out` when this ends.

    rearranged: pictures of each frame, everything elsewhere in each, in place of films; 0: films.

    Closed or interrupted before, it writes what there is.
    """
    make = partial(_demonstrator, task, variant, cameras, straying, misjudging, rearranged)
    if out is None:
        yield from EachSeed(partial(make, None), seeds, workers)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    parts = Path(tempfile.mkdtemp(prefix='.expert-', dir=out.parent))
    try:
        yield from EachSeed(partial(make, parts), seeds, workers)
    finally:
        recorded = sorted(parts.glob('*/meta/episodes.jsonl'), key=lambda path: int(path.parts[-3]))
        if recorded:
            merge([path.parent.parent for path in recorded], out)
        shutil.rmtree(parts, ignore_errors=True)


def _demonstrator(
    task: str,
    variant: str,
    cameras: tuple[str, ...],
    straying: float,
    misjudging: float,
    rearranged: int,
    parts: Path | None,
    number: int,
) -> Worker[Demonstration]:
    simulation, planner = Simulation(task, 0, variant), Planner()
    writer = None
    if parts is not None:
        shapes = dict.fromkeys(cameras, IMAGE_SHAPE)
        rate = round(1 / FRAME_PERIOD)
        robot = load_robot().embodiment
        extras = with_chunks(robot) if rearranged else {}
        schema = Schema.of(robot, shapes, fps=rate, extras=extras, variant=variant)
        writer = DatasetWriter.create(parts / f'{number}', schema)
        if rearranged:
            made = writer
            return lambda seed: demonstrate_rearranged(simulation, planner, seed, made, rearranged)
    return lambda seed: demonstrate(simulation, planner, seed, writer, straying, misjudging)


def _recoverer(task: str, variant: str, _number: int) -> Worker[Recovery]:
    simulation, planner = Simulation(task, 0, variant), Planner()
    return lambda seed: recover(simulation, planner, seed)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Within, SIGTERM interrupts, and SIGINT too where a shell's background has it ignored."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.default_int_handler) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(argv: Sequence[str]) -> int:
    """`g1 expert TASK|all --episodes N (--out DIR | --dry-run | --from-anywhere)`.

    Returns the exit code.
    """
    given = _parse(argv)
    if given.out:
        check_rendering()
    seeds = range(given.seed_start, given.seed_start + given.episodes)
    workers = min(given.workers, len(seeds))
    tasks = simulated_tasks() if given.task == _ALL else (given.task,)
    if given.variant:
        tasks = tuple(task for task in tasks if given.variant in load_task(task).variants)
    console, rows = Console(), []
    for task in tasks:
        out = given.out / task if given.out and len(tasks) > 1 else given.out
        try:
            with _interruptible():
                if given.from_anywhere:
                    rows.append(_recover_all(console, task, seeds, workers, given.variant))
                    continue
                more = (
                    tuple(given.cameras),
                    given.variant,
                    given.straying,
                    given.misjudging / 1e3,
                    given.rearranged,
                )
                with closing(record(task, seeds, out, workers, *more)) as attempts:
                    rows.append(_demonstrate_all(console, task, attempts, len(seeds)))
        except KeyboardInterrupt:
            kept = 'no episode'
            if out and out.is_dir():
                kept = f'{out} has the {len(Dataset(out).episodes)} episode(s) until then'
            console.print(f'interrupted; {kept} of {task}')
            return 130
        if out and rows[-1].successes:
            console.print(f'{out}: {rows[-1].successes} episodes of {task}')
    variant = f', variant {given.variant}' if given.variant else ''
    if given.from_anywhere:
        title = f'Expert after 1 to 10 s of random play{variant}'
        table = success_table(title, rows, ('lost', 'plans'), attempts='not\nlost')
        table.caption = 'lost: nobody could do the task any more; these do not count'
    else:
        table = success_table(f'Expert{variant}', rows, ('wall clock\n\\[s]',))
    console.print(table)
    return 0 if all(row.successes for row in rows) else 1


def _demonstrate_all(
    console: Console, task: str, attempts: Iterator[Demonstration], count: int
) -> Successes:
    began = time.monotonic()
    episodes = _watched(console, task, attempts, count)
    for episode in episodes:
        if not episode.success:
            text = f'{task} failed: seed {episode.seed}, {episode.stage}. {episode.text}'
            console.print(text, markup=False, highlight=False)
    good = [episode.duration for episode in episodes if episode.success]
    return Successes(
        task,
        len(episodes),
        len(good),
        float(np.mean(good)) if good else None,
        (f'{(time.monotonic() - began) / len(episodes):.1f}',),
    )


def _recover_all(
    console: Console, task: str, seeds: Sequence[int], workers: int, variant: str
) -> Successes:
    attempts = iter(EachSeed(partial(_recoverer, task, variant), seeds, workers))
    scenes = _watched(console, task, attempts, len(seeds))
    reasons = Counter(
        ('lost: ' if scene.lost else 'failed: ') + scene.text.split(':')[0]
        for scene in scenes
        if not scene.success
    )
    for reason, times in reasons.most_common():
        console.print(f'{task}: {times} x {reason}', markup=False, highlight=False)
    for scene in scenes:
        if not scene.success and not scene.lost:
            text = f'{task} failed: seed {scene.seed} after {scene.played:.1f} s. {scene.text}'
            console.print(text, markup=False, highlight=False)
    good = [scene for scene in scenes if scene.success]
    lost = sum(scene.lost for scene in scenes)
    return Successes(
        task,
        len(scenes) - lost,
        len(good),
        float(np.mean([scene.duration for scene in good])) if good else None,
        (str(lost), f'{np.mean([scene.attempts for scene in good]):.1f}' if good else ''),
    )


def _watched(console: Console, task: str, attempts: Iterator[Attempt], count: int) -> list[Attempt]:
    """All of them in the order of their seeds, with a progress bar meanwhile."""
    done: list[Attempt] = []
    with attempts_bar(console, 'succeeded') as progress:
        bar = progress.add_task(task, total=count, done=0)
        for attempt in attempts:
            done.append(attempt)
            progress.update(bar, advance=1, done=sum(a.success for a in done))
    return sorted(done, key=lambda attempt: attempt.seed)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='g1 expert',
        description='Demonstrates a task in simulation with a scripted expert and records a '
        'LeRobot v2.1 dataset, of all tasks one each. Failed attempts are left out and counted.',
    )
    tasks = simulated_tasks()
    parser.add_argument(
        'task', choices=(*tasks, _ALL), metavar='TASK', help=', '.join((*tasks, _ALL))
    )
    parser.add_argument(
        '--episodes',
        type=_positive,
        default=50,
        metavar='N',
        help='attempts (default: 50)',
    )
    parser.add_argument('--out', type=Path, metavar='DIR', help='new folder of the dataset')
    parser.add_argument(
        '--seed-start',
        type=int,
        default=0,
        metavar='S',
        help='first seed (default: 0)',
    )
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='only the success rate: no images, no dataset',
    )
    parser.add_argument(
        '--from-anywhere',
        action='store_true',
        help='a random policy plays for 1 to 10 s, then the expert has to finish: in how many '
        'scenes it does, no dataset',
    )
    parser.add_argument(
        '--workers',
        type=_positive,
        default=os.cpu_count() or 1,
        metavar='N',
        help='processes (default: one a core)',
    )
    every = tuple(load_robot().embodiment.cameras)
    parser.add_argument(
        '--cameras',
        nargs='+',
        default=['head'],
        choices=every,
        metavar='NAME',
        help=f'cameras to record: {", ".join(every)} (default: head)',
    )
    parser.add_argument(
        '--straying',
        type=partial(_up_to, 3, ''),
        default=1.0,
        metavar='X',
        help='how far the motion strays from the plan that is recorded as its target, so that the '
        'way back is shown: a share of the usual 0.04 rad, and 0.004 near things (default: 1)',
    )
    parser.add_argument(
        '--misjudging',
        type=partial(_up_to, 100, ' mm'),
        default=0.0,
        metavar='MM',
        help='with --dry-run: everything is this far [mm] from where the one plan takes it to be, '
        'a standard deviation either way: in how many scenes that is forgiven (default: 0)',
    )
    parser.add_argument(
        '--rearranged',
        type=_positive,
        default=0,
        metavar='N',
        help='with --out: no films, but N pictures of each frame in which everything is elsewhere, '
        'each with the targets and the keyframe that belong to it (default: films)',
    )
    variants = sorted({name for task in tasks for name in load_task(task).variants})
    parser.add_argument(
        '--variant',
        default='',
        choices=variants,
        help='a world that no policy is trained on; a dataset of it is marked as one: '
        + ', '.join(variants),
    )
    arguments = parser.parse_args(argv)
    chosen = (arguments.out is not None, arguments.dry_run, arguments.from_anywhere)
    if sum(chosen) != 1:
        parser.error('expected one of --out DIR or --dry-run or --from-anywhere')
    demonstrated = arguments.cameras != ['head'] or arguments.straying != 1.0
    if arguments.from_anywhere and demonstrated:
        parser.error(
            '--from-anywhere records nothing and strays from no plan: expected it without '
            '--cameras and --straying'
        )
    if arguments.misjudging and not arguments.dry_run:
        parser.error('--misjudging shows nothing worth recording: expected it with --dry-run')
    if arguments.rearranged and (arguments.out is None or arguments.straying != 1.0):
        parser.error('--rearranged makes a dataset: expected it with --out, without --straying')
    if arguments.out and arguments.out.exists():
        parser.error(
            f'--out: {arguments.out} exists; the dataset is written to a new folder, choose another'
        )
    return arguments


def _up_to(most: int, unit: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 <= number <= most:
        raise argparse.ArgumentTypeError(f'expected 0 to {most}{unit}, got {text}')
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'expected at least 1, got {number}')
    return number


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
