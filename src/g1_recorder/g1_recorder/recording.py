"""Writes episodes on threads of their own, so that nothing waits for encoder or disk. No ROS."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from PIL import Image

from g1_data import DatasetWriter
from g1_data.raw_log import RawLog

_ROWS = 90  # that may wait for the encoder [about 80 MB at 640x480 for each camera]
_MESSAGES = 2000  # that may wait for the disk; some 50 of them are images
_TIMEOUT = 60.0  # [s]

Item = TypeVar('Item')


@dataclass(frozen=True)
class Frame:
    """A row: state (S,), action (A,), images and extras.

    images: for each camera a function that makes its image (H, W, 3) uint8 RGB, called on the
    writing thread. extras: see `g1_data.Schema`.
    """

    state: np.ndarray
    action: np.ndarray
    images: Mapping[str, Callable[[], np.ndarray]]
    extras: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class RawTopics:
    """Name of each topic to its type, and the .msg text of types that ROS itself does not have."""

    types: Mapping[str, str]
    definitions: Mapping[str, str]


class EpisodeRecording:
    """One episode being written, with its raw topics where `raw` names some. Raises OSError."""

    def __init__(self, writer: DatasetWriter, task: str, raw: RawTopics | None = None) -> None:
        self._episode = writer.episode(task)
        self._shapes = {name: video.shape for name, video in writer.schema.videos.items()}
        self._log: RawLog | None = None
        self._log_folder: Path | None = None
        if raw is not None:
            folder = self._episode.folder / f'episode_{writer.total_episodes:06d}'
            try:
                self._log = RawLog(folder, raw.types, raw.definitions)
            except OSError:
                self._episode.discard()
                raise
            self._log_folder = folder
        self._rows = _Lane(self._write_row, _ROWS, 'rows')
        self._messages = _Lane(self._write_message, _MESSAGES, 'messages')

    @property
    def frames(self) -> int:
        """Taken in so far."""
        return self._rows.taken

    @property
    def dropped(self) -> int:
        """Frames lost, as the encoder was too slow or failed."""
        return self._rows.dropped

    @property
    def problems(self) -> list[str]:
        """What is wrong with the writing, in words."""
        problems = []
        if self._rows.error is not None:
            problems.append(f'writing failed: {self._rows.error}')
        if self._rows.dropped:
            problems.append(f'{self._rows.dropped} frames dropped')
        if self._messages.error is not None:
            problems.append(f'no raw topics: {self._messages.error}')
        elif self._messages.dropped:
            problems.append(f'{self._messages.dropped} raw messages dropped')
        return problems

    def add(self, frame: Frame) -> None:
        """Takes the frame in and returns at once."""
        self._rows.put(frame)

    def add_raw(self, topic: str, stamp: int, data: bytes) -> None:
        """Takes in a serialised message received at `stamp` [ns, Unix] and returns at once."""
        if self._log is not None:
            self._messages.put((topic, stamp, data))

    def finish(self) -> None:
        """Waits until all is written. TimeoutError: the disk does not take it."""
        self._rows.finish()
        self._messages.finish()
        log, self._log = self._log, None
        if log is not None:
            try:
                if self._messages.error is None:
                    log.close()
            except OSError as error:
                self._messages.error = error
            if self._messages.error is not None:
                log.abandon()
                self._log_folder = None

    def save(self, health: Mapping[str, Any]) -> int:
        """Adds the finished episode to the dataset and returns its index; `health` is kept with it.

        Raw topics that could not be written are left out.

        Raises:
            OSError: rows could not be written; nothing is left of the episode.
            ValueError: the same, as there are none.
        """
        if self._rows.error is not None:
            self._episode.discard()
            raise OSError(f'writing failed: {self._rows.error}') from self._rows.error
        return self._episode.save(health, self._log_folder)

    def discard(self) -> None:
        """Leaves nothing of the episode on disk."""
        with suppress(TimeoutError):  # what hangs is set aside at the next start
            self.finish()
            self._episode.discard()

    def _write_row(self, frame: Frame) -> None:
        images = {
            camera: fitted(image(), self._shapes[camera]) for camera, image in frame.images.items()
        }
        self._episode.add(frame.state, frame.action, images, frame.extras)

    def _write_message(self, message: tuple[str, int, bytes]) -> None:
        assert self._log is not None
        self._log.add(*message)


class _Lane(Generic[Item]):
    """A bounded queue and a thread that takes what is put into it, until the first error.

    Attributes:
        taken: items let in.
        dropped: items refused, as the queue was full or the thread has failed.
        error: what the thread failed with.
    """

    def __init__(self, take: Callable[[Item], None], size: int, name: str) -> None:
        self.taken = 0
        self.dropped = 0
        self.error: Exception | None = None
        self._take = take
        self._queue: queue.Queue[Item | None] = queue.Queue(size)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Lets the item in or drops it, at once."""
        if self.error is None:
            with suppress(queue.Full):
                self._queue.put_nowait(item)
                self.taken += 1
                return
        self.dropped += 1

    def finish(self) -> None:
        """Waits until all is taken; nothing may be put afterwards. Raises TimeoutError."""
        with suppress(queue.Full):
            self._queue.put(None, timeout=_TIMEOUT)
        self._thread.join(_TIMEOUT)
        if self._thread.is_alive():
            raise TimeoutError(f'the disk did not take the episode within {_TIMEOUT:g} s')

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                if self.error is None:
                    self._take(item)
            except Exception as error:
                self.error = error


def fitted(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """`image` (H, W, 3) scaled to `shape` (H, W)."""
    if image.shape[:2] == shape:
        return image
    height, width = shape
    factor = image.shape[0] // height
    if image.shape[:2] == (height * factor, width * factor):
        return np.asarray(Image.fromarray(image).reduce(factor))
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))
