"""How an episode moves, in a few numbers by which many of them are compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g1_data.dataset import Dataset
from g1_data.schema import ACTION_KEY, STATE_KEY
from g1_description.control_source import CONTROL_KEY, ControlSource

Array = NDArray[np.float64]

_STILL = 0.02  # [rad/s], below which a joint stands still
_JUMP = 0.5  # [rad/s] of a command's velocity from row to row; experts rarely exceed it


@dataclass(frozen=True)
class EpisodeMeasures:
    """source: who had the arms, those who did longest first; '' where the dataset does not say.

    stillness: share of the time in which no joint of the arms moved. jerk: of the measured arms,
    root of its mean square [rad/s^3]. seams: jumps of the commanded velocity a minute.
    """

    source: str
    stillness: float
    jerk: float
    seams: float


def measure(dataset: Dataset, index: int) -> EpisodeMeasures:
    """Reads the rows of an episode, no picture. Errors as of `Dataset.read_episode`."""
    columns = [STATE_KEY, ACTION_KEY]
    if CONTROL_KEY in dataset.schema.columns:
        columns.append(CONTROL_KEY)
    rows = dataset.read_episode(index, columns)
    state = _arms(rows[STATE_KEY], dataset.state_names)
    action = _arms(rows[ACTION_KEY], dataset.action_names)
    fps, length = dataset.fps, len(state)
    speed = np.abs(np.diff(state, axis=0)) * fps
    jerk = np.diff(state, n=3, axis=0) * fps**3
    jumps = np.abs(np.diff(action, n=2, axis=0)).max(axis=1, initial=0.0) * fps > _JUMP
    return EpisodeMeasures(
        source=_source(rows[CONTROL_KEY]) if CONTROL_KEY in rows else '',
        stillness=float((speed.max(axis=1, initial=0.0) < _STILL).mean()) if len(speed) else 1.0,
        jerk=float(np.sqrt(np.mean(jerk**2))) if len(jerk) else 0.0,
        seams=float(jumps.sum() * 60.0 * fps / max(length, 1)),
    )


def _arms(rows: NDArray[np.float64], names: tuple[str, ...]) -> Array:
    """Without grippers, which close as fast as they can; all where nothing else is there."""
    arms = [k for k, name in enumerate(names) if 'gripper' not in name]
    return np.asarray(rows[:, arms] if arms else rows, np.float64)


def _source(in_control: NDArray[np.float64]) -> str:
    values, counts = np.unique(in_control, return_counts=True)
    known = {source.value: source.name.lower() for source in ControlSource}
    order = np.argsort(-counts, kind='stable')
    shares = [
        (known.get(int(values[k]), f'{values[k]:g}'), counts[k] / counts.sum()) for k in order
    ]
    if len(shares) == 1:
        return shares[0][0]
    return ', '.join(f'{name} {100 * share:.0f} %' for name, share in shares)
