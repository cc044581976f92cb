"""Episodes of a policy in an environment, in as many processes as there are cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.evaluation.environment import Environment
from dit4dit_policy.evaluation.processes import in_processes
from dit4dit_policy.evaluation.trace import TraceRecorder
from dit4dit_policy.inference.chunk_policy import ChunkPolicy, Observation
from dit4dit_policy.inference.continuation import Continuation, Prefix
from dit4dit_policy.inference.following import Following
from g1_data.video import VideoEncoder
from g1_description.plugins import find_plugin


@dataclass(frozen=True)
class Setting:
    """What is evaluated, and how.

    env, policy: names in the groups of plugins, or module:attribute. checkpoint: of the policy, ''
    for its own. cameras: whose images there are. latency: simulated, from image to chunk [s].
    videos: folder for what the robot saw in the episodes that failed. traces: folder for what was
    seen, planned and imagined in every episode, see `Trace`; None for none. follow: see
    `Following`.
    """

    env: str
    policy: str
    checkpoint: str
    cameras: tuple[str, ...]
    latency: float
    real_time_chunking: bool
    videos: Path
    traces: Path | None = None
    follow: int = 0


@dataclass(frozen=True)
class Attempt:
    """A scene, and what is to be done in it."""

    task: str
    seed: int
    variant: str = ''


@dataclass(frozen=True)
class AttemptOutcome:
    """What came of an attempt.

    stage: how far it came. seconds: until done, or until it was given up. counts, text: as of the
    environment's `Step`.
    """

    attempt: Attempt
    success: bool
    stage: str
    seconds: float
    counts: Mapping[str, int] = field(default_factory=dict)
    text: str = ''


def make_environment(env: str, cameras: tuple[str, ...], latency: float) -> Environment:
    """The environment of that name. ValueError names those that there are."""
    environment: Environment = find_plugin('dit4dit.environments', env)(cameras, latency)
    return environment


def load_policy(
    policy: str, checkpoint: str, environment: Environment, cameras: tuple[str, ...] = ()
) -> ChunkPolicy:
    """The policy of that name for the environment's robot. ValueError where it does not fit it.

    cameras: those there are; () for all of the robot's.
    """
    embodiment = environment.embodiment.with_cameras(cameras)
    loaded: ChunkPolicy = find_plugin('dit4dit.policies', policy)(checkpoint, embodiment)
    if not np.isclose(loaded.step, embodiment.step):
        raise ValueError(
            f'{loaded.model_id}: expected targets {embodiment.step:g} s apart, as of '
            f'{embodiment.name}, got {loaded.step:g} s'
        )
    return loaded


class Evaluation:
    """A policy in an environment."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._environment = make_environment(setting.env, setting.cameras, setting.latency)
        self._policy = load_policy(
            setting.policy, setting.checkpoint, self._environment, setting.cameras
        )

    def episode(self, attempt: Attempt) -> AttemptOutcome:
        """One attempt, from its reset to its end; a video of it is kept where it failed."""
        environment, setting = self._environment, self._setting
        following = Following(self._policy, setting.follow)
        continuation = Continuation(self._policy.step)
        prefix = continuation.prefix if setting.real_time_chunking else _no_prefix
        video = _Video(_video(setting.videos, attempt), setting.cameras)
        trace = TraceRecorder(self._policy) if setting.traces else None
        observation = environment.reset(attempt.task, attempt.seed, attempt.variant)
        while True:
            video.add(observation)
            targets, new = following(observation, partial(prefix, observation.stamp))
            if new:
                continuation.sent(observation.stamp, targets, setting.latency)
                if trace:
                    trace.add(observation, targets)
            step = environment.step(targets)
            if step.done:
                break
            observation = step.observation
        video.finish('' if step.success else step.stage)
        if trace and setting.traces:
            trace.trace(attempt.task, step.success).save(setting.traces / f'{_name(attempt)}.npz')
        return AttemptOutcome(attempt, step.success, step.stage, step.time, step.counts, step.text)


def _no_prefix(_stamp: float) -> Prefix | None:
    return None


def video_path(folder: Path, outcome: AttemptOutcome) -> Path:
    """Where the video of a failed attempt is, which has had cameras."""
    return _named(_video(folder, outcome.attempt), outcome.stage)


def _video(folder: Path, attempt: Attempt) -> Path:
    return folder / f'{_name(attempt)}.mp4'


def _name(attempt: Attempt) -> str:
    return '-'.join(filter(None, (attempt.task, attempt.variant, str(attempt.seed))))


def _named(path: Path, stage: str) -> Path:
    return path.with_name(f'{path.stem}-{stage.replace(" ", "-")}.mp4')


class _Video:
    """What the robot sees, its cameras side by side; begun with the second observation."""

    def __init__(self, path: Path, cameras: tuple[str, ...]) -> None:
        self._path = path
        self._cameras = cameras
        self._first: tuple[float, NDArray[np.uint8]] | None = None
        self._encoder: VideoEncoder | None = None

    def add(self, observation: Observation) -> None:
        stamp, page = observation.stamp, self._page(observation)
        if page is None:
            return
        if self._encoder is not None:
            self._encoder.add(page)
        elif self._first is None:
            self._first = stamp, page
        else:
            began, first = self._first
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fps = max(1, round(1 / (stamp - began)))
            self._encoder = VideoEncoder(self._path, fps, first.shape[:2])
            self._encoder.add(first)
            self._encoder.add(page)

    def finish(self, stage: str) -> None:
        """stage: how far a failed attempt came, for the file's name; '' removes the file."""
        if self._encoder is None:
            return
        self._encoder.finish()
        if stage:
            self._path.rename(_named(self._path, stage))
        else:
            self._path.unlink()

    def _page(self, observation: Observation) -> NDArray[np.uint8] | None:
        images = [observation.images[name] for name in self._cameras]
        if not images:
            return None
        height = min(len(image) for image in images)
        return np.concatenate([image[:height] for image in images], axis=1)


def evaluate(
    setting: Setting, attempts: Sequence[Attempt], workers: int
) -> Iterator[AttemptOutcome]:
    """Every attempt once, in `workers` processes, a single one is this; they come as they end."""
    return in_processes(partial(_evaluation, setting), attempts, workers)


def _evaluation(setting: Setting) -> Callable[[Attempt], AttemptOutcome]:
    return Evaluation(setting).episode
