"""One episode while it is recorded: its rows in memory, its pictures in videos being encoded."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from g1_data.schema import ACTION_KEY, CODEC, PIX_FMT, STATE_KEY
from g1_data.statistics import ImageStatistics, Statistics, column_statistics
from g1_data.video import VideoEncoder

if TYPE_CHECKING:
    from g1_data.writer import DatasetWriter

#: Folder of a dataset for what is being recorded.
STAGING = '.staging'


class EpisodeWriter:
    """One episode being recorded: `add` frames, then `save` or `discard`; `with` does either.

    Attributes:
        task: its instruction.
        folder: where it is written before it is saved.
    """

    def __init__(self, writer: DatasetWriter, task: str) -> None:
        if not task.strip():
            raise ValueError('an episode needs the instruction of its task, got an empty one')
        self.task = task
        self._writer, self._schema = writer, writer.schema
        for video in self._schema.videos.values():
            if (video.codec, video.pix_fmt) != (CODEC, PIX_FMT):
                raise ValueError(
                    f'{writer.root}: {video.key} is {video.codec} {video.pix_fmt}, what is '
                    f'recorded is {CODEC} {PIX_FMT}; record into another folder'
                )
        self.folder = writer.root / STAGING / f'{time.time_ns()}'
        self.folder.mkdir(parents=True)
        self._open = True
        self._cameras: dict[str, _CameraFile] = {}
        try:
            for name, video in self._schema.videos.items():
                path = self.folder / f'{name}.mp4'
                self._cameras[name] = _CameraFile(path, writer.fps, video.shape)
        except OSError:
            self.discard()
            raise
        self._columns: dict[str, list[np.ndarray]] = {name: [] for name in self._schema.columns}
        self._tasks: list[str] = []

    def __len__(self) -> int:
        return len(self._columns[STATE_KEY])

    def add(
        self,
        state: np.ndarray,
        action: np.ndarray,
        images: Mapping[str, np.ndarray],
        extras: Mapping[str, np.ndarray] | None = None,
        task: str = '',
    ) -> None:
        """Appends one frame.

        Args:
            state: (S,) measured joint positions [rad] and gripper openings [m].
            action: (A,) commanded targets for this frame's time.
            images: of every camera by its name, (H, W, 3) uint8 RGB of the dataset's shape.
            extras: the dataset's extras, all of them.
            task: instruction of this frame; '' for the episode's.

        Raises:
            ValueError: wrong shape or type, or a number that is not finite; the frame is not added.
        """
        given = {STATE_KEY: state, ACTION_KEY: action, **(extras or {})}
        if given.keys() != self._columns.keys():
            raise ValueError(
                f'extras: expected {", ".join(self._schema.extras) or "none"}, '
                f'got {", ".join(extras or {}) or "none"}'
            )
        columns = self._schema.columns.items()
        row = {name: _vector(name, given[name], size, dtype) for name, (size, dtype) in columns}
        if images.keys() != self._cameras.keys():
            raise ValueError(
                f'images: expected those of {", ".join(self._cameras)}, '
                f'got {", ".join(images) or "none"}'
            )
        for name, image in images.items():
            expected = (*self._schema.videos[name].shape, 3)
            if image.shape != expected or image.dtype != np.uint8:
                raise ValueError(
                    f'image of {name}: expected {expected} uint8, got {image.shape} {image.dtype}'
                )
        for name, image in images.items():
            self._cameras[name].add(image)
        for name, values in row.items():
            self._columns[name].append(values)
        self._tasks.append(task or self.task)

    def save(self, health: Mapping[str, Any] | None = None, raw: Path | None = None) -> int:
        """Completes the episode, adds it to the dataset and returns its index.

        Args:
            health: how the recording went, kept with the episode (see `dataset.Episode`).
            raw: folder of its raw topics below `folder`, finished.

        Raises:
            ValueError: it has no frames.
            OSError: it cannot be written, as on a full disk. Nothing of the episode is left then.
        """
        try:
            if not len(self):
                raise ValueError('the episode has no frames, so there is nothing to save')
            columns = {name: np.stack(values) for name, values in self._columns.items()}
            statistics = {name: column_statistics(values) for name, values in columns.items()}
            videos = {}
            for name, camera in self._cameras.items():
                key = self._schema.videos[name].key
                statistics[key] = camera.finish()
                videos[key] = camera.path
            return self._writer.commit(columns, videos, self._tasks, statistics, health, raw)
        finally:
            self.discard()

    def discard(self) -> None:
        """Forgets the episode; nothing that is not part of the dataset stays on disk."""
        if self._open:
            self._open = False
            for camera in self._cameras.values():
                camera.abandon()
            shutil.rmtree(self.folder, ignore_errors=True)
            with suppress(OSError):  # another episode is being recorded
                self.folder.parent.rmdir()

    def __enter__(self) -> EpisodeWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if kind is None and self._open:
            self.save()
        else:
            self.discard()


class _CameraFile:
    """The video of one camera, and the statistics of its images."""

    def __init__(self, path: Path, fps: int, shape: tuple[int, int]) -> None:
        self.path = path
        self._encoder = VideoEncoder(path, fps, shape)
        self._statistics = ImageStatistics()

    def add(self, image: np.ndarray) -> None:
        """Takes in one image."""
        self._encoder.add(image)
        self._statistics.add(image)

    def finish(self) -> Statistics:
        """Completes the file; statistics of its images."""
        self._encoder.finish()
        return self._statistics.result()

    def abandon(self) -> None:
        """Lets go of the file."""
        self._encoder.abandon()


def _vector(name: str, values: np.ndarray, size: int, dtype: str) -> np.ndarray:
    vector = np.asarray(values, dtype=dtype)
    if vector.shape != (size,):
        raise ValueError(f'{name}: expected ({size},) numbers, got {vector.shape}')
    if not np.isfinite(vector).all():
        bad = ', '.join(str(i) for i in np.flatnonzero(~np.isfinite(vector)))
        raise ValueError(f'{name}: expected finite numbers, got NaN or Inf at {bad}')
    return vector
