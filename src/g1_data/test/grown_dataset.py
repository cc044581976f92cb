"""Datasets of very many short episodes, without the time that recording them takes."""

import json
import os
from pathlib import Path

import numpy as np

from g1_data import DatasetWriter, Schema, layout
from g1_description import load_embodiment

SCHEMA = Schema.of(load_embodiment(), {'head': (48, 64)})
LENGTH = 10


def record(writer: DatasetWriter, task: str = 'Wave.') -> None:
    with writer.episode(task) as episode:
        for k in range(LENGTH):
            image = np.full((48, 64, 3), 10 * k, np.uint8)
            episode.add(np.full(16, k), np.full(16, k), {'head': image})


def grown(root: Path, count: int, files: bool = False) -> Path:
    """A dataset that says it has `count` episodes, all as its first; their files where asked."""
    with DatasetWriter.create(root, SCHEMA) as writer:
        record(writer)
    for name in ('episodes.jsonl', 'episodes_stats.jsonl'):
        (line,) = (root / 'meta' / name).read_text().splitlines()
        first = '"episode_index": 0'
        assert first in line
        with (root / 'meta' / name).open('w') as file:
            file.writelines(
                line.replace(first, f'"episode_index": {k}', 1) + '\n' for k in range(count)
            )
    info = json.loads((root / 'meta/info.json').read_text())
    info |= {'total_episodes': count, 'total_frames': count * LENGTH}
    (root / 'meta/info.json').write_text(json.dumps(info))
    if files:
        key = SCHEMA.videos['head'].key
        for path in (layout.data_path, lambda k: layout.video_path(k, key)):
            source = root / path(0)
            content = source.read_bytes()
            for k in range(1, count):
                target = root / path(k)
                if k % layout.CHUNK_SIZE == 0:
                    target.parent.mkdir(parents=True)
                    target.write_bytes(content)
                    source = target
                else:
                    os.link(source, target)
    return root
