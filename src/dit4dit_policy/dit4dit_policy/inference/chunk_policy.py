"""The whole contract of a policy: what it is shown, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.inference.continuation import Prefix
from g1_description import Embodiment


@dataclass(frozen=True)
class Observation:
    """What a robot sees and feels at one moment.

    images: (H, W, 3) uint8 RGB by the embodiment's camera names, of any size. state: (S,) in the
    order of `Embodiment.state_names` [rad, m]. instruction: what to do, in words. stamp: when the
    images were taken [s], of whatever clock the caller lives by.
    """

    images: Mapping[str, NDArray[np.uint8]]
    state: NDArray[np.float64]
    instruction: str
    stamp: float = 0.0


@dataclass(frozen=True)
class Future:
    """What is expected to be seen `ahead` [s] after an observation: (H, W, 3) uint8 RGB.

    By the first camera; what the model is not shown of it, as it was. encoding: of what all of them
    are expected to see, to be compared with the `encoding` of what comes.
    """

    ahead: float
    pixels: NDArray[np.uint8]
    encoding: NDArray[np.float32]


class ChunkPolicy(Protocol):
    """Whatever turns an observation into a chunk of targets. One thread calls it.

    Found by name in the entry-point group `dit4dit.policies`, or as `module:attribute`: a function
    `load(checkpoint: str, embodiment: Embodiment) -> ChunkPolicy` that raises ValueError or OSError
    with what was expected, what came and what to do.
    """

    @property
    def embodiment(self) -> Embodiment:
        """The robot it is for."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras it looks at; an observation has to have these."""

    @property
    def step(self) -> float:
        """Time between two targets of a chunk [s]."""

    @property
    def horizon(self) -> int:
        """Targets of a chunk, K."""

    @property
    def model_id(self) -> str:
        """What it is called in chunks and reports."""

    @property
    def trained(self) -> bool:
        """False where its motion has no purpose."""

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> NDArray[np.float64]:
        """(K, A) targets in the order of `Embodiment.action_names` [rad, m].

        Row k is the target `k * step` after the observation. With a `prefix` the chunk continues
        it, where the policy can do that. ValueError where the observation is not what it expects.
        """


def follow_of(policy: ChunkPolicy) -> int:
    """Targets of a chunk that are followed before the policy is asked for the next one, at least.

    A policy may say so with a property `follow`; one that does not, 0, is asked as soon as can be.
    """
    return min(getattr(policy, 'follow', 0), policy.horizon)


def keyframe_of(policy: ChunkPolicy) -> NDArray[np.float64] | None:
    """The state (S,) in which the policy expects a gripper to move next [rad, m].

    As of the last `infer`, from a property `keyframe`; None where it does not say.
    """
    return getattr(policy, 'keyframe', None)


#: Of denoising, in which a robot's policy imagines, and in which limits of it are set.
IMAGINATION_STEPS = 4


class ImaginingPolicy(ChunkPolicy, Protocol):
    """A policy that may also show what it expects to see."""

    @property
    def imagines(self) -> bool:
        """Whether it can."""

    @property
    def encoding(self) -> NDArray[np.float32]:
        """Of the images that `infer` was shown last."""

    def imagination(self, observation: Observation, steps: int) -> Iterator[Future | None]:
        """Works in pieces, each a call of `next`: None after each but the last, the picture."""


def imagining(policy: ChunkPolicy) -> ImaginingPolicy | None:
    """The same policy, if it imagines."""
    return cast(ImaginingPolicy, policy) if getattr(policy, 'imagines', False) else None
