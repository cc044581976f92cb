"""Rows of a constant rate from images, states and commands that come at their own. No ROS."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Image = TypeVar('Image')


class Timeline:
    """The newest samples of a vector, and its value between them. Times in s."""

    def __init__(self, length: int) -> None:
        self._times: deque[float] = deque(maxlen=length)
        self._values: deque[NDArray[np.float64]] = deque(maxlen=length)

    @property
    def newest(self) -> float:
        """Time of the newest sample; -inf before the first."""
        return self._times[-1] if self._times else -np.inf

    def add(self, time: float, value: NDArray[np.float64]) -> None:
        """Appends a sample; one that is not newer than the last is left out."""
        if time > self.newest:
            self._times.append(time)
            self._values.append(value)

    def at(self, time: float) -> NDArray[np.float64]:
        """Value at `time`, linear between samples, that of the nearest one outside of them."""
        times, after = self._find(time)
        if after == 0:
            return self._values[0]
        if after == len(times):
            return self._values[-1]
        share = (time - times[after - 1]) / (times[after] - times[after - 1])
        return (1 - share) * self._values[after - 1] + share * self._values[after]

    def nearest(self, time: float) -> tuple[float, NDArray[np.float64]] | None:
        """Time and value of the sample nearest to `time`; None before the first."""
        times, after = self._find(time)
        near = [k for k in (after - 1, after) if 0 <= k < len(times)]
        if not near:
            return None
        best = min(near, key=lambda k: abs(times[k] - time))
        return float(times[best]), self._values[best]

    def _find(self, time: float) -> tuple[NDArray[np.float64], int]:
        times = np.array(self._times)
        return times, int(np.searchsorted(times, time))


@dataclass(frozen=True)
class Row(Generic[Image]):
    """Time [s] of a row, the image nearest to it, and that image's distance from it [s]."""

    time: float
    image: Image
    residual: float


class FrameGrid(Generic[Image]):
    """Chooses the image nearest to each row of a constant rate; the first image is row 0.

    A row whose nearest image is further away than with a camera of the same rate still gets it, so
    that rows stay where they belong in time, and is counted in `missed`.
    """

    def __init__(self, fps: float) -> None:
        self.missed = 0
        self._fps = fps
        self._start: float | None = None
        self._row = 0
        self._last: tuple[float, Image] | None = None

    def add(self, time: float, image: Image) -> Iterator[Row[Image]]:
        """Rows that can be decided now that this image, newer than the ones before, is there."""
        if self._start is None:
            self._start = time
        if self._last is not None and time <= self._last[0]:
            return
        while (row_time := self._start + self._row / self._fps) <= time + 1e-6:
            near_time, near = min(
                (c for c in (self._last, (time, image)) if c is not None),
                key=lambda candidate: abs(candidate[0] - row_time),
            )
            residual = abs(near_time - row_time)
            self.missed += residual > 0.6 / self._fps
            self._row += 1
            yield Row(row_time, near, residual)
        self._last = time, image
