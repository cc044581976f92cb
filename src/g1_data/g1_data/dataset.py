"""Reads a LeRobot v2.1 dataset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from g1_data import layout
from g1_data.statistics import Statistics, aggregate, from_json
from g1_data.video import decode


@dataclass(frozen=True)
class Episode:
    """An entry of the dataset: `length` frames of one demonstration of `task` (its instruction).

    health: how the recording went, where the recorder has said so: `healthy` (bool), `text` (what
    is outside its limits) and what it measured.
    """

    index: int
    length: int
    task: str
    health: Mapping[str, Any] | None = None


class Dataset:
    """A dataset on disk; reads no data before it is asked to.

    Attributes:
        root: the dataset's folder.
        info: content of meta/info.json.
        episodes: the episodes, in order.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        path = self.root / 'meta' / 'info.json'
        if not path.is_file():
            raise FileNotFoundError(
                f'{self.root} is not a LeRobot dataset: {path} is missing; give the folder that '
                'holds meta/, data/ and videos/'
            )
        self.info: dict[str, Any] = json.loads(path.read_text())
        if self.info.get('codebase_version') != layout.VERSION:
            raise ValueError(
                f'{self.root}: expected LeRobot {layout.VERSION}, got '
                f'{self.info.get("codebase_version")}'
            )
        lines = layout.read_jsonl(self.root / 'meta' / 'episodes.jsonl')
        self.episodes: tuple[Episode, ...] = tuple(
            Episode(line['episode_index'], line['length'], line['tasks'][0], line.get('health'))
            for line in lines[: self.info['total_episodes']]
        )

    @property
    def fps(self) -> int:
        return self.info['fps']

    @property
    def features(self) -> dict[str, Any]:
        return self.info['features']

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Order of state and action."""
        return tuple(self.features[layout.STATE_KEY]['names'])

    @property
    def extras(self) -> dict[str, layout.Extra]:
        """What every frame holds beside state, action and image."""
        return layout.extras(self.features)

    @property
    def image_shape(self) -> tuple[int, int]:
        """(H, W) of the video."""
        height, width, _ = self.features[layout.VIDEO_KEY]['shape']
        return height, width

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Instructions, in the order of task_index."""
        lines = layout.read_jsonl(self.root / 'meta' / 'tasks.jsonl')
        return tuple(line['task'] for line in lines[: self.info['total_tasks']])

    @cached_property
    def episode_statistics(self) -> tuple[dict[str, Statistics], ...]:
        """For every episode, feature name to its statistics."""
        lines = layout.read_jsonl(self.root / 'meta' / 'episodes_stats.jsonl')
        return tuple(from_json(line['stats']) for line in lines[: self.info['total_episodes']])

    @cached_property
    def stats(self) -> dict[str, Statistics]:
        """Feature name to min, max, mean, std and count over all episodes."""
        if not self.episodes:
            raise ValueError(f'{self.root} has no episodes, so it has no statistics')
        return {
            name: aggregate(episode[name] for episode in self.episode_statistics)
            for name in self.episode_statistics[0]
        }

    def read_episode(self, index: int) -> dict[str, np.ndarray]:
        """Columns of the episode: state and action (T, 16) float32, extras (T, n), others (T,)."""
        table = pq.read_table(self._path(self.data_path(index)))
        return {
            name: column.combine_chunks()
            .flatten()
            .to_numpy(zero_copy_only=False)
            .reshape(len(table), -1)
            if name not in layout.INDEX_COLUMNS
            else column.to_numpy()
            for name, column in zip(table.column_names, table.columns, strict=True)
        }

    def frames(self, index: int, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Images start..stop-1 of the episode (to its end without `stop`), (H, W, 3) uint8 RGB."""
        return decode(self._path(self.video_path(index)), start, stop)

    def data_path(self, index: int) -> Path:
        return self.root / layout.data_path(index)

    def video_path(self, index: int) -> Path:
        return self.root / layout.video_path(index)

    def content_hash(self, track: Callable[[Iterable[Path]], Iterable[Path]] = iter) -> str:
        """SHA-256 over all files of the dataset: two sets with the same hash are the same data.

        `track` wraps the files, for a progress bar.
        """
        digest = hashlib.sha256()
        folders = (sorted((self.root / name).rglob('[!.]*')) for name in ('meta', 'data', 'videos'))
        for path in track([path for paths in folders for path in paths if path.is_file()]):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f'{path.relative_to(self.root)} {content}\n'.encode())
        return digest.hexdigest()

    def _path(self, path: Path) -> Path:
        if not path.is_file():
            raise FileNotFoundError(
                f'{self.root} has {len(self.episodes)} episodes, and {path} is not there'
            )
        return path
