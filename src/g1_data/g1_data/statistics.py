"""Statistics of episodes and datasets as LeRobot v2.1 defines them.

Of a column with T rows of n numbers: min, max, mean, std (population) over the rows, each (n,), and
count (1,) = T. Of images: the same over all pixels and frames in [0, 1] for each channel, shape
(3, 1, 1); count is the number of frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from g1_data.schema import expect

#: What is counted.
KEYS = ('min', 'max', 'mean', 'std', 'count')
#: Statistic name to its value: min, max, mean, std, count.
Statistics = dict[str, np.ndarray]

_IMAGE_SIZE = 150  # pixels kept along the longer side, as LeRobot does


def column_statistics(column: np.ndarray) -> Statistics:
    """Of a column (T,) or (T, n), in float64."""
    rows = np.asarray(column, dtype=np.float64).reshape(len(column), -1)
    return {
        'min': rows.min(axis=0),
        'max': rows.max(axis=0),
        'mean': rows.mean(axis=0),
        'std': rows.std(axis=0),
        'count': np.array([len(rows)]),
    }


class ImageStatistics:
    """Collects the statistics of images (H, W, 3) uint8, one at a time."""

    def __init__(self) -> None:
        self._histogram = np.zeros((3, 256), dtype=np.int64)
        self._frames = 0

    def add(self, image: np.ndarray) -> None:
        """Takes in one image."""
        stride = max(1, max(image.shape[:2]) // _IMAGE_SIZE)
        sample = image[::stride, ::stride]
        for channel in range(3):
            self._histogram[channel] += np.bincount(sample[..., channel].ravel(), minlength=256)
        self._frames += 1

    def result(self) -> Statistics:
        """Of the images so far, of which there has to be one."""
        values = np.arange(256) / 255.0
        share = self._histogram / self._histogram.sum(axis=1, keepdims=True)
        mean = share @ values
        std = np.sqrt(np.maximum(share @ values**2 - mean**2, 0.0))
        seen = [np.flatnonzero(channel) for channel in self._histogram]
        result = {
            'min': np.array([values[s[0]] for s in seen]),
            'max': np.array([values[s[-1]] for s in seen]),
            'mean': mean,
            'std': std,
        }
        return {
            **{name: value.reshape(3, 1, 1) for name, value in result.items()},
            'count': np.array([self._frames]),
        }


def aggregate(
    episodes: Iterable[Any], count: int, features: Sequence[str] = ()
) -> dict[str, Statistics]:
    """Statistics of all rows together, from those of `count` episodes as in episodes_stats.jsonl.

    Of these features, of all that the first episode has where none is named. They are read one by
    one. ValueError names the episode and feature whose statistics are missing or misshapen.
    """
    result: dict[str, Statistics] = {}
    number = -1
    for number, content in enumerate(episodes):
        where = f'episode {number}'
        if not features:
            features = tuple(expect(content, dict, f'{where}: stats', 'a mapping'))
        parts = from_json(content, where, features)
        result = {
            name: _joined(result[name], part, f'{where}: {name}') if name in result else part
            for name, part in parts.items()
        }
    if number + 1 < count:
        raise ValueError(f'expected statistics of {count} episodes, got {number + 1}')
    return result


def _joined(a: Statistics, b: Statistics, where: str) -> Statistics:
    """Of two sets of rows (Chan, Golub, LeVeque: Updating formulae for variances, 1979)."""
    if a['mean'].shape != b['mean'].shape:
        raise ValueError(f'{where}: expected shape {a["mean"].shape}, got {b["mean"].shape}')
    count = a['count'] + b['count']
    delta, share = b['mean'] - a['mean'], b['count'][0] / count[0]
    variance = (1 - share) * (a['std'] ** 2 + share * delta**2) + share * b['std'] ** 2
    return {
        'min': np.minimum(a['min'], b['min']),
        'max': np.maximum(a['max'], b['max']),
        'mean': a['mean'] + share * delta,
        'std': np.sqrt(variance),
        'count': count,
    }


def to_json(statistics: Mapping[str, Statistics]) -> dict[str, dict[str, list]]:
    """Statistics as a line of episodes_stats.jsonl has them."""
    return {
        feature: {name: value.tolist() for name, value in values.items()}
        for feature, values in statistics.items()
    }


def from_json(
    content: Any, where: str, features: Sequence[str] | None = None
) -> dict[str, Statistics]:
    """Statistics as a line of episodes_stats.jsonl has them; ValueError names what is missing."""
    content = expect(content, dict, f'{where}: stats', 'a mapping')
    names = content if features is None else features
    return {name: _read(content.get(name), f'{where}: {name}') for name in names}


def _read(content: Any, where: str) -> Statistics:
    missing = [key for key in KEYS if key not in expect(content, dict, where, 'a mapping')]
    if missing:
        raise ValueError(f'{where}: missing: {", ".join(missing)}')
    try:
        values = {key: np.asarray(content[key], dtype=np.float64) for key in KEYS}
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f'{where}: expected numbers') from None
    shapes = {values[key].shape for key in KEYS if key != 'count'}
    if len(shapes) != 1 or values['count'].shape != (1,) or not 1 <= values['count'][0] < 2**53:
        raise ValueError(f'{where}: expected one shape of all, and a count of at least 1')
    return values | {'count': values['count'].astype(np.int64)}
