"""Episodes of a policy in simulation, in as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from dit4dit_policy.inference.chunking import Continuation
from dit4dit_policy.inference.policy import Observation
from dit4dit_policy.inference.shipped import load_policy
from g1_data.video import VideoEncoder
from g1_description import load_robot
from g1_sim import rollout as loop
from g1_sim import scenery
from g1_sim.simulation import Simulation

_LIFTED = 0.02  # [m] above where it stood

#: Made once by each process, used by all of its episodes.
_worker: Evaluation | None = None


@dataclass(frozen=True)
class Setting:
    """What is evaluated, and how.

    checkpoint: None for the shipped one. latency: simulated, from image to chunk [s]. videos:
    folder for what the robot saw in the episodes that failed.
    """

    checkpoint: Path | None
    task: str
    latency: float
    real_time_chunking: bool
    videos: Path


@dataclass(frozen=True)
class Episode:
    """One attempt.

    reason: how far it came when it failed, '' when it did not. duration: until done, or the time
    limit [s]. text: what the controller says.
    """

    seed: int
    success: bool
    reason: str
    duration: float
    chunks_rejected: int
    holds: int
    clamped: int
    text: str


class Evaluation:
    """A policy before the simulated scenes of one task."""

    def __init__(self, setting: Setting) -> None:
        robot = load_robot()
        self._setting = setting
        self._policy = load_policy(setting.checkpoint, robot.action_joints)
        if self._policy.step != loop.CHUNK_STEP:
            raise ValueError(
                f'{self._policy.model_id}: expected targets {loop.CHUNK_STEP} s apart, '
                f'got {self._policy.step} s'
            )
        self._simulation = Simulation(setting.task, 0)
        self._image_shape = (480, 640)

    def episode(self, seed: int) -> Episode:
        self._simulation.reset(seed)
        progress = _Progress(self._simulation)
        continuation = Continuation(self._policy.step)
        latency = self._setting.latency
        self._setting.videos.mkdir(parents=True, exist_ok=True)
        path = self._setting.videos / f'{seed}.mp4'
        video = VideoEncoder(path, round(1 / loop.CHUNK_PERIOD), self._image_shape)

        def act(seen: loop.Observation) -> loop.Array:
            assert seen.image is not None
            progress.look()
            video.add(seen.image)
            prefix = None
            if self._setting.real_time_chunking:
                prefix = continuation.prefix(seen.time)
            observation = Observation(seen.image, seen.joint_positions, seen.instruction)
            targets = self._policy.infer(observation, prefix)
            continuation.sent(seen.time, targets, latency)
            return targets

        result = loop.rollout(self._simulation, act, image_shape=self._image_shape, latency=latency)
        video.finish()
        reason = '' if result.success else progress.reason
        if result.success:
            path.unlink()
        else:
            path.rename(path.with_name(f'{seed}-{reason.replace(" ", "-")}.mp4'))
        status = result.status
        return Episode(
            seed=seed,
            success=result.success,
            reason=reason,
            duration=result.success_time if result.success_time is not None else result.duration,
            chunks_rejected=status.chunks_rejected,
            holds=status.holds,
            clamped=status.clamped,
            text=status.rejection_text or status.text,
        )


class _Progress:
    """How far an attempt came, seen now and then."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._ground = self._height()
        self._touched = self._lifted = False

    def look(self) -> None:
        self._touched = self._touched or self._held()
        self._lifted = self._lifted or (self._held() and self._height() > self._ground + _LIFTED)

    @property
    def reason(self) -> str:
        """Of a failure, now that it has ended."""
        if self._height() < self._ground - _LIFTED:
            return 'fell off the table'
        if not self._touched:
            return 'never touched it'
        if not self._lifted:
            return 'never lifted it'
        return 'still holding it' if self._held() else 'let go elsewhere'

    def _held(self) -> bool:
        simulation = self._simulation
        return scenery.held(simulation.model, simulation.data, simulation.task.object)

    def _height(self) -> float:
        return float(self._simulation.data.body(self._simulation.task.object).xpos[2])


def evaluate(setting: Setting, seeds: Sequence[int], workers: int) -> Iterator[Episode]:
    """Attempts the task once a seed, in `workers` processes; episodes come as they end."""
    os.environ['OMP_NUM_THREADS'] = '1'  # one process a core, inherited by the workers
    with ProcessPoolExecutor(
        workers,
        multiprocessing.get_context('spawn'),
        initializer=_prepare,
        initargs=(setting,),
    ) as pool:
        try:
            for future in as_completed([pool.submit(_attempt, seed) for seed in seeds]):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare(setting: Setting) -> None:
    global _worker
    _worker = Evaluation(setting)


def _attempt(seed: int) -> Episode:
    assert _worker is not None
    return _worker.episode(seed)
