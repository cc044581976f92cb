"""What a new chunk continues: the one in execution, from when this one will arrive (no torch)."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LATENCIES_KEPT = 10


@dataclass(frozen=True)
class Prefix:
    """What a new chunk should begin with.

    targets (P, joints) [rad, m]: of the previous chunk, at the times of the new chunk's first P
    steps. The first `frozen` of them will have been executed when the new chunk arrives.
    """

    targets: Array
    frozen: int

    def __post_init__(self) -> None:
        if not 0 <= self.frozen <= len(self.targets):
            raise ValueError(
                f'prefix: expected from 0 to {len(self.targets)} frozen steps, got {self.frozen}'
            )


class Continuation:
    """Remembers the chunk in execution and how late chunks come; tells what the next continues."""

    def __init__(self, step: float) -> None:
        """step: time between two targets of a chunk [s]."""
        self._step = step
        self._stamp = math.nan
        self._targets: Array | None = None
        self._latencies: deque[float] = deque(maxlen=_LATENCIES_KEPT)

    def sent(self, stamp: float, targets: Array, latency: float) -> None:
        """A chunk (K, joints) with the stamp of its observation [s] left `latency` [s] after it."""
        self._stamp, self._targets = stamp, targets
        self._latencies.append(latency)

    def prefix(self, stamp: float) -> Prefix | None:
        """For a chunk from the observation at `stamp` [s]; None where there is nothing to continue.

        The chunk is expected as late as the latest of the last ones. The previous targets are
        interpolated, since observations do not come at multiples of `step`.
        """
        if self._targets is None or stamp <= self._stamp:
            return None
        offset = (stamp - self._stamp) / self._step
        places = np.arange(offset, len(self._targets) - 1 + 1e-6)
        if not len(places):
            return None
        known = np.arange(len(self._targets))
        targets = np.stack([np.interp(places, known, column) for column in self._targets.T], axis=1)
        frozen = math.ceil(max(self._latencies) / self._step - 1e-6)
        return Prefix(targets, min(frozen, len(targets)))
