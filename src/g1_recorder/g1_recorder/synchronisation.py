"""Rows of a constant rate from images, states and commands that come at their own. No ROS."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
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

    def clear(self) -> None:
        """Forgets all samples, as when the clock was set."""
        self._samples.clear()

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

    def latest(self, time: float) -> Sample:
        """The newest sample that is not after `time`, or the first. LookupError before that."""
        return self._around(time)[0]

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
class Shot(Generic[Image]):
    """An image, and its distance from the time of its row [s]."""

    image: Image
    residual: float


@dataclass(frozen=True)
class Row(Generic[Image]):
    """Time of a row [s], and for each camera the image nearest to it."""

    time: float
    shots: Mapping[str, Shot[Image]]


class FrameGrid(Generic[Image]):
    """Chooses for each row of a constant rate the image of every camera that is nearest to it.

    The first image of the first camera is row 0, and there are rows as far as its images go. A row
    whose nearest image is further away than with a camera of the same rate still gets it, so that
    rows stay where they belong in time, and is counted.

    Attributes:
        missed: for each camera, rows that had to take an image of another moment.
    """

    def __init__(self, fps: float, cameras: Sequence[str]) -> None:
        self.missed = dict.fromkeys(cameras, 0)
        self._fps = fps
        self._first = cameras[0]
        self._start: float | None = None
        self._row = 0
        self._images: dict[str, deque[tuple[float, Image]]] = {c: deque() for c in cameras}

    def add(self, camera: str, time: float, image: Image) -> None:
        """Takes in an image; one that is not newer than the camera's last is left out."""
        images = self._images[camera]
        if not images or time > images[-1][0]:
            if self._start is None:
                images.clear()  # of before the first row the newest is enough
                self._start = time if camera == self._first else None
            images.append((time, image))

    def rows(self, overdue: float = -np.inf) -> Iterator[Row[Image]]:
        """Rows that can be decided now: every camera has come to their time.

        Up to the time `overdue` [s] the first camera alone is waited for.
        """
        while self._start is not None and all(self._images.values()):
            time = self._start + self._row / self._fps
            newest = {camera: images[-1][0] + 1e-6 for camera, images in self._images.items()}
            waiting = time > overdue and min(newest.values()) < time
            if waiting or newest[self._first] < time:
                return
            self._row += 1
            yield Row(time, {camera: self._nearest(camera, time) for camera in self._images})

    def _nearest(self, camera: str, time: float) -> Shot[Image]:
        images = self._images[camera]
        while len(images) > 1 and images[1][0] <= time:
            images.popleft()
        taken, image = min(list(images)[:2], key=lambda candidate: abs(candidate[0] - time))
        residual = abs(taken - time)
        self.missed[camera] += residual > 0.6 / self._fps
        return Shot(image, residual)
