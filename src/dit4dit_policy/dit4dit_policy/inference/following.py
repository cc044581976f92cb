"""When a policy is asked for its next chunk, where somebody else asks for targets (no torch)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.inference.chunk_policy import ChunkPolicy, Observation, follow_of
from dit4dit_policy.inference.continuation import Prefix


class Following:
    """Targets for an observation: of a new chunk, or of the last one as long as it is followed."""

    def __init__(self, policy: ChunkPolicy, follow: int = 0) -> None:
        """follow: targets of a chunk that are followed, at least; 0: as many as the policy says."""
        self._policy, self._follow = policy, follow
        self._stamp, self._instruction = -np.inf, ''
        self._chunk = np.empty((0, 0))

    def __call__(
        self, observation: Observation, prefix: Callable[[], Prefix | None] = lambda: None
    ) -> tuple[NDArray[np.float64], bool]:
        """Targets (K, A) from the observation on, and whether they are a new chunk.

        prefix: asked what a new chunk continues. Where a chunk has ended its last target is held.
        """
        followed = (observation.stamp - self._stamp) / self._policy.step
        follow = min(self._follow or follow_of(self._policy), len(self._chunk))
        if 0 < followed < follow - 0.5 and observation.instruction == self._instruction:
            places = np.arange(len(self._chunk)) + round(followed)
            return self._chunk[np.minimum(places, len(self._chunk) - 1)], False
        self._stamp, self._instruction = observation.stamp, observation.instruction
        self._chunk = self._policy.infer(observation, prefix())
        return self._chunk, True
