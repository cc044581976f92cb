"""Writes episodes as a LeRobot v2.1 dataset. An episode is in the dataset whole or not at all."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from g1_data import layout
from g1_data.statistics import ImageStatistics, Statistics, column_statistics, to_json
from g1_data.video import VideoEncoder

_STAGING = '.staging'

_log = logging.getLogger(__name__)


class DatasetWriter:
    """Adds episodes to a dataset. Make one with `create`.

    writer = DatasetWriter.create('data/flowers', 10, robot.chunk_joints, (240, 320))
    with writer.episode('Pick up the flower and put it into the vase.') as episode:
        episode.add(state, action, image)

    One process at a time may write; several record into datasets of their own, which `merge` joins.

    Attributes:
        root: the dataset's folder.
        set_aside: what a killed writer had left unfinished, moved to these paths at opening.
    """

    def __init__(self, root: Path, info: dict[str, Any], lock: int) -> None:
        self.root = root
        self.set_aside: list[Path] = []
        self._info = info
        self._lock = lock
        meta = root / 'meta'
        total = info['total_episodes']
        self._episodes = layout.read_jsonl(meta / 'episodes.jsonl')[:total]
        self._statistics = layout.read_jsonl(meta / 'episodes_stats.jsonl')[:total]
        tasks = layout.read_jsonl(meta / 'tasks.jsonl')[: info['total_tasks']]
        self._tasks = {line['task']: line['task_index'] for line in tasks}

    @classmethod
    def create(
        cls,
        root: str | Path,
        fps: int,
        joint_names: Sequence[str],
        image_shape: tuple[int, int],
        robot_type: str = layout.ROBOT_TYPE,
        extras: Mapping[str, layout.Extra] | None = None,
    ) -> DatasetWriter:
        """Opens the dataset at `root` to add episodes, and makes it if it does not exist.

        Args:
            root: folder of the dataset; parents are made.
            fps: frames per second of every episode, a whole number.
            joint_names: 16 names, the order of state and action (`robot.chunk_joints`).
            image_shape: (H, W) of the stored video, both even.
            robot_type: goes into info.json.
            extras: what every frame holds beside state, action and image.

        Raises:
            ValueError: `root` holds a dataset of another rate, shape or joints, or other files.
            BlockingIOError: another process is writing to it.
        """
        root = Path(root)
        if not isinstance(fps, int) or fps < 1:
            raise ValueError(f'fps: expected a whole number of at least 1, got {fps!r}')
        table = layout.features(joint_names, image_shape, fps, extras)
        wanted = layout.info(robot_type, fps, table)
        info_file = root / 'meta' / 'info.json'
        if not info_file.is_file() and root.exists() and any(root.iterdir()):
            found = ', '.join(sorted(p.name for p in root.iterdir())[:5])
            raise ValueError(
                f'{root} is neither empty nor a dataset (it holds {found}); choose another folder'
            )
        (root / 'meta').mkdir(parents=True, exist_ok=True)
        lock = _lock(root)
        try:
            if info_file.is_file():
                info = json.loads(info_file.read_text())
                _refuse_other(root, info, wanted)
            else:
                info = wanted
                layout.write_atomically(
                    root / 'meta' / 'modality.json', layout.json_text(layout.modality())
                )
                layout.write_atomically(info_file, layout.json_text(info))
            writer = cls(root, info, lock)
            writer._set_unfinished_aside()
        except BaseException:
            os.close(lock)
            raise
        return writer

    @property
    def total_episodes(self) -> int:
        return self._info['total_episodes']

    @property
    def fps(self) -> int:
        return self._info['fps']

    @property
    def image_shape(self) -> tuple[int, int]:
        """(H, W) of the stored video."""
        height, width, _ = self._info['features'][layout.VIDEO_KEY]['shape']
        return height, width

    @property
    def extras(self) -> dict[str, layout.Extra]:
        return layout.extras(self._info['features'])

    def episode(self, task: str) -> EpisodeWriter:
        """Starts an episode of the task with this instruction; a `with` saves it at the end."""
        return EpisodeWriter(self, task)

    def close(self) -> None:
        """Lets another process write to the dataset."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def commit(
        self,
        columns: Mapping[str, np.ndarray],
        video: Path,
        task: str,
        statistics: Mapping[str, Statistics],
        health: Mapping[str, Any] | None = None,
    ) -> int:
        """Makes a finished recording the next episode of the dataset and returns its index.

        Args:
            columns: observation.state and action, each (T, 16), and the dataset's extras.
            video: finished mp4 with T frames, in the dataset's file system; it is moved.
            task: instruction of the episode.
            statistics: of the columns and the video; bookkeeping columns are added here.
            health: how the recording went, kept with the episode (see `dataset.Episode`).
        """
        index = self.total_episodes
        length = len(columns[layout.STATE_KEY])
        task_index = self._tasks.get(task, len(self._tasks))
        frames = np.arange(length, dtype=np.int64)
        table = {
            **{
                name: np.asarray(values, dtype=self._info['features'][name]['dtype'])
                for name, values in columns.items()
            },
            'timestamp': (frames / self.fps).astype(np.float32),
            'frame_index': frames,
            'episode_index': np.full(length, index, dtype=np.int64),
            'index': frames + self._info['total_frames'],
            'task_index': np.full(length, task_index, dtype=np.int64),
        }
        all_statistics = dict(statistics) | {
            name: column_statistics(table[name]) for name in layout.INDEX_COLUMNS
        }
        parquet = video.with_suffix('.parquet')
        _write_parquet(parquet, table)
        _move(parquet, self.root / layout.data_path(index))
        _move(video, self.root / layout.video_path(index))

        self._tasks.setdefault(task, task_index)
        line: dict[str, Any] = {'episode_index': index, 'tasks': [task], 'length': length}
        self._episodes.append(line if health is None else line | {'health': dict(health)})
        self._statistics.append({'episode_index': index, 'stats': to_json(all_statistics)})
        episodes = index + 1
        self._info |= {
            'total_episodes': episodes,
            'total_frames': self._info['total_frames'] + length,
            'total_tasks': len(self._tasks),
            'total_videos': episodes,
            'total_chunks': index // layout.CHUNK_SIZE + 1,
            'splits': {'train': f'0:{episodes}'},
        }
        self._write_meta()
        return index

    def _write_meta(self) -> None:
        meta = self.root / 'meta'
        tasks = ({'task_index': index, 'task': task} for task, index in self._tasks.items())
        for name, lines in (
            ('tasks.jsonl', tasks),
            ('episodes_stats.jsonl', self._statistics),
            ('episodes.jsonl', self._episodes),
        ):
            layout.write_atomically(meta / name, layout.jsonl_text(lines))
        layout.write_atomically(meta / 'info.json', layout.json_text(self._info))

    def _set_unfinished_aside(self) -> None:
        """Moves away what a killed writer left: staged recordings and files not in info.json."""
        total = self.total_episodes
        left = list((self.root / _STAGING).glob('*'))
        for pattern in ('data/*/episode_*.parquet', 'videos/*/*/episode_*.mp4'):
            left += [
                path
                for path in self.root.glob(pattern)
                if int(path.stem.removeprefix('episode_')) >= total
            ]
        if not left:
            return
        aside = self.root / layout.ASIDE / time.strftime(f'%Y%m%d-%H%M%S-episode_{total:06d}')
        aside.mkdir(parents=True, exist_ok=True)
        for path in left:
            target = aside / path.name
            path.replace(target)
            self.set_aside.append(target)
        self._write_meta()
        _log.warning(
            '%s: a recording was interrupted; its files (%s) were set aside in %s; '
            'the %d finished episodes are untouched',
            self.root,
            ', '.join(path.name for path in left),
            aside,
            total,
        )


