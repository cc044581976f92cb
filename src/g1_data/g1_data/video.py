"""Video files of a constant frame rate: frame k of the file is row k of the episode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from g1_data import layout

_GROUP = 5  # frames between key frames: a random frame costs five decodings at most


class VideoEncoder:
    """Encodes frames to an h264 mp4 file while they come.

    Args:
        path: file to write.
        fps: frames per second.
        image_shape: (H, W) of the frames, both even.
    """

    def __init__(self, path: Path, fps: int, image_shape: tuple[int, int]) -> None:
        self._path = path
        self._container = av.open(str(path), 'w', format='mp4')
        self._stream = self._container.add_stream(
            'libx264',
            rate=fps,
            options={
                'preset': 'superfast',
                'crf': '20',
                'bf': '0',
                'g': str(_GROUP),
                'sc_threshold': '0',
            },
        )
        self._stream.height, self._stream.width = image_shape
        self._stream.pix_fmt = 'yuv420p'
        self._stream.codec_context.time_base = Fraction(1, fps)
        self._stream.codec_context.thread_count = 1
        self._frames = 0

    def add(self, image: np.ndarray) -> None:
        """Appends one frame, (H, W, 3) uint8 RGB."""
        frame = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format='rgb24')
        frame.pts = self._frames
        frame.time_base = self._stream.codec_context.time_base
        self._container.mux(self._stream.encode(frame))
        self._frames += 1

    def finish(self) -> None:
        """Completes the file and brings it to the disk. OSError where it cannot be written."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        layout.sync(self._path)

    def abandon(self) -> None:
        """Releases the encoder and the file, which is of no use afterwards."""
        with suppress(OSError):  # a full disk takes no end of the file either
            self._container.close()


def decode(path: Path, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
    """Frames start..stop-1 of a video (to its end without `stop`), each (H, W, 3) uint8 RGB.

    ValueError where it is no video, has no constant rate, or its codec is not there.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f'{path}: no video stream')
            frames = _decode(path, container, start, stop)
            first = next(frames, None)
            if first is None and start == 0 and stop != 0:
                raise ValueError(f'{path}: cannot be decoded: no picture in it')
            if first is not None:
                yield first
                yield from frames
    except av.FFmpegError as error:
        raise ValueError(f'{path}: cannot be decoded: {error}') from None


def _decode(path: Path, container: Any, start: int, stop: int | None) -> Iterator[np.ndarray]:
    stream = container.streams.video[0]
    stream.thread_type = 'SLICE'
    if stream.average_rate is None or stream.time_base is None:
        raise ValueError(f'{path}: expected a video of a constant frame rate, it states none')
    frame_time = 1 / (stream.average_rate * stream.time_base)  # in ticks of the stream
    begin = stream.start_time or 0
    if start > 0:
        container.seek(begin + round(start * frame_time), stream=stream)
    for frame in container.decode(stream):
        index = round(((frame.pts or 0) - begin) / frame_time)
        if stop is not None and index >= stop:
            return
        if index >= start:
            yield frame.to_ndarray(format='rgb24')
