"""What a policy that only watches would have done, against what the robot did. No ROS."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g1_control.chunk_buffer import Chunk

Array = NDArray[np.float64]

#: Targets are told apart by how far ahead of its image a chunk had them [s]: up to each of these.
LOOK_AHEAD = (0.5, 1.0, np.inf)
_LONGEST_GAP = 0.1  # [s] between two states; the robot's motion between them is not known


@dataclass(frozen=True)
class Difference:
    """Distances of targets to the robot at their times, of J joints [rad, m].

    targets: (3,) how many were compared for each LOOK_AHEAD; mean: (3, J), NaN where there were
    none; largest: (J,).
    """

    targets: NDArray[np.int64]
    mean: Array
    largest: Array


class Shadow:
    """Chunks and states of the same `joints` in, their difference out; time is of one clock [s]."""

    def __init__(self, joints: int) -> None:
        self._waiting: list[tuple[float, int, int, Array]] = []  # time, order, look-ahead, target
        self._order = count()
        self._last: tuple[float, Array] | None = None
        self._targets = np.zeros(len(LOOK_AHEAD), np.int64)
        self._total = np.zeros((len(LOOK_AHEAD), joints))
        self._largest = np.zeros(joints)

    def plan(self, chunk: Chunk, now: float) -> None:
        """A chunk that came `now`; its targets that were due by then nobody could have followed."""
        for ahead, position in zip(chunk.times, chunk.positions, strict=True):
            if chunk.stamp + ahead > now:
                far = int(np.searchsorted(LOOK_AHEAD, round(ahead, 3)))
                target = np.array(position, float)
                heapq.heappush(self._waiting, (chunk.stamp + ahead, next(self._order), far, target))

    def observe(self, time: float, position: ArrayLike) -> None:
        """The robot's joints (J,) at `time`; settles the targets that were due since the last."""
        state = np.array(position, float)
        before, self._last = self._last, (time, state)
        while self._waiting and self._waiting[0][0] <= time:
            due, _, far, target = heapq.heappop(self._waiting)
            if before is None or not before[0] <= due or time - before[0] > _LONGEST_GAP:
                continue
            share = (due - before[0]) / (time - before[0])
            distance = np.abs(target - (before[1] + share * (state - before[1])))
            self._targets[far] += 1
            self._total[far] += distance
            self._largest = np.maximum(self._largest, distance)

    @property
    def difference(self) -> Difference:
        """Over everything compared so far."""
        with np.errstate(invalid='ignore'):
            mean = self._total / self._targets[:, None]
        return Difference(self._targets.copy(), mean, self._largest.copy())
