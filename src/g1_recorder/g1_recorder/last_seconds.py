"""The last seconds while nothing is recorded, kept when something odd has happened. No ROS."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from g1_data import DatasetWriter
from g1_recorder.health import EpisodeHealth
from g1_recorder.recording import Frame, fitted

_CHAPTER = 1.0  # [s] of health that is forgotten at a time


class LastSeconds:
    """Rows in memory, their images of the dataset's size, and how well they came.

    Attributes:
        seconds: of rows that are kept at most.
        frames: the rows, the oldest first.
    """

    def __init__(self, writer: DatasetWriter, seconds: float) -> None:
        self.seconds = seconds
        self.frames: deque[Frame] = deque(maxlen=max(1, round(seconds * writer.fps)))
        self._writer = writer
        self._chapters: deque[EpisodeHealth] = deque(maxlen=max(1, round(seconds / _CHAPTER)))

    @property
    def full(self) -> bool:
        """Whether there are rows of all these seconds."""
        return len(self.frames) == self.frames.maxlen

    def add(self, frame: Frame) -> None:
        """Takes a row in; its images are decoded at once, as they are smaller then."""
        shapes = self._writer.schema.videos
        images = {
            camera: partial(_same, fitted(image(), shapes[camera].shape))
            for camera, image in frame.images.items()
        }
        self.frames.append(replace(frame, images=images))

    def add_raw(self, _topic: str, _stamp: int, _data: bytes) -> None:
        """Raw topics are not kept."""

    def clear(self) -> None:
        """Forgets all, as when there was a gap."""
        self.frames.clear()
        self._chapters.clear()

    def is_over(self, health: EpisodeHealth, now: float) -> bool:
        """Whether it is time for the next piece of health; times in s."""
        return now - health.started >= _CHAPTER

    def append(self, health: EpisodeHealth) -> None:
        """How well the rows since the last call came."""
        self._chapters.append(health)

    def health(self, newest: EpisodeHealth) -> EpisodeHealth:
        """Of all rows that are kept; `newest` is of those since the last `append`."""
        whole, *others = (*self._chapters, newest)
        for health in others:
            whole = whole.joined(health)
        return whole

    def save(self, task: str, health: Mapping[str, Any]) -> int:
        """Writes the rows as an episode, forgets them, and returns its index.

        Raises OSError and ValueError as `EpisodeWriter.save`; the rows are kept then.
        """
        with self._writer.episode(task) as episode:
            for frame in self.frames:
                images = {camera: image() for camera, image in frame.images.items()}
                episode.add(frame.state, frame.action, images, frame.extras)
            index = episode.save(health)
        self.clear()
        return index


def _same(image: np.ndarray) -> np.ndarray:
    return image
