"""Makes a dataset's statistics those of its data again; what was there before is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from g1_data import layout
from g1_data.dataset import Dataset, Episode
from g1_data.statistics import ImageStatistics, column_statistics, to_json


def rewrite_statistics(
    root: str | Path, track: Callable[[Iterable[Episode]], Iterable[Episode]] = iter
) -> Path:
    """Computes meta/episodes_stats.jsonl from data and videos. Returns where the old one is kept.

    Raises:
        FileNotFoundError: an episode's file is missing; nothing is changed then.
    """
    dataset = Dataset(root)
    lines = []
    for episode in track(dataset.episodes):
        images = ImageStatistics()
        for image in dataset.frames(episode.index):
            images.add(image)
        columns = dataset.read_episode(episode.index)
        statistics = {name: column_statistics(values) for name, values in columns.items()}
        statistics[layout.VIDEO_KEY] = images.result()
        lines.append({'episode_index': episode.index, 'stats': to_json(statistics)})
    path = dataset.root / 'meta' / 'episodes_stats.jsonl'
    kept = dataset.root / layout.ASIDE / time.strftime('%Y%m%d-%H%M%S-episodes_stats.jsonl')
    kept.parent.mkdir(exist_ok=True)
    if path.is_file():
        layout.write_atomically(kept, path.read_text())
    layout.write_atomically(path, layout.jsonl_text(lines))
    return kept
