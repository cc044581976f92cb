"""Writes episodes as a LeRobot v2.1 dataset. An episode is in the dataset whole or not at all."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
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
#: The lists of meta/, in the order they are written, and what in info.json says how long each is.
_LISTS = {
    'tasks.jsonl': 'total_tasks',
    'episodes_stats.jsonl': 'total_episodes',
    'episodes.jsonl': 'total_episodes',
}

_log = logging.getLogger(__name__)


class DatasetWriter:
    """Adds episodes to a dataset. Make one with `create`.

    writer = DatasetWriter.create('data/flowers', 10, robot.action_joints, (240, 320))
    with writer.episode('Pick up the flower and put it into the vase.') as episode:
        episode.add(state, action, image)

    One process at a time may write; several record into datasets of their own, which `merge` joins.

    Attributes:
        root: the dataset's folder.
        set_aside: what a killed writer had left unfinished, moved to these paths at opening.
    """

    def __init__(self, root: Path, info: dict[str, Any], lock: ExitStack) -> None:
        self.root = root
        self.set_aside: list[Path] = []
        self._info = info
        self._lock = lock
        self._lines = {
            name: _lines(root / 'meta' / name, info[total]) for name, total in _LISTS.items()
        }

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
            joint_names: 16 names, the order of state and action (`robot.action_joints`).
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
        layout.make_folder(root / 'meta')
        with ExitStack() as lock:
            lock.enter_context(layout.locked(root))
            if info_file.is_file():
                info = json.loads(info_file.read_text())
                _refuse_other(root, info, wanted)
            else:
                info = wanted
                layout.write_atomically(
                    root / 'meta' / 'modality.json', layout.json_text(layout.modality())
                )
                layout.write_atomically(info_file, layout.json_text(info))
            writer = cls(root, info, lock.pop_all())
        try:
            writer._repair()
        except BaseException:
            writer.close()
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
        self._lock.close()

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
        raw: Path | None = None,
    ) -> int:
        """Makes a finished recording the next episode of the dataset and returns its index.

        Args:
            columns: observation.state and action, each (T, 16), and the dataset's extras.
            video: finished mp4 with T frames, in the dataset's file system; it is moved.
            task: instruction of the episode.
            statistics: of the columns and the video; bookkeeping columns are added here.
            health: how the recording went, kept with the episode (see `dataset.Episode`).
            raw: folder of its raw topics (`raw_log`), in the same file system; it is moved.

        Raises:
            OSError: it cannot be written; the dataset is as it was.
        """
        index = self.total_episodes
        length = len(columns[layout.STATE_KEY])
        tasks = [line['task'] for line in self._lines['tasks.jsonl']]
        if task not in tasks:
            tasks.append(task)
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
            'task_index': np.full(length, tasks.index(task), dtype=np.int64),
        }
        all_statistics = dict(statistics) | {
            name: column_statistics(table[name]) for name in layout.INDEX_COLUMNS
        }
        line: dict[str, Any] = {'episode_index': index, 'tasks': [task], 'length': length}
        episode_line = line if health is None else line | {'health': dict(health)}
        statistics_line = {'episode_index': index, 'stats': to_json(all_statistics)}
        lines = {
            'tasks.jsonl': [{'task_index': k, 'task': text} for k, text in enumerate(tasks)],
            'episodes_stats.jsonl': [*self._lines['episodes_stats.jsonl'], statistics_line],
            'episodes.jsonl': [*self._lines['episodes.jsonl'], episode_line],
        }
        episodes = index + 1
        info = self._info | {
            'total_episodes': episodes,
            'total_frames': self._info['total_frames'] + length,
            'total_tasks': len(tasks),
            'total_videos': episodes,
            'total_chunks': index // layout.CHUNK_SIZE + 1,
            'splits': {'train': f'0:{episodes}'},
        }
        parquet = video.with_suffix('.parquet')
        moves = {parquet: layout.data_path(index), video: layout.video_path(index)}
        if raw is not None:
            moves[raw] = layout.raw_path(index)
        try:
            _write_parquet(parquet, table)
            for source, target in moves.items():
                layout.move(source, self.root / target)
            self._write_lists(lines)
            layout.write_atomically(self.root / 'meta' / 'info.json', layout.json_text(info))
        except OSError:
            self._take_back([self.root / target for target in moves.values()])
            raise
        self._info, self._lines = info, lines
        return index

    def _write_lists(self, lines: Mapping[str, Sequence[dict[str, Any]]]) -> None:
        for name in _LISTS:
            layout.write_atomically(self.root / 'meta' / name, layout.jsonl_text(lines[name]))

    def _take_back(self, paths: Sequence[Path]) -> None:
        """Undoes what a commit had done before it failed; what resists waits for `_repair`."""
        for path in paths:
            _remove(path)
        with suppress(OSError):
            self._write_lists(self._lines)

    def _repair(self) -> None:
        """Sets aside what a killed writer left: staged recordings and files not in info.json."""
        meta, total = self.root / 'meta', self.total_episodes
        for path in meta.glob('.*.new'):
            path.unlink()
        if any(layout.read_jsonl(meta / name) != self._lines[name] for name in _LISTS):
            self._write_lists(self._lines)
        left = list((self.root / _STAGING).glob('*'))
        for pattern in ('data/*/episode_*.parquet', 'videos/*/*/episode_*.mp4', 'raw/episode_*'):
            left += [
                path
                for path in self.root.glob(pattern)
                if int(path.stem.removeprefix('episode_')) >= total
            ]
        if left:
            aside = layout.aside(self.root, f'episode_{total:06d}')
            for path in left:
                layout.move(path, aside / path.name)
                self.set_aside.append(aside / path.name)
            _log.warning(
                '%s: a recording was interrupted; its files (%s) were set aside in %s; '
                'the %d finished episodes are untouched',
                self.root,
                ', '.join(path.name for path in left),
                aside,
                total,
            )
        _remove(self.root / _STAGING)


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
        self._writer = writer
        self.folder = writer.root / _STAGING / f'{time.time_ns()}'
        self.folder.mkdir(parents=True)
        self._video = self.folder / f'episode_{writer.total_episodes:06d}.mp4'
        try:
            self._encoder = VideoEncoder(self._video, writer.fps, writer.image_shape)
        except OSError:
            _remove(self.folder)
            raise
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
        self._encoder.add(image)
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
            statistics[layout.VIDEO_KEY] = self._image_statistics.result()
            self._encoder.finish()
            return self._writer.commit(columns, self._video, self.task, statistics, health, raw)
        finally:
            self.discard()

    def discard(self) -> None:
        """Forgets the episode; nothing that is not part of the dataset stays on disk."""
        if self._open:
            self._open = False
            self._encoder.abandon()
            _remove(self.folder)
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


def _vector(name: str, values: np.ndarray, size: int, dtype: str = 'float32') -> np.ndarray:
    vector = np.asarray(values, dtype=dtype)
    if vector.shape != (size,):
        raise ValueError(f'{name}: expected ({size},) numbers, got {vector.shape}')
    if not np.isfinite(vector).all():
        bad = ', '.join(str(i) for i in np.flatnonzero(~np.isfinite(vector)))
        raise ValueError(f'{name}: expected finite numbers, got NaN or Inf at {bad}')
    return vector


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
    pq.write_table(pa.table(arrays), path)
    layout.sync(path)


def _lines(path: Path, total: int) -> list[dict[str, Any]]:
    """The first `total` lines, those that count; ValueError where there are fewer."""
    lines = layout.read_jsonl(path)
    if len(lines) < total:
        raise ValueError(
            f'{path}: expected {total} lines, as info.json says, got {len(lines)}; '
            '`g1 dataset validate` names all faults'
        )
    return lines[:total]


def _remove(path: Path) -> None:
    """Deletes a file or folder if it is there and can be deleted."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
