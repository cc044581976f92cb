"""A pause of an episode: it begins when the arms rest, and ends where it began. No ROS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LOOK = 0.1  # [s] between looks whether the arms rest
_RESTS = 0.003  # [rad, m] between two of these looks
_BRAKING = 1.0  # [s] that they are waited for
#: [rad, m] that joints may have moved in a pause; further, the episode would jump.
MOVED = 0.05


class Pause:
    """Asked for at `now` [s]; poses (16,) [rad, m].

    Attributes:
        began: when the arms rested [s]; None before.
    """

    def __init__(self, now: float) -> None:
        self.began: float | None = None
        self._asked = self._looked = now
        self._pose: NDArray[np.float64] | None = None

    def look(self, pose: NDArray[np.float64], now: float) -> bool:
        """Whether the arms have come to rest just now, or are not waited for any longer."""
        if self.began is not None or (self._pose is not None and now - self._looked < _LOOK):
            return False
        before, self._pose, self._looked = self._pose, pose, now
        rests = before is not None and np.abs(pose - before).max() < _RESTS
        if rests or now - self._asked > _BRAKING:
            self.began = now
        return self.began is not None

    def moved(self, pose: NDArray[np.float64]) -> float:
        """Of the joint that is furthest from where it rested [rad, m]."""
        return 0.0 if self._pose is None else float(np.abs(pose - self._pose).max())
