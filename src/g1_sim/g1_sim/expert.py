"""`g1 expert TASK|all`: scripted demonstrations in simulation, as a LeRobot v2.1 dataset."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table

from dit4dit_policy.evaluation.statistics import wilson_interval
from dit4dit_policy.inference.chunk_policy import Observation
from g1_data import DatasetWriter, Schema, merge
from g1_description import load_robot
from g1_sim.planner import NoWayError, Planner
from g1_sim.rollout import CHUNK_STEP, CHUNK_STEPS, FRAME_PERIOD, Rollout
from g1_sim.simulation import Simulation
from g1_sim.tasks import load_task, simulated_tasks
from g1_sim.trajectory import Trajectory
from g1_sim.waypoints import Waypoint

Array = NDArray[np.float64]

IMAGE_SHAPE = (240, 320)
_ALL = 'all'
_START_SPREAD = 0.06  # [rad] of the arms' start around the home posture
_FREE_NOISE, _FINE_NOISE = 0.04, 0.004  # [rad] of the executed motion, far from and near objects
_NEAR_STARTS = 0.3  # share of the episodes that begin near the object, as after a failed grasp


class Expert:
    """A policy (see `Rollout`) that follows a plan made from the present state.

    The motion it asks for strays a little from the plan, `target` does not: demonstrations show the
    way back to the plan (Laskey et al., DART: Noise Injection for Robust Imitation Learning, 2017).
    """

    def __init__(self, motion: Trajectory, rng: np.random.Generator | None = None) -> None:
        """rng: how it strays; None: not at all."""
        self._motion = motion
        self.start, self.duration = motion(0.0), motion.duration
        self._steps = np.arange(CHUNK_STEPS) * CHUNK_STEP
        scale = 0.0 if rng is None else 1.0
        rng = rng or np.random.default_rng(0)
        self._fine, self._free = scale * _FINE_NOISE, scale * _FREE_NOISE
        self._frequency = rng.uniform(0.15, 0.6, (2, 14))  # [Hz]
        self._phase = rng.uniform(0.0, 2 * np.pi, (2, 14))

    @classmethod
    def from_reset(
        cls, simulation: Simulation, planner: Planner, rng: np.random.Generator
    ) -> Expert:
        """Demonstrates from somewhere near the home posture, or near the object.

        simulation: freshly reset. Raises NoWayError when the task cannot be done from there.
        """
        home, task, scene = load_robot().home, simulation.task, simulation.scene
        spread = rng.uniform(-_START_SPREAD, _START_SPREAD, 14)
        if rng.uniform() < _NEAR_STARTS and task.near_starts:
            with suppress(NoWayError, ValueError):  # then from home
                first = next(s for s in next(iter(task.plan(scene))) if isinstance(s, Waypoint))
                near = planner.follow([_near(first, rng)], home, scene.pelvis)(np.inf)
                near[:14] += spread
                return cls(planner.plan(task, scene, near), rng)
        start = home.copy()
        start[:14] += spread
        return cls(planner.plan(task, scene, start), rng)

    def target(self, time: float) -> Array:
        """(16,) where the plan has the joints at `time` [s]."""
        return self._motion(time)

    def __call__(self, observation: Observation) -> Array:
        return np.stack([self._strayed(observation.stamp + step) for step in self._steps])

    def _strayed(self, time: float) -> Array:
        position = self._motion(time)
        waves = np.sin(2 * np.pi * self._frequency * time + self._phase).mean(axis=0)
        freedom = self._motion.freedom(time)
        position[:14] += waves * (self._fine + (self._free - self._fine) * freedom)
        return position


def _near(approach: Waypoint, rng: np.random.Generator) -> Waypoint:
    """Somewhere around the first waypoint, the gripper anything between shut and open."""
    assert approach.pose is not None
    pose = approach.pose.copy()
    pose[:3, 3] += pose[:3, :3] @ rng.uniform((-0.08, -0.04, 0.0), (-0.02, 0.04, 0.05))
    return replace(approach, pose=pose, gripper=rng.uniform(0.0, approach.gripper))


@dataclass(frozen=True)
class Demonstration:
    """One demonstration: whether it succeeded, its length [s], what went wrong, how far it came."""

    seed: int
    success: bool
    duration: float
    text: str = ''
    stage: str = ''


def demonstrate(
    simulation: Simulation, planner: Planner, seed: int, writer: DatasetWriter | None
) -> Demonstration:
    """Lets the expert do the task in the scene of `seed`; a success is added to the dataset."""
    simulation.reset(seed)
    try:
        expert = Expert.from_reset(simulation, planner, np.random.default_rng((seed, 1)))
    except NoWayError as error:
        return Demonstration(seed, False, 0.0, str(error))
    if writer is None:
        rollout = _follow(simulation, expert)
        return _outcome(seed, rollout, simulation.progress())
    frames: list[tuple[Observation, Array]] = []
    rollout = _follow(
        simulation,
        expert,
        cameras=tuple(writer.schema.videos),
        image_shape=next(iter(writer.schema.videos.values())).shape,
        observer=lambda seen: frames.append((seen, expert.target(seen.stamp))),
    )
    if rollout.success:
        with writer.episode(frames[0][0].instruction) as episode:
            for seen, action in frames:
                episode.add(seen.state, action, seen.images)
    return _outcome(seed, rollout, simulation.progress())


def _follow(simulation: Simulation, expert: Expert, **options: Any) -> Rollout:
    """The attempt, ended: the whole plan and half a second of rest."""
    limit = expert.duration + 0.5
    rollout = Rollout(simulation, start=expert.start, time_limit=limit, linger=limit, **options)
    while not rollout.done:
        rollout.step(expert(rollout.observation))
    return rollout


def _outcome(seed: int, rollout: Rollout, stage: str) -> Demonstration:
    text = '' if rollout.success else rollout.status.text
    return Demonstration(seed, rollout.success, rollout.time, text, stage)


def record(
    task: str,
    seeds: Sequence[int],
    out: Path | None,
    workers: int,
    cameras: tuple[str, ...] = ('head',),
    variant: str = '',
) -> Iterator[Demonstration]:
    """Demonstrates every seed in `workers` processes; the dataset is at `out` when this ends."""
    context = multiprocessing.get_context('spawn')
    parent = out.parent if out else Path(tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    parts = Path(tempfile.mkdtemp(prefix='.expert-', dir=parent))
    queue: multiprocessing.Queue = context.Queue()
    processes = [
        context.Process(
            target=_work,
            args=(
                task,
                variant,
                seeds[k::workers],
                parts / f'{k}' if out else None,
                cameras,
                queue,
            ),
            daemon=True,
        )
        for k in range(workers)
    ]
    try:
        for process in processes:
            process.start()
        for _ in seeds:
            yield _next(queue, processes)
        for process in processes:
            process.join()
        recorded = sorted(parts.glob('*/meta/episodes.jsonl'))
        if out and recorded:
            merge([path.parent.parent for path in recorded], out)
    finally:
        for process in processes:
            process.kill()
        shutil.rmtree(parts, ignore_errors=True)


def _work(
    task: str,
    variant: str,
    seeds: Sequence[int],
    part: Path,
    cameras: tuple[str, ...],
    queue: multiprocessing.Queue,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    simulation, planner = Simulation(task, 0, variant), Planner()
    writer = None
    if cameras:
        schema = Schema.of(
            load_robot().embodiment,
            dict.fromkeys(cameras, IMAGE_SHAPE),
            fps=round(1 / FRAME_PERIOD),
        )
        writer = DatasetWriter.create(part, schema)
    for seed in seeds:
        queue.put(demonstrate(simulation, planner, seed, writer))


def _next(queue: multiprocessing.Queue, processes: Sequence) -> Demonstration:
    while True:
        try:
            return queue.get(timeout=1.0)
        except Empty:
            if any(process.exitcode not in (None, 0) for process in processes):
                raise RuntimeError('a recording process ended early; its error is above') from None


def main(argv: Sequence[str]) -> int:
    """`g1 expert TASK|all --episodes N (--out DIR | --dry-run)`. Returns the exit code."""
    arguments = _parse(argv)
    os.environ['OMP_NUM_THREADS'] = '1'  # one process a core, inherited by the workers
    seeds = range(arguments.seed_start, arguments.seed_start + arguments.episodes)
    workers = min(os.cpu_count() or 1, len(seeds))
    console, cameras = Console(), tuple(arguments.cameras)
    tasks = simulated_tasks() if arguments.task == _ALL else (arguments.task,)
    if arguments.variant:
        tasks = tuple(task for task in tasks if arguments.variant in load_task(task).variants)
    table = _table(arguments.variant)
    for task in tasks:
        out = arguments.out / task if arguments.out and len(tasks) > 1 else arguments.out
        began, episodes = time.monotonic(), []
        try:
            with _progress(console) as progress:
                bar = progress.add_task(task, total=len(seeds), done=0)
                for episode in record(task, seeds, out, workers, cameras, arguments.variant):
                    episodes.append(episode)
                    progress.update(bar, advance=1, done=sum(e.success for e in episodes))
        except KeyboardInterrupt:
            console.print(f'interrupted; no dataset of {task} was written')
            return 130
        _add_row(table, task, episodes, time.monotonic() - began)
        for episode in episodes:
            if not episode.success:
                text = f'{task} failed: seed {episode.seed}, {episode.stage}. {episode.text}'
                console.print(text, markup=False)
        if not any(episode.success for episode in episodes):
            console.print(table)
            return 1
        if out:
            console.print(f'{out}: {sum(e.success for e in episodes)} episodes of {task}')
    console.print(table)
    return 0


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
    every = tuple(load_robot().embodiment.cameras)
    parser.add_argument(
        '--cameras',
        nargs='+',
        default=['head'],
        choices=every,
        metavar='NAME',
        help=f'cameras to record: {", ".join(every)} (default: head)',
    )
    variants = sorted({name for task in tasks for name in load_task(task).variants})
    parser.add_argument(
        '--variant',
        default='',
        choices=variants,
        help='a world that no policy is trained on, only with --dry-run: ' + ', '.join(variants),
    )
    arguments = parser.parse_args(argv)
    if (arguments.out is None) != arguments.dry_run:
        parser.error('expected either --out DIR or --dry-run')
    if arguments.out and arguments.out.exists():
        parser.error(
            f'--out: {arguments.out} exists; the dataset is written to a new folder, choose another'
        )
    if arguments.variant and not arguments.dry_run:
        parser.error('--variant: such worlds are for evaluation; expected --dry-run with it')
    return arguments


def _progress(console: Console) -> Progress:
    return Progress(
        '{task.description}',
        BarColumn(),
        MofNCompleteColumn(),
        '{task.fields[done]} succeeded',
        TimeElapsedColumn(),
        console=console,
    )


def _table(variant: str) -> Table:
    table = Table(title=f'Expert{f", variant {variant}" if variant else ""}')
    table.add_column('task')
    columns = ('episodes', 'succeeded', 'success rate', '95 % interval', r'duration \[s]')
    for name in (*columns, r'wall clock an episode \[s]'):
        table.add_column(name, justify='right')
    return table


def _add_row(table: Table, task: str, episodes: Sequence[Demonstration], seconds: float) -> None:
    good = [episode for episode in episodes if episode.success]
    low, high = wilson_interval(len(good), len(episodes))
    table.add_row(
        task,
        f'{len(episodes)}',
        f'{len(good)}',
        f'{len(good) / len(episodes):.1%}',
        f'{low:.1%} to {high:.1%}',
        f'{np.mean([episode.duration for episode in good]):.1f}' if good else '',
        f'{seconds / len(episodes):.1f}',
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'expected at least 1, got {number}')
    return number


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
