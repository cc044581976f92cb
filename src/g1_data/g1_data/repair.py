"""Makes a dataset's statistics those of its data again; what was there before is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from g1_data import json_lines, layout
from g1_data.assemble import episode_statistics
from g1_data.dataset import Dataset, Episode
from g1_data.schema import INDEX_COLUMNS
from g1_data.statistics import Statistics, column_statistics, to_json


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
            {'episode_index': episode.index, 'stats': to_json(_statistics(dataset, episode))}
            for episode in track(dataset.episodes)
        ]
        kept = layout.aside(dataset.root, path.name)
        if path.is_file():
            layout.move(path, kept)
        layout.write_atomically(path, json_lines.text(lines))
    return kept


def _statistics(dataset: Dataset, episode: Episode) -> dict[str, Statistics]:
    columns = dataset.read_finite(episode.index)
    videos = dataset.schema.videos_by_key
    images = {key: dataset.frames(episode.index, key) for key in videos}
    statistics = episode_statistics(columns, images)
    return statistics | {name: column_statistics(columns[name]) for name in INDEX_COLUMNS}
