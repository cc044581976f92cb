"""Minimum jerk, as hands move from rest to rest (Flash, Hogan, J. Neuroscience 1985). No ROS."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar('Number', float, NDArray[np.float64])

#: Highest velocity over the mean one.
PEAK = 1.875
#: Highest acceleration times the square of the duration, over the way.
PEAK_ACCELERATION = 5.774


def minimum_jerk(share: Number) -> Number:
    """Share of the way at a `share` of the time, both 0 to 1: 10 s^3 - 15 s^4 + 6 s^5."""
    return share**3 * (10.0 + share * (6.0 * share - 15.0))