class EpisodeWriter:
    """One episode being recorded: `add` frames, then `save` or `discard`; `with` does either."""

    def __init__(self, writer: DatasetWriter, task: str) -> None:
        if not task.strip():
            raise ValueError('an episode needs the instruction of its task, got an empty one')
        self.task = task
        self._writer = writer
        folder = writer.root / _STAGING / f'{time.time_ns()}'
        folder.mkdir(parents=True)
        self._folder = folder
        self._video = folder / f'episode_{writer.total_episodes:06d}.mp4'
        self._encoder = VideoEncoder(self._video, writer.fps, writer.image_shape)
        self._image_statistics = ImageStatistics()
        self._extras = writer.extras
        self._columns: dict[str, list[np.ndarray]] = {
            name: [] for name in (layout.STATE_KEY, layout.ACTION_KEY, *self._extras)
        }
        self._open = True

    def __len__(self) -> int:
        return len(self._columns[layout.STATE_KEY])

    def add(
        self,
        state: np.ndarray,
        action: np.ndarray,
        image: np.ndarray,
        extras: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Appends one frame.

        Args:
            state: (16,) measured joint positions [rad] and gripper openings [m].
            action: (16,) commanded targets for this frame's time, same order and units.
            image: (H, W, 3) uint8 RGB of the dataset's shape.
            extras: the dataset's extras, all of them.

        Raises:
            ValueError: wrong shape or type, or a number that is not finite; the frame is not added.
        """
        row = {
            layout.STATE_KEY: _vector('state', state, layout.VECTOR_SIZE),
            layout.ACTION_KEY: _vector('action', action, layout.VECTOR_SIZE),
            **self._extra_row(extras or {}),
        }
        expected = (*self._writer.image_shape, 3)
        if image.shape != expected or image.dtype != np.uint8:
            raise ValueError(f'image: expected {expected} uint8, got {image.shape} {image.dtype}')
        self._encoder.add(np.ascontiguousarray(image))
        self._image_statistics.add(image)
        for name, values in row.items():
            self._columns[name].append(values)

    def _extra_row(self, extras: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if extras.keys() != self._extras.keys():
            raise ValueError(
                f'extras: expected {", ".join(self._extras) or "none"}, '
                f'got {", ".join(extras) or "none"}'
            )
        return {
            name: _vector(name, extras[name], len(extra.names), extra.dtype)
            for name, extra in self._extras.items()
        }

    def save(self, health: Mapping[str, Any] | None = None) -> int:
        """Completes the episode, adds it to the dataset and returns its index.

        health: how the recording went, kept with the episode (see `dataset.Episode`).
        """
        if not len(self):
            self.discard()
            raise ValueError('the episode has no frames, so there is nothing to save')
        columns = {name: np.stack(values) for name, values in self._columns.items()}
        statistics = {name: column_statistics(values) for name, values in columns.items()}
        statistics[layout.VIDEO_KEY] = self._image_statistics.result()
        try:
            self._encoder.finish()
            index = self._writer.commit(columns, self._video, self.task, statistics, health)
        finally:
            self._open = False
            self._remove_staging()
        return index

    def discard(self) -> None:
        """Forgets the episode; nothing of it stays on disk."""
        if self._open:
            self._open = False
            self._encoder.abandon()
            self._remove_staging()

    def _remove_staging(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        if not any(self._folder.parent.iterdir()):
            self._folder.parent.rmdir()

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


def _vector(name: str, values: np.ndarray, size: int, dtype: str = 'float32') -> np.ndarray:
    vector = np.asarray(values, dtype=dtype)
    if vector.shape != (size,):
        raise ValueError(f'{name}: expected ({size},) numbers, got {vector.shape}')
    if not np.isfinite(vector).all():
        bad = ', '.join(str(i) for i in np.flatnonzero(~np.isfinite(vector)))
        raise ValueError(f'{name}: expected finite numbers, got NaN or Inf at {bad}')
    return vector


def _lock(root: Path) -> int:
    """Descriptor that holds the dataset's folder for this process until it is closed."""
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise BlockingIOError(
            f'another process is writing to {root}; wait for it, or record into another folder '
            'and merge the two with `g1 dataset merge`'
        ) from None
    return descriptor


def _refuse_other(root: Path, info: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raises ValueError naming the first difference between the dataset at `root` and `wanted`."""
    for key in ('codebase_version', 'fps', 'robot_type'):
        if info.get(key) != wanted[key]:
            raise ValueError(
                f'{root} is a dataset with {key} {info.get(key)}, which cannot take episodes with '
                f'{key} {wanted[key]}; choose another folder'
            )
    for name in sorted({*info['features'], *wanted['features']}):
        for key in ('dtype', 'shape', 'names'):
            have = info['features'].get(name, {}).get(key)
            want = wanted['features'].get(name, {}).get(key)
            if have != want:
                raise ValueError(
                    f'{root} is a dataset whose {name} has {key} {have}, which cannot take '
                    f'episodes with {key} {want}; choose another folder'
                )


def _write_parquet(path: Path, table: Mapping[str, np.ndarray]) -> None:
    arrays = {
        name: pa.array(values)
        if values.ndim == 1
        else pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
        for name, values in table.items()
    }
    with path.open('wb') as file:
        pq.write_table(pa.table(arrays), file)
        file.flush()
        os.fsync(file.fileno())


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    layout.sync_folder(target.parent)
