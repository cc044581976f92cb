"""Writes episodes on a thread of its own, so that no frame waits for the encoder. No ROS."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from g1_data import DatasetWriter

_QUEUE = 90  # frames [about 80 MB at 640x480]
_SAVE_TIMEOUT = 60.0  # [s]


@dataclass(frozen=True)
class Frame:
    """A row: state and action (16,), a function that makes the image (H, W, 3) uint8 RGB, extras.

    extras: see `DatasetWriter.extras`.
    """

    state: np.ndarray
    action: np.ndarray
    image: Callable[[], np.ndarray]
    extras: Mapping[str, np.ndarray]


class EpisodeRecording:
    """One episode being written.

    Attributes:
        frames: taken in so far.
        dropped: lost, as the encoder was too slow or failed.
        error: what went wrong on the writing thread.
    """

    def __init__(self, writer: DatasetWriter, task: str) -> None:
        self.frames = 0
        self.dropped = 0
        self.error: Exception | None = None
        self._episode = writer.episode(task)
        self._shape = writer.image_shape
        self._queue: queue.Queue[Frame | None] = queue.Queue(_QUEUE)
        self._thread = threading.Thread(target=self._work, name='episode_writer', daemon=True)
        self._thread.start()

    def add(self, frame: Frame) -> None:
        """Takes the frame in and returns at once."""
        try:
            self._queue.put_nowait(frame)
        except queue.Full:
            self.dropped += 1
        else:
            self.frames += 1

    def save(self, health: Mapping[str, Any]) -> int:
        """Waits until all frames are on disk and returns the index of the episode.

        `health` is kept with it. Raises what went wrong while writing, or ValueError without
        frames; nothing is left then.
        """
        self._finish()
        if self.error is not None:
            self._episode.discard()
            raise self.error
        return self._episode.save(health)

    def discard(self) -> None:
        """Leaves nothing of the episode on disk."""
        self._finish()
        self._episode.discard()

    def _finish(self) -> None:
        self._queue.put(None, timeout=_SAVE_TIMEOUT)
        self._thread.join(_SAVE_TIMEOUT)

    def _work(self) -> None:
        while (frame := self._queue.get()) is not None:
            if self.error is not None:
                self.dropped += 1
                continue
            try:
                image = _fitted(frame.image(), self._shape)
                self._episode.add(frame.state, frame.action, image, frame.extras)
            except Exception as error:
                self.error = error


def _fitted(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """`image` scaled to `shape` (H, W)."""
    if image.shape[:2] == shape:
        return image
    height, width = shape
    factor = image.shape[0] // height
    if image.shape[:2] == (height * factor, width * factor):
        return np.asarray(Image.fromarray(image).reduce(factor))
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))
