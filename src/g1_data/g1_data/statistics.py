"""Statistics of episodes and datasets as LeRobot v2.1 defines them.

Of a column with T rows of n numbers: min, max, mean, std (population) over the rows, each (n,), and
count (1,) = T. Of images: the same over all pixels and frames in [0, 1] for each channel, shape
(3, 1, 1); count is the number of frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

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
        stride = max(1, max(image.shape[:2]) // _IMAGE_SIZE)
        sample = image[::stride, ::stride]
        for channel in range(3):
            self._histogram[channel] += np.bincount(sample[..., channel].ravel(), minlength=256)
        self._frames += 1

    def result(self) -> Statistics:
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


def aggregate(parts: Iterable[Statistics]) -> Statistics:
    """Statistics of all rows together, from those of the parts."""
    listed = list(parts)
    counts = np.array([part['count'][0] for part in listed], dtype=np.float64)
    shape = (-1,) + (1,) * listed[0]['mean'].ndim
    weights = (counts / counts.sum()).reshape(shape)
    means = np.stack([part['mean'] for part in listed])
    mean = (weights * means).sum(axis=0)
    variances = np.stack([part['std'] for part in listed]) ** 2
    return {
        'min': np.stack([part['min'] for part in listed]).min(axis=0),
        'max': np.stack([part['max'] for part in listed]).max(axis=0),
        'mean': mean,
        'std': np.sqrt((weights * (variances + (means - mean) ** 2)).sum(axis=0)),
        'count': np.array([int(counts.sum())]),
    }


def to_json(statistics: Mapping[str, Statistics]) -> dict[str, dict[str, list]]:
    return {
        feature: {name: value.tolist() for name, value in values.items()}
        for feature, values in statistics.items()
    }


def from_json(content: Mapping[str, Mapping[str, list]]) -> dict[str, Statistics]:
    return {
        feature: {name: np.asarray(value) for name, value in values.items()}
        for feature, values in content.items()
    }
