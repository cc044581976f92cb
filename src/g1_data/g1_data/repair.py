"""Statistics of data that lacks them or has wrong ones; what was there before is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from g1_data import json_lines, layout
from g1_data.dataset import Dataset, Episode
from g1_data.statistics import ImageStatistics, Statistics, column_statistics, to_json


def rewrite_statistics(
    root: str | Path, track: Callable[[Iterable[Episode]], Iterable[Episode]] = iter
) -> Path:
    """Computes meta/episodes_stats.jsonl from data and videos. Returns where the old one is kept.

    Raises:
        FileNotFoundError: an episode's file is missing; nothing is changed then.
        BlockingIOError: another process is writing to the dataset.
    """
    path = Path(root) / 'meta' / 'episodes_stats.jsonl'
    with layout.locked(Path(root)):
        dataset = Dataset(root)
        lines = [
            {'episode_index': episode.index, 'stats': to_json(_computed(dataset, episode.index))}
            for episode in track(dataset.episodes)
        ]
        kept = layout.aside(dataset.root, path.name)
        if path.is_file():
            layout.move(path, kept)
        layout.write_atomically(path, json_lines.text(lines))
    return kept


def _computed(dataset: Dataset, index: int) -> dict[str, Statistics]:
    images = {key: dataset.frames(index, key) for key in dataset.schema.videos_by_key}
    return computed_statistics(dataset.read_finite(index), images)


def complete_statistics(
    dataset: Dataset, index: int, columns: Mapping[str, np.ndarray]
) -> dict[str, Statistics]:
    """Of an episode with these columns: of its images those that it has, else computed anew."""
    known = dataset.image_statistics(index)
    unknown = {
        key: dataset.frames(index, key) for key in dataset.schema.videos_by_key if key not in known
    }
    return {**computed_statistics(columns, unknown), **known}


def computed_statistics(
    columns: Mapping[str, np.ndarray], images: Mapping[str, Iterable[np.ndarray]]
) -> dict[str, Statistics]:
    """Of an episode's columns, and of the images of each camera."""
    statistics = {name: column_statistics(values) for name, values in columns.items()}
    for key, frames in images.items():
        pictures = ImageStatistics()
        for frame in frames:
            pictures.add(frame)
        statistics[key] = pictures.result()
    return statistics
