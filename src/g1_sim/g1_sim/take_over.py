"""The scripted expert goes on from wherever a policy has left hands and objects."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.inference.chunk_policy import Observation
from g1_sim.rollout import chunk
from g1_sim.trajectory import Trajectory

Array = NDArray[np.float64]

#: A motion from rest begins slowly, and would teach a policy that has come to a stand to stay
#: there: its beginning [s] is left out.
_BEGINNING = 0.3


class TakeOver:
    """Follows a motion from the stamp `begun` [s] on, at pace from the first moment."""

    def __init__(self, motion: Trajectory, begun: float) -> None:
        self._motion, self._begun = motion, begun - _BEGINNING

    @property
    def end(self) -> float:
        """Stamp at which the motion is at its end [s]."""
        return self._begun + self._motion.duration

    def target(self, stamp: float) -> Array:
        """(16,) where the motion has the joints at that stamp [rad, m]."""
        return self._motion(stamp - self._begun)

    def __call__(self, observation: Observation) -> Array:
        """The motion's next targets (K, 16)."""
        return chunk(self.target, observation.stamp)
