"""Reads a LeRobot dataset, v2.1 or v2.0."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from g1_data import json_lines, layout
from g1_data.columns import read_column, read_columns, refuse_nan
from g1_data.mapping import ColumnMap
from g1_data.schema import INDEX_COLUMNS, TOTALS, Extra, Schema, expect
from g1_data.statistics import Statistics, aggregate, from_json
from g1_data.video import decode
from g1_description import Camera


@dataclass(frozen=True)
class Episode:
    """An entry of the dataset: `length` frames of one demonstration of `tasks` (instructions).

    health: how the recording went, where the recorder has said so: `healthy` (bool), `text` (what
    is outside its limits) and what it measured; `outcome`, where anybody said it: success, failure.
    """

    index: int
    length: int
    tasks: tuple[str, ...]
    health: Mapping[str, Any] | None = None

    @property
    def task(self) -> str:
        """Its instruction; the first one where there are several, each frame having its own."""
        return self.tasks[0]


class Dataset:
    """A dataset on disk; reads no data before it is asked to.

    Attributes:
        root: the dataset's folder.
        info: content of meta/info.json.
        schema: what every frame holds.
        mapped: where in the files it is.
        episodes: the episodes, in order.
    """

    def __init__(self, root: str | Path, mapping: ColumnMap | None = None) -> None:
        """Opens the dataset at `root`; `mapping` says which of its columns are what.

        Raises:
            FileNotFoundError: `root` is no dataset.
            ValueError: it is of another version, or names the entry of meta/ that cannot be read.
        """
        self.root = Path(root)
        self.info = layout.read_info(self.root, layout.READABLE)
        try:
            modality = layout.read_modality(self.root)
            self.mapped = (mapping or ColumnMap()).apply(self.info, modality)
            self.schema: Schema = self.mapped.schema
            self._totals = {name: _count(self.info.get(name), name) for name in TOTALS}
        except ValueError as error:
            raise ValueError(f'{self.root}/meta/info.json: {error}') from None
        path = self.root / 'meta' / 'episodes.jsonl'
        lines = json_lines.read(path, self._totals['total_episodes'])
        self.episodes: tuple[Episode, ...] = tuple(
            _episode(line, number, f'{path}, line {number + 1}')
            for number, line in enumerate(lines)
        )

    @property
    def fps(self) -> int:
        """Frames per second."""
        return self.schema.fps

    @property
    def state_names(self) -> tuple[str, ...]:
        """What each number of a state is, in order."""
        return self.schema.state.names

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each number of an action is, in order."""
        return self.schema.action.names

    @property
    def extras(self) -> Mapping[str, Extra]:
        """What every frame holds beside state, action and images."""
        return self.schema.extras

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras: the last words of their features."""
        return tuple(self.schema.videos)

    def image_shape(self, camera: Camera | str | None = None) -> tuple[int, int]:
        """(H, W) of a camera's video; cameras as of `frames`."""
        return self.schema.videos_by_key[self.video_key(camera)].shape

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Instructions, in the order of task_index."""
        path = self.root / 'meta' / 'tasks.jsonl'
        lines = json_lines.read(path, self._totals['total_tasks'])
        return tuple(
            expect(line.get('task'), str, f'{path}, line {number}: task', 'a text')
            for number, line in enumerate(lines, 1)
        )

    def episode_statistics(self, index: int) -> dict[str, Statistics]:
        """Feature name to the episode's statistics. ValueError where they are missing."""
        path = self._statistics_path
        if index >= len(self._statistics_at):
            raise ValueError(f'{path}: no statistics of episode {index}; {_COMPUTE}')
        line = json_lines.read_at(path, self._statistics_at[index])
        return self._ours(from_json(line.get('stats'), f'{path}, line {index + 1}'))

    def image_statistics(self, index: int) -> dict[str, Statistics]:
        """Feature of each camera to the statistics of its images, where they are there."""
        with suppress(ValueError):
            given = self.episode_statistics(index)
            keys = self.schema.videos_by_key.keys() & given.keys()
            return {key: given[key] for key in keys if given[key]['mean'].shape == (3, 1, 1)}
        return {}

    def frame_tasks(self, index: int, task_index: np.ndarray | None = None) -> list[str]:
        """The instruction of each frame of an episode; one where it is the same for all.

        task_index: that column of the episode, if it has been read. ValueError: it has a number
        that is none of a task.
        """
        episode = self.episodes[index]
        if len(episode.tasks) == 1:
            return [episode.task]
        if task_index is None:
            task_index = self.read_episode(index, ['task_index'])['task_index']
        unknown = set(task_index.tolist()) - set(range(len(self.tasks)))
        if unknown:
            raise ValueError(
                f'{self.data_path(index)}: task_index: expected 0 to {len(self.tasks) - 1}, '
                f'got {min(unknown)}'
            )
        return [self.tasks[number] for number in task_index]

    def statistics(self, *features: str) -> dict[str, Statistics]:
        """Feature name to min, max, mean, std and count over all episodes; all without names.

        ValueError where there are no episodes, or statistics of one are missing.
        """
        path, count = self._statistics_path, len(self.episodes)
        if not count:
            raise ValueError(f'{self.root} has no episodes, so it has no statistics')
        lines = (line.get('stats') for line in json_lines.read(path, count))
        columns = self.mapped.columns
        theirs = [columns[name].column if name in columns else name for name in features]
        try:
            return self._ours(aggregate(lines, count, theirs))
        except ValueError as error:
            raise ValueError(f'{path}: {error}; {_COMPUTE}') from None

    def read_episode(
        self, index: int, columns: Iterable[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Columns of the episode, all without names: state (T, S), action (T, A), extras (T, n),
        bookkeeping (T,).

        ValueError where a column is missing or not of the type that info.json says.
        """
        path = self._path(self.data_path(index))
        names = (*self.schema.columns, *INDEX_COLUMNS) if columns is None else tuple(columns)
        sources = self.mapped.columns
        theirs = {name: sources[name].column if name in sources else name for name in names}
        try:
            with pq.ParquetFile(path) as file:  # an eighth of read_table's time for so few rows
                table = file.read(columns=list(theirs.values()), use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f'{path}: not a parquet file: {error}') from None
        if missing := [name for name in theirs.values() if name not in table.column_names]:
            raise ValueError(f'{path}: column {missing[0]} is missing')
        read = read_columns(table, self.mapped, path)
        for name in set(names) & INDEX_COLUMNS.keys():
            read[name] = read_column(table, name, 1, INDEX_COLUMNS[name], path)[:, 0]
        return {name: read[name] for name in names}

    def read_finite(
        self, index: int, columns: Iterable[str] | None = None
    ) -> dict[str, np.ndarray]:
        """As `read_episode`. ValueError names the first NaN or Inf: episode, frame and joint."""
        read = self.read_episode(index, columns)
        for column, values in read.items():
            if column in self.schema.columns:
                refuse_nan(values, f'{self.root}: episode {index}', column, self.schema)
        return read

    def frames(
        self,
        index: int,
        camera: Camera | str | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> Iterator[np.ndarray]:
        """Images start..stop-1 of the episode (to its end without `stop`), (H, W, 3) uint8 RGB.

        camera: of an embodiment, or the name or feature of one; the first where none is given.
        ValueError where the dataset does not have it.
        """
        return decode(self._path(self.video_path(index, camera)), start, stop)

    def data_path(self, index: int) -> Path:
        """The parquet file of an episode."""
        return self.root / layout.data_path(index)

    def video_path(self, index: int, camera: Camera | str | None = None) -> Path:
        """The video of an episode; cameras as of `frames`."""
        return self.root / layout.video_path(index, self.mapped.videos[self.video_key(camera)])

    def video_key(self, camera: Camera | str | None = None) -> str:
        """The feature of a camera; cameras as of `frames`."""
        videos = self.schema.videos
        if camera is None and videos:
            return next(iter(videos.values())).key
        wanted = camera.key if isinstance(camera, Camera) else camera
        for name, video in videos.items():
            if wanted in (name, video.key):
                return video.key
        raise ValueError(
            f'{self.root}: expected one of the cameras {", ".join(videos) or "(it has none)"}, '
            f'got {wanted}'
        )

    def content_hash(self, track: Callable[[Iterable[Path]], Iterable[Path]] = iter) -> str:
        """SHA-256 over all files of the dataset: two sets with the same hash are the same data.

        It is computed once. `track` wraps the files, for a progress bar.
        """
        if self._hash is None:
            digest = hashlib.sha256()
            folders = (self.root / name for name in ('meta', 'data', 'videos'))
            paths = [p for f in folders for p in sorted(f.rglob('[!.]*')) if p.is_file()]
            for path in track(paths):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f'{path.relative_to(self.root)} {content}\n'.encode())
            self._hash = digest.hexdigest()
        return self._hash

    _hash: str | None = None

    def _ours(self, statistics: dict[str, Statistics]) -> dict[str, Statistics]:
        """Statistics of the files as those of the schema's columns and videos."""
        found = {name: statistics[name] for name in INDEX_COLUMNS if name in statistics}
        for ours, theirs in self.mapped.videos.items():
            if theirs in statistics:
                found[ours] = statistics[theirs]
        for name, source in self.mapped.columns.items():
            given = statistics.get(source.column)
            if given is not None and source.whole:
                found[name] = given
            elif given is not None and given['mean'].shape == (source.size,):
                pick = list(source.pick)
                found[name] = {k: v if k == 'count' else v[pick] for k, v in given.items()}
        return found

    @property
    def _statistics_path(self) -> Path:
        return self.root / 'meta' / 'episodes_stats.jsonl'

    @cached_property
    def _statistics_at(self) -> np.ndarray:
        """Where the line of each episode begins; of those that there are."""
        places = json_lines.offsets(self._statistics_path, len(self.episodes))
        return np.array(places, dtype=np.int64)

    def _path(self, path: Path) -> Path:
        if not path.is_file():
            raise FileNotFoundError(
                f'{self.root} has {len(self.episodes)} episodes, and {path} is not there'
            )
        return path


_COMPUTE = '`g1 dataset stats` computes them from the data'


def _episode(line: Mapping[str, Any], number: int, where: str) -> Episode:
    index = _count(line.get('episode_index'), f'{where}: episode_index')
    if index != number:
        raise ValueError(
            f'{where}: episode_index: expected {number}, got {index}; each is listed once, in order'
        )
    tasks = expect(line.get('tasks'), list, f'{where}: tasks', 'a list of instructions')
    if not tasks:
        raise ValueError(f'{where}: tasks: expected an instruction or several, got an empty list')
    for task in tasks:
        expect(task, str, f'{where}: tasks', 'a list of instructions')
    health = line.get('health')
    if health is not None:
        expect(health, dict, f'{where}: health', 'a mapping')
    return Episode(
        index,
        _count(line.get('length'), f'{where}: length'),
        tuple(tasks),
        health,
    )


def _count(value: Any, where: str) -> int:
    if type(value) is not int or value < 0:
        got = 'nothing' if value is None else repr(value)
        raise ValueError(f'{where}: expected a whole number of at least 0, got {got[:100]}')
    return value
