"""The whole contract of a place where policies are tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.inference.chunk_policy import Observation
from g1_description import Embodiment


@dataclass(frozen=True)
class Step:
    """What came of a chunk.

    observation: what the policy is shown next. done: whether the attempt has ended, with `success`
    or without. time: since it began [s]. stage: how far it came, in a word or two. counts: what
    happened on the way, by name (chunks refused, holds, ...); text: of the last of these, in words.
    """

    observation: Observation
    done: bool
    success: bool
    time: float
    stage: str = ''
    counts: dict[str, int] = field(default_factory=dict)
    text: str = ''


@dataclass(frozen=True)
class Conduct:
    """How attempts are made where nothing else is asked for.

    first_seed: of the scenes that are for evaluation, beyond those of demonstrations. latency:
    simulated, from image to chunk [s]; the default is a little more than it takes over ROS.
    served: one process infers for all attempts that go on at a time, as simulation takes so long
    that a policy for each would be idle. scenes: how many there are, of seeds from 0 on; None where
    every seed has one.
    """

    first_seed: int = 10_000
    latency: float = 0.15
    served: bool = False
    scenes: int | None = None


class Environment(Protocol):
    """A simulator, or a robot, with tasks. One process uses it.

    Found by name in the entry-point group `dit4dit.environments`, or as `module:attribute`: a
    function `make(cameras: tuple[str, ...], latency: float) -> Environment`, where `cameras` may be
    empty for none, and latency [s] is simulated between an observation and the arrival of the chunk
    made from it. A property `conduct`, where it has one, is a `Conduct` of its own; a method
    `variants_of(task)`, where it has one, names those of `variants` that the task knows.
    """

    @property
    def embodiment(self) -> Embodiment:
        """The robot in it."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of what can be attempted."""

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of worlds beside the usual one, ''."""

    def reset(self, task: str, seed: int, variant: str = '') -> Observation:
        """Begins an attempt in the scene of that seed. ValueError names the tasks there are."""

    def step(self, chunk: NDArray[np.float64]) -> Step:
        """Executes as much of a chunk (K, A) as lies before the next observation."""

    def close(self) -> None:
        """Ends what was started for it."""


def conduct_of(environment: Environment) -> Conduct:
    """How attempts are made in it where nothing else is asked for."""
    conduct: Conduct = getattr(environment, 'conduct', Conduct())
    return conduct


def tasks_in(environment: Environment, variant: str, tasks: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the tasks that have a variant; all for the usual world, ''."""
    known = getattr(environment, 'variants_of', lambda _: environment.variants)
    return tuple(task for task in tasks if not variant or variant in known(task))


class TeacherLostError(Exception):
    """The expert knows no way from here to the end of the task; says why."""


class Teacher(Protocol):
    """Goes on from where it was asked for to the end of the task."""

    @property
    def end(self) -> float:
        """Stamp at which its motion is at its end [s]."""

    def target(self, stamp: float) -> NDArray[np.float64]:
        """(A,) what it wants at that stamp, as a demonstration has it."""

    def __call__(self, observation: Observation) -> NDArray[np.float64]:
        """A chunk (K, A), as a policy's."""


class TeachingEnvironment(Environment, Protocol):
    """An environment with an expert that can take over from a policy."""

    def watch(self, observer: Callable[[Observation], None], size: tuple[int, int]) -> None:
        """Shows every observation, one a step of the embodiment, of all attempts from now on.

        Images have `size` (H, W). Such attempts have time for a policy and the expert after it.
        """

    def expert(self) -> Teacher:
        """An expert that goes on from the present state. TeacherLostError where it knows no way."""

    def mistaken(self, rng: np.random.Generator) -> Teacher:
        """An expert that errs as policies do, from the beginning of an attempt, for `expert` to
        mend. TeacherLostError where it knows no way. Needed for `dit4dit correct --policy mistaken`
        alone."""
