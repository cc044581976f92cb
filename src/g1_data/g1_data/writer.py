"""Writes episodes as a LeRobot v2.1 dataset. An episode is in the dataset whole or not at all."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from g1_data import json_lines, layout
from g1_data.columns import arrow_table
from g1_data.episode_writer import STAGING, EpisodeWriter
from g1_data.schema import INDEX_COLUMNS, STATE_KEY, Schema, difference, expect, read_schema
from g1_data.statistics import Statistics, column_statistics, to_json

_log = logging.getLogger(__name__)


class DatasetWriter:
    """Adds episodes to a dataset. Make one with `create`.

    schema = Schema.of(load_embodiment('g1_aloha'), {'head': (240, 320)})
    with DatasetWriter.create('data/flowers', schema) as writer:
        with writer.episode('Pick up the flower and put it into the vase.') as episode:
            episode.add(state, action, {'head': image})

    One process at a time may write; several record into datasets of their own, which `merge` joins.
    Adding an episode costs the same whatever is there already: lists are added to, not rewritten.

    Attributes:
        root: the dataset's folder.
        schema: what every frame holds.
        set_aside: what a killed writer had left unfinished, moved to these paths at opening.
    """

    def __init__(self, root: Path, info: dict[str, Any], schema: Schema, lock: ExitStack) -> None:
        self.root = root
        self.schema = schema
        self.set_aside: list[Path] = []
        self._info = info
        self._lock = lock
        meta = root / 'meta'
        tasks = (line.get('task') for line in json_lines.read(meta / 'tasks.jsonl', self._tasks))
        self._task_index = {
            expect(task, str, f'{meta}/tasks.jsonl, line {number + 1}: task', 'a text'): number
            for number, task in enumerate(tasks)
        }
        self._ends = {
            'tasks.jsonl': self._end('tasks.jsonl', 'task_index', self._tasks),
            **{
                name: self._end(name, 'episode_index', self.total_episodes)
                for name in ('episodes_stats.jsonl', 'episodes.jsonl')
            },
        }

    @classmethod
    def create(cls, root: str | Path, schema: Schema) -> DatasetWriter:
        """Opens the dataset at `root` to add episodes, and makes it if it does not exist.

        Raises:
            ValueError: `root` holds a dataset of another rate, shape or names, or other files.
            BlockingIOError: another process is writing to it.
        """
        root = Path(root)
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
                info = layout.read_info(root)
                _refuse_other(root, info, schema)
            else:
                info = schema.info()
                layout.write_atomically(
                    root / 'meta' / 'modality.json', layout.json_text(schema.modality())
                )
                layout.write_atomically(info_file, layout.json_text(info))
            writer = cls(root, info, schema, lock.pop_all())
        try:
            writer._repair()
        except BaseException:
            writer.close()
            raise
        return writer

    @property
    def total_episodes(self) -> int:
        """How many episodes the dataset has."""
        return int(self._info['total_episodes'])

    @property
    def fps(self) -> int:
        """Frames per second."""
        return self.schema.fps

    @property
    def _tasks(self) -> int:
        return int(self._info['total_tasks'])

    def episode(self, task: str) -> EpisodeWriter:
        """Starts an episode of the task with this instruction; a `with` saves it at the end.

        ValueError: no instruction, or the dataset's videos are not of the codec that is recorded.
        """
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
        videos: Mapping[str, Path],
        tasks: Sequence[str],
        statistics: Mapping[str, Statistics],
        health: Mapping[str, Any] | None = None,
        raw: Path | None = None,
    ) -> int:
        """Makes a finished recording the next episode of the dataset and returns its index.

        Args:
            columns: observation.state and action, each (T, n), and the dataset's extras.
            videos: feature of each camera to its finished mp4 with T frames, in the dataset's file
                system; they are moved.
            tasks: instruction of each frame, or one for all of them.
            statistics: of the columns and the videos; bookkeeping columns are added here.
            health: how the recording went, kept with the episode (see `dataset.Episode`).
            raw: folder of its raw topics (`raw_log`), in the same file system; it is moved.

        Raises:
            OSError: it cannot be written; the dataset is as it was.
        """
        index = self.total_episodes
        length = len(columns[STATE_KEY])
        own = tuple(dict.fromkeys(tasks))
        new = [task for task in own if task not in self._task_index]
        added = {task: self._tasks + k for k, task in enumerate(new)}
        task_index = {t: added[t] if t in added else self._task_index[t] for t in own}
        frames = np.arange(length, dtype=np.int64)
        table = {
            **{
                name: np.asarray(columns[name], dtype=dtype)
                for name, (_, dtype) in self.schema.columns.items()
            },
            'timestamp': (frames / self.fps).astype(np.float32),
            'frame_index': frames,
            'episode_index': np.full(length, index, dtype=np.int64),
            'index': frames + self._info['total_frames'],
            'task_index': np.broadcast_to(
                np.array([task_index[task] for task in tasks], dtype=np.int64), length
            ),
        }
        all_statistics = dict(statistics) | {
            name: column_statistics(table[name]) for name in INDEX_COLUMNS
        }
        line: dict[str, Any] = {'episode_index': index, 'tasks': list(own), 'length': length}
        lines = {
            'tasks.jsonl': [{'task_index': task_index[task], 'task': task} for task in new],
            'episodes_stats.jsonl': [{'episode_index': index, 'stats': to_json(all_statistics)}],
            'episodes.jsonl': [line if health is None else line | {'health': dict(health)}],
        }
        episodes = index + 1
        info = self._info | {
            'total_episodes': episodes,
            'total_frames': self._info['total_frames'] + length,
            'total_tasks': self._tasks + len(new),
            'total_videos': episodes * len(videos),
            'total_chunks': index // layout.CHUNK_SIZE + 1,
            'splits': {'train': f'0:{episodes}'},
        }
        staged = next(iter(videos.values())).parent if videos else self.root
        parquet = staged / f'episode_{index:06d}.parquet'
        moves = {parquet: layout.data_path(index)}
        moves |= {video: layout.video_path(index, key) for key, video in videos.items()}
        if raw is not None:
            moves[raw] = layout.raw_path(index)
        ends = dict(self._ends)
        try:
            pq.write_table(arrow_table(table), parquet)
            layout.sync(parquet)
            for source, target in moves.items():
                layout.move(source, self.root / target)
            for name, more in lines.items():
                if more:
                    path = self.root / 'meta' / name
                    ends[name] = json_lines.append(path, self._ends[name], more)
            layout.write_atomically(self.root / 'meta' / 'info.json', layout.json_text(info))
        except OSError:
            self._take_back([parquet, *(self.root / target for target in moves.values())])
            raise
        self._info, self._ends = info, ends
        self._task_index |= added
        return index

    def _end(self, name: str, key: str, count: int) -> int:
        """Where the lines of a list end that count."""
        path = self.root / 'meta' / name
        return json_lines.end(path, count, lambda line: line.get(key) == count - 1)

    def _take_back(self, paths: Sequence[Path]) -> None:
        """Undoes what a commit had done before it failed; what resists waits for `_repair`."""
        for path in paths:
            _remove(path)
        with suppress(OSError):
            self._cut_lists()

    def _cut_lists(self) -> None:
        for name, end in self._ends.items():
            json_lines.truncate(self.root / 'meta' / name, end)

    def _repair(self) -> None:
        """Sets aside what a killed writer left: staged recordings and files not in info.json."""
        meta, total = self.root / 'meta', self.total_episodes
        for path in meta.glob('.*.new'):
            path.unlink()
        self._cut_lists()
        left = [*(self.root / STAGING).glob('*'), *_beyond(self.root, total)]
        if left:
            aside = layout.aside(self.root, f'episode_{total:06d}')
            for path in left:
                place = path.relative_to(self.root)
                target = aside / (path.name if place.parts[0] == STAGING else place)
                layout.move(path, target)
                self.set_aside.append(target)
            _log.warning(
                '%s: a recording was interrupted; its files (%s) were set aside in %s; '
                'the %d finished episodes are untouched',
                self.root,
                ', '.join(path.name for path in self.set_aside),
                aside,
                total,
            )
        _remove(self.root / STAGING)


def _beyond(root: Path, total: int) -> Iterator[Path]:
    """Files of episodes from number `total` on; full folders of those before are not looked at."""
    for folder in (*root.glob('data/chunk-*'), *root.glob('videos/chunk-*/*'), root / 'raw'):
        chunk = re.search(r'/chunk-(\d+)', str(folder.relative_to(root.parent)))
        if chunk is None or int(chunk[1]) >= total // layout.CHUNK_SIZE:
            for path in folder.glob('episode_*'):
                number = path.stem.removeprefix('episode_')
                if number.isdecimal() and int(number) >= total:
                    yield path


def _refuse_other(root: Path, info: dict[str, Any], schema: Schema) -> None:
    """Raises ValueError naming the first difference between the dataset at `root` and `schema`."""
    try:
        found = difference(read_schema(info), schema)
    except ValueError as error:
        raise ValueError(f'{root}/meta/info.json: {error}') from None
    if found:
        what, there, wanted = found
        raise ValueError(
            f'{root} is a dataset with {what} {there}, which cannot take episodes with {what} '
            f'{wanted}; choose another folder'
        )


def _remove(path: Path) -> None:
    """Deletes a file or folder if it is there and can be deleted."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
