"""Datasets to look at: some that move, and very many short ones."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from g1_data import Dataset, DatasetWriter, Extra, Schema, layout
from g1_data.schema import Video
from g1_description import load_embodiment, load_robot
from g1_description.control_source import CONTROL_KEY, ControlSource

HOME = load_robot().home
_SHAPE = (120, 160)
_ROWS = 40


def _schema() -> Schema:
    return Schema.of(
        load_embodiment(), {'head': _SHAPE}, extras={CONTROL_KEY: Extra((CONTROL_KEY,), 'uint8')}
    )


def recorded(root: Path, count: int = 4) -> Dataset:
    """Episodes of 4 s and more in which both arms rise; a bar in the picture goes with the row."""
    with DatasetWriter.create(root, _schema()) as writer:
        for number in range(count):
            episode = writer.episode(('Raise both arms.', 'Lower both arms.')[number % 2])
            rows = _ROWS + 5 * number
            for k in range(rows):
                state = HOME.copy()
                state[[0, 7]] -= 0.6 * np.sin(np.pi * k / rows)
                image = np.full((*_SHAPE, 3), 60 + 40 * number, np.uint8)
                image[:, : 1 + k * _SHAPE[1] // rows] = (230, 120, 40)
                source = ControlSource.POLICY if k < rows // 2 else ControlSource.OPERATOR
                episode.add(state, state, {'head': image}, {CONTROL_KEY: np.array([source])})
            healthy = number != 1
            episode.save(
                {
                    'healthy': healthy,
                    'text': '' if healthy else 'head: no image for 0.31 s',
                    'outcome': ('success', 'failure', '')[number % 3],
                }
            )
    return Dataset(root)


def demonstrated(root: Path) -> Dataset:
    """Pieces of the demonstration in docs/first-motion, as if they had been recorded."""
    source = Dataset(Path(__file__).parents[3] / 'docs' / 'first-motion')
    rows, frames = source.read_episode(0), list(source.frames(0))
    schema = replace(_schema(), videos={'head': Video(source.video_key(), source.image_shape())})
    with DatasetWriter.create(root, schema) as writer:
        for number, (first, stop) in enumerate(
            ((0, 87), (0, 60), (20, 87), (0, 45), (40, 87), (10, 70))
        ):
            episode = writer.episode(source.episodes[0].task)
            for k in range(first, stop):
                who = ControlSource.OPERATOR if k >= 60 else ControlSource.POLICY
                episode.add(
                    rows['observation.state'][k],
                    rows['action'][k],
                    {'head': frames[k]},
                    {CONTROL_KEY: np.array([who])},
                )
            lost = number == 3
            episode.save(
                {
                    'healthy': not lost,
                    'text': 'head: no image for 0.31 s' if lost else '',
                    'outcome': 'success' if stop == 87 else 'failure',
                    'flag': 'the can slips' if number == 5 else '',
                }
            )
    return Dataset(root)


def multiplied(root: Path, count: int) -> Dataset:
    """One episode as so many: their files are one file, as far as the file system lets them."""
    dataset = recorded(root, 1)
    for name in ('episodes.jsonl', 'episodes_stats.jsonl'):
        path = root / 'meta' / name
        line = json.loads(path.read_text())
        path.write_text(
            ''.join(json.dumps(line | {'episode_index': k}) + '\n' for k in range(count))
        )
    info = json.loads((root / 'meta/info.json').read_text())
    info |= {'total_episodes': count, 'total_frames': count * dataset.episodes[0].length}
    (root / 'meta/info.json').write_text(json.dumps(info))
    key = dataset.video_key()
    for k in range(1, count):
        for place in (layout.data_path, lambda k: layout.video_path(k, key)):
            (root / place(k)).parent.mkdir(parents=True, exist_ok=True)
            os.link(root / place(0), root / place(k))
    return Dataset(root)
