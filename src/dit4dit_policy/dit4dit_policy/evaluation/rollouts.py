"""Episodes of a policy in simulation, in as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from dit4dit_policy.inference.policy import Observation, Policy
from g1_data.video import VideoEncoder
from g1_description import load_robot
from g1_sim import rollout as loop
from g1_sim.simulation import Simulation

#: Made once by each process, used by all of its episodes.
_worker: Evaluation | None = None


@dataclass(frozen=True)
class Episode:
    """One attempt. duration: until done, or the time limit [s]; text: what the controller says."""

    seed: int
    success: bool
    duration: float
    chunks_rejected: int
    holds: int
    clamped: int
    text: str


class Evaluation:
    """A policy before the simulated scenes of one task."""

    def __init__(
        self, checkpoint: Path | None, task: str, latency: float, videos: Path | None
    ) -> None:
        """checkpoint: None for the untrained preset. latency: simulated, from image to chunk [s].

        videos: folder for what the robot saw in the episodes that failed; None for no videos.
        """
        robot = load_robot()
        self._policy = load(checkpoint)
        if self._policy.step != loop.CHUNK_STEP:
            raise ValueError(
                f'{self._policy.model_id}: expected targets {loop.CHUNK_STEP} s apart, '
                f'got {self._policy.step} s'
            )
        self._simulation = Simulation(task, 0)
        self._image_shape = (robot.camera.height, robot.camera.width)
        self._latency = latency
        self._videos = videos

    def episode(self, seed: int) -> Episode:
        self._simulation.reset(seed)
        video = self._open_video(seed)

        def act(seen: loop.Observation) -> loop.Array:
            assert seen.image is not None
            if video:
                video.add(seen.image)
            return self._policy.infer(
                Observation(seen.image, seen.joint_positions, seen.instruction)
            )

        result = loop.rollout(
            self._simulation, act, image_shape=self._image_shape, latency=self._latency
        )
        if video:
            video.finish()
            if result.success:
                self._video_path(seed).unlink()
        status = result.status
        return Episode(
            seed=seed,
            success=result.success,
            duration=result.success_time if result.success_time is not None else result.duration,
            chunks_rejected=status.chunks_rejected,
            holds=status.holds,
            clamped=status.clamped,
            text=status.rejection_text or status.text,
        )

    def _video_path(self, seed: int) -> Path:
        assert self._videos is not None
        return self._videos / f'failed-{seed:04d}.mp4'

    def _open_video(self, seed: int) -> VideoEncoder | None:
        if self._videos is None:
            return None
        self._videos.mkdir(parents=True, exist_ok=True)
        return VideoEncoder(self._video_path(seed), round(1 / loop.CHUNK_PERIOD), self._image_shape)


def load(checkpoint: Path | None) -> Policy:
    """The policy in the folder `checkpoint`; without one, the untrained preset."""
    if checkpoint is None:
        return Policy.untrained('nano')
    return Policy.load(checkpoint, load_robot().chunk_joints)


def evaluate(
    checkpoint: Path | None,
    task: str,
    seeds: Sequence[int],
    latency: float,
    videos: Path | None,
    workers: int,
) -> Iterator[Episode]:
    """Attempts `task` once a seed, in `workers` processes; episodes come as they end."""
    os.environ['OMP_NUM_THREADS'] = '1'  # one process a core, inherited by the workers
    with ProcessPoolExecutor(
        workers,
        multiprocessing.get_context('spawn'),
        initializer=_prepare,
        initargs=(checkpoint, task, latency, videos),
    ) as pool:
        try:
            for future in as_completed([pool.submit(_attempt, seed) for seed in seeds]):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare(checkpoint: Path | None, task: str, latency: float, videos: Path | None) -> None:
    global _worker
    _worker = Evaluation(checkpoint, task, latency, videos)


def _attempt(seed: int) -> Episode:
    assert _worker is not None
    return _worker.episode(seed)
