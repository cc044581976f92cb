"""The newest camera image and the joint state that matches its stamp.

No ROS; stamps are integer nanoseconds.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Image = TypeVar('Image')

#: A stamp this far ahead of the clock is a clock that is not synchronised, not jitter.
_FUTURE_TOLERANCE = 0.05
_JOINT_STATES_KEPT = 128  # one second of 125 Hz


class NoObservationError(Exception):
    """Nothing to infer from; the text says which input is missing and what was expected."""


@dataclass(frozen=True)
class Match(Generic[Image]):
    """What the robot saw and where its joints were at `stamp`, the image's capture time [ns]."""

    stamp: int
    image: Image
    joint_positions: np.ndarray  # (len(joint_names),) float64 [rad, m]


class ObservationBuffer(Generic[Image]):
    """Written by the thread that receives, read by the thread that infers."""

    def __init__(
        self, joint_names: Sequence[str], *, max_image_age: float, max_joint_state_gap: float
    ) -> None:
        """`max_joint_state_gap`: how far the nearest joint state may lie from the image [s]."""
        self._joint_names = tuple(joint_names)
        self._max_image_age = max_image_age
        self._max_gap = max_joint_state_gap
        self._lock = threading.Lock()
        self._image: tuple[int, Image] | None = None
        self._joint_states: deque[tuple[int, np.ndarray]] = deque(maxlen=_JOINT_STATES_KEPT)
        self._names: Sequence[str] = ()  # as last received
        self._index: list[int] = []
        self._missing = self._joint_names

    def add_image(self, stamp: int, image: Image) -> None:
        with self._lock:
            self._image = (stamp, image)

    def add_joint_state(self, stamp: int, names: Sequence[str], positions: Sequence[float]) -> None:
        """A joint state of any joints in any order; what is missing of ours, `match` will name."""
        with self._lock:
            if names != self._names:
                self._names = names
                self._missing = tuple(n for n in self._joint_names if n not in names)
                self._index = [] if self._missing else [names.index(n) for n in self._joint_names]
            if self._missing or len(positions) != len(names):
                return
            if self._joint_states and stamp < self._joint_states[-1][0]:
                self._joint_states.clear()  # the clock was set back: the simulation started anew
            values = np.asarray(positions, dtype=np.float64)[self._index]
            self._joint_states.append((stamp, values))

    def image_age(self, now: int) -> float:
        """Age of the newest image [s]; -1 before the first one."""
        with self._lock:
            return (now - self._image[0]) * 1e-9 if self._image else -1.0

    def joint_state_age(self, now: int) -> float:
        """Age of the newest complete joint state [s]; -1 before the first one."""
        with self._lock:
            return (now - self._joint_states[-1][0]) * 1e-9 if self._joint_states else -1.0

    def match(self, now: int) -> Match[Image]:
        """The newest image with the joint positions at its stamp, interpolated or nearest.

        Raises NoObservationError when an input is missing, incomplete or too old at `now`.
        """
        with self._lock:
            if self._image is None:
                raise NoObservationError('no camera image has come yet')
            stamp, image = self._image
            age = (now - stamp) * 1e-9
            if age > self._max_image_age:
                raise NoObservationError(
                    f'the newest camera image is {age:.2f} s old, '
                    f'at most {self._max_image_age:g} s is allowed'
                )
            if age < -_FUTURE_TOLERANCE:
                raise NoObservationError(
                    f'the newest camera image is stamped {-age:.2f} s in the future; '
                    'synchronise the clocks of camera and policy machine'
                )
            if not self._joint_states or self._missing:
                raise NoObservationError(self._no_joint_states())
            positions, gap = self._positions_at(stamp)
            if gap > self._max_gap:
                raise NoObservationError(
                    f'the nearest joint state is {gap:.2f} s from the image, '
                    f'at most {self._max_gap:g} s is allowed'
                )
            if not np.isfinite(positions).all():
                names = np.array(self._joint_names)[~np.isfinite(positions)]
                raise NoObservationError(f'joint states give no number for {", ".join(names)}')
            return Match(stamp, image, positions)

    def _no_joint_states(self) -> str:
        if not self._names:
            return 'no joint state has come yet'
        if self._missing:
            return f'joint states lack {", ".join(self._missing)}'
        return 'joint states have not one position per name'

    def _positions_at(self, stamp: int) -> tuple[np.ndarray, float]:
        """Joint positions at `stamp`, and how far from it the nearest state lies [s]."""
        after = bisect_left(self._joint_states, stamp, key=lambda state: state[0])
        neighbours = [
            self._joint_states[i] for i in (after - 1, after) if 0 <= i < len(self._joint_states)
        ]
        gap = min(abs(stamp - at) for at, _ in neighbours) * 1e-9
        if len(neighbours) == 1:
            return neighbours[0][1], gap
        (before, start), (behind, end) = neighbours
        share = (stamp - before) / (behind - before)
        return start + share * (end - start), gap
