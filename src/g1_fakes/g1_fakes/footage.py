"""Recorded pictures played over and over: a video file, or a folder of images. No ROS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_IMAGES = {'.png', '.jpg', '.jpeg', '.bmp'}


class Footage:
    """Frames of (height, width, 3) RGB, scaled to cover that size and cut to it around the middle.

    A video plays in its own time, a folder's images in the order of their names at `rate` [Hz].
    Raises ValueError when there is nothing to play.
    """

    def __init__(self, path: str, rate: float, width: int, height: int) -> None:
        self._path, self._period, self._size = Path(path), 1 / rate, (width, height)
        if not path or not self._path.exists():
            raise ValueError(
                f'parameter path: expected a video file or a folder of images, got {path!r}, '
                'which is not there'
            )
        self._frames = self._play()
        self._shown, self._next = next(self._frames), next(self._frames)

    def at(self, time: float) -> Pixels:
        """The frame on show at `time` [s]; times never go back."""
        while self._next[0] <= time:
            self._shown, self._next = self._next, next(self._frames)
        return self._shown[1]

    def _play(self) -> Iterator[tuple[float, Pixels]]:
        """Frames with the time at which each comes, without end."""
        start = 0.0
        while True:
            last, gap = -1.0, self._period
            for time, frame in self._once():
                yield start + time, self._fit(frame)
                gap = time - last if last >= 0 else gap
                last = time
            if last < 0:
                raise ValueError(f'parameter path: {self._path} holds no picture to play')
            start += last + max(gap, 1e-3)  # the last one stays as long as the one before it

    def _once(self) -> Iterator[tuple[float, av.VideoFrame]]:
        if self._path.is_dir():
            pictures = sorted(p for p in self._path.iterdir() if p.suffix.lower() in _IMAGES)
            for k, picture in enumerate(pictures):
                yield from ((k * self._period, frame) for _, frame in _decode(picture))
        else:
            yield from _decode(self._path)

    def _fit(self, frame: av.VideoFrame) -> Pixels:
        width, height = self._size
        scale = max(width / frame.width, height / frame.height)
        whole = frame.reformat(
            max(width, round(frame.width * scale)),
            max(height, round(frame.height * scale)),
            format='rgb24',
        ).to_ndarray()
        top, left = (whole.shape[0] - height) // 2, (whole.shape[1] - width) // 2
        return whole[top : top + height, left : left + width].astype(np.uint8, copy=False)


def _decode(path: Path) -> Iterator[tuple[float, av.VideoFrame]]:
    try:
        with av.open(str(path)) as container:
            first = None
            for frame in container.decode(video=0):
                time = frame.time or 0.0
                first = time if first is None else first
                yield time - first, frame
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f'parameter path: {path} is no video or image: {error}') from None
