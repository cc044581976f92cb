"""Rows of a constant rate from images, states and commands that come at their own. No ROS."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Image = TypeVar('Image')
#: Time [s] and value (n,).
Sample = tuple[float, NDArray[np.float64]]


class Timeline:
    """The newest samples of a vector, and its value between them. Times in s."""

    def __init__(self, length: int) -> None:
        self._samples: deque[Sample] = deque(maxlen=length)

    @property
    def newest(self) -> float:
        """Time of the newest sample; -inf before the first."""
        return self._samples[-1][0] if self._samples else -np.inf

    def add(self, time: float, value: NDArray[np.float64]) -> None:
        """Appends a sample; one that is not newer than the last is left out."""
        if time > self.newest:
            self._samples.append((time, value))

    def at(self, time: float) -> NDArray[np.float64]:
        """Value at `time`, linear between samples, that of the nearest one outside of them.

        LookupError before the first sample.
        """
        (before, value), (after, next_value) = self._around(time)
        if not before < time < after:
            return next_value if time >= after else value
        share = (time - before) / (after - before)
        return (1 - share) * value + share * next_value

    def nearest(self, time: float) -> Sample:
        """The sample nearest to `time`. LookupError before the first sample."""
        return min(self._around(time), key=lambda sample: abs(sample[0] - time))

    def _around(self, time: float) -> tuple[Sample, Sample]:
        """The samples before and after `time`; outside of all the outermost one, twice."""
        if not self._samples:
            raise LookupError('no samples yet')
        after = self._samples[-1]
        for sample in reversed(self._samples):  # what is asked for is never far back
            if sample[0] <= time:
                return sample, after
            after = sample
        return after, after


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
