"""The newest images of several cameras, and the joint state that matches their stamp.

No ROS; stamps are integer nanoseconds.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Image = TypeVar('Image')

#: A stamp this far ahead of the clock is a clock that is not synchronised, not jitter [s].
_FUTURE_TOLERANCE = 0.05
#: A stamp this far from the moment it was received is one of another clock [s].
_ANOTHER_CLOCK = 10.0
#: After which what was wrong with the last one that came is no longer what is wrong [s].
_SILENCE = 1.0
_JOINT_STATES_KEPT = 128  # one second of 125 Hz
_IMAGES_KEPT = 4  # of each camera but the first: its neighbours in time


class NoObservationError(Exception):
    """Nothing to infer from; the text says which input is missing and what was expected."""


@dataclass(frozen=True)
class Match(Generic[Image]):
    """What the robot saw and felt at `stamp`, when the first camera's image was taken [ns].

    images: by camera name. state: (S,) positions in the order of the buffer's joints [rad, m].
    """

    stamp: int
    images: Mapping[str, Image]
    state: NDArray[np.float64]


class ObservationBuffer(Generic[Image]):
    """Written by the thread that receives, read by the thread that infers."""

    def __init__(
        self,
        cameras: Sequence[str],
        joint_names: Sequence[str],
        *,
        max_image_age: float,
        max_joint_state_gap: float,
    ) -> None:
        """Args:
        cameras: by name; the first one says when an observation was made.
        joint_names: whose positions make the state.
        max_image_age: no observation from an older image, nor from images further apart [s].
        max_joint_state_gap: how far the nearest joint state may lie from the image [s].
        """
        self._joint_names = tuple(joint_names)
        self._max_image_age = max_image_age
        self._max_gap = max_joint_state_gap
        self._lock = threading.Lock()
        self._first = cameras[0]
        self._images = {name: _Images[Image](name) for name in cameras}
        self._joint_states: deque[tuple[int, NDArray[np.float64]]] = deque(
            maxlen=_JOINT_STATES_KEPT
        )
        self._skew = 0.0  # of the newest joint state's stamp to the clock it was received by [s]
        self._lacks = ''
        self._heard = 0  # when the newest joint state was received, complete or not [ns]

    def add_image(self, camera: str, stamp: int, image: Image, now: int) -> None:
        """An image of `camera`, received at `now`."""
        with self._lock:
            self._images[camera].add(stamp, image, now)

    def add_joint_state(self, stamp: int, positions: NDArray[np.float64], now: int) -> None:
        """Positions of all joints, in their order, received at `now`."""
        with self._lock:
            if self._joint_states and stamp < self._joint_states[-1][0]:
                self._joint_states.clear()  # the clock was set back: the simulation started anew
            self._joint_states.append((stamp, positions))
            self._skew = (now - stamp) * 1e-9
            self._lacks, self._heard = '', now

    def add_incomplete_joint_state(self, missing: Sequence[str], now: int) -> None:
        """One received at `now` that can't be used; `missing`: the joints it lacks, if any."""
        with self._lock:
            self._heard = now
            self._lacks = (
                f'joint states lack {", ".join(missing)}'
                if missing
                else 'joint states have not one position per name'
            )

    def image_age(self, now: int) -> float:
        """Age of the first camera's newest image [s]; -1 before the first one."""
        with self._lock:
            newest = self._images[self._first].newest
            return (now - newest) * 1e-9 if newest is not None else -1.0

    def joint_state_age(self, now: int) -> float:
        """Age of the newest complete joint state [s]; -1 before the first one."""
        with self._lock:
            return (now - self._joint_states[-1][0]) * 1e-9 if self._joint_states else -1.0

    def problem(self, now: int) -> str:
        """Why there is no observation to be had at `now`; '' where there is one."""
        with self._lock:
            return self._problem(now)

    def match(self, now: int) -> Match[Image]:
        """The first camera's newest image, with what else was seen and felt at its stamp.

        Of each other camera the image nearest in time; of the joints the positions, interpolated.
        Raises NoObservationError when an input is missing, incomplete or too old at `now`.
        """
        with self._lock:
            if problem := self._problem(now):
                raise NoObservationError(problem)
            stamp = self._images[self._first].newest
            assert stamp is not None
            state = self._positions_at(stamp)
            if not np.isfinite(state).all():
                names = np.array(self._joint_names)[~np.isfinite(state)]
                raise NoObservationError(f'joint states give no number for {", ".join(names)}')
            images = {name: images.nearest(stamp)[1] for name, images in self._images.items()}
            return Match(stamp, images, state)

    def _problem(self, now: int) -> str:
        for images in self._images.values():
            if problem := images.problem(now, self._max_image_age):
                return problem
        stamp = self._images[self._first].newest
        assert stamp is not None
        for name, images in self._images.items():
            apart = abs(images.nearest(stamp)[0] - stamp) * 1e-9
            if apart > self._max_image_age:
                return (
                    f'the nearest image of camera {name} is {apart:.2f} s from that of '
                    f'{self._first}, at most {self._max_image_age:g} s is allowed'
                )
        if not self._joint_states and not self._lacks:
            return 'no joint state has come yet'
        useless = bool(self._lacks) or abs(self._skew) > _ANOTHER_CLOCK
        if useless and (silence := (now - self._heard) * 1e-9) > _SILENCE:
            return f'no joint state has come for {silence:.1f} s'
        if not self._joint_states:
            return self._lacks
        if abs(self._skew) > _ANOTHER_CLOCK:
            return _another_clock('joint states are', self._skew, 'the robot')
        gap = min(abs(stamp - self._joint_states[k][0]) for k in self._neighbours(stamp)) * 1e-9
        if gap > self._max_gap:
            return self._lacks or (
                f'the nearest joint state is {gap:.2f} s from the image, '
                f'at most {self._max_gap:g} s is allowed'
            )
        return ''

    def _neighbours(self, stamp: int) -> list[int]:
        """Places of the joint states before and after `stamp`: two, or one at an end."""
        after = bisect_left(self._joint_states, stamp, key=lambda state: state[0])
        return [k for k in (after - 1, after) if 0 <= k < len(self._joint_states)]

    def _positions_at(self, stamp: int) -> NDArray[np.float64]:
        neighbours = [self._joint_states[k] for k in self._neighbours(stamp)]
        if len(neighbours) == 1:
            return neighbours[0][1]
        (before, start), (behind, end) = neighbours
        share = (stamp - before) / (behind - before)
        return start + share * (end - start)


class _Images(Generic[Image]):
    """The last images of one camera."""

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._kept: deque[tuple[int, Image]] = deque(maxlen=_IMAGES_KEPT)
        self._skew = 0.0  # of the newest stamp to the clock it was received by [s]
        self._came = 0  # the newest one [ns]

    @property
    def newest(self) -> int | None:
        """Stamp of the newest image."""
        return self._kept[-1][0] if self._kept else None

    def add(self, stamp: int, image: Image, now: int) -> None:
        if self._kept and stamp < self._kept[-1][0]:
            self._kept.clear()  # the clock was set back
        self._kept.append((stamp, image))
        self._skew, self._came = (now - stamp) * 1e-9, now

    def nearest(self, stamp: int) -> tuple[int, Image]:
        return min(self._kept, key=lambda kept: abs(kept[0] - stamp))

    def problem(self, now: int, max_age: float) -> str:
        newest = self.newest
        if newest is None:
            return f'no image of camera {self._camera} has come yet'
        if abs(self._skew) > _ANOTHER_CLOCK:
            if (silence := (now - self._came) * 1e-9) > _SILENCE:
                return f'no image of camera {self._camera} has come for {silence:.1f} s'
            return _another_clock(
                f'images of camera {self._camera} are',
                self._skew,
                'the camera (realsense2_camera: rgb_camera.global_time_enabled:=true)',
            )
        age = (now - newest) * 1e-9
        if age > max_age:
            return (
                f'the newest image of camera {self._camera} is {age:.2f} s old, '
                f'at most {max_age:g} s is allowed'
            )
        if age < -_FUTURE_TOLERANCE:
            return (
                f'the newest image of camera {self._camera} is stamped {-age:.2f} s in the future; '
                'synchronise the clocks of camera and policy machine'
            )
        return ''


def _another_clock(what: str, skew: float, whose: str) -> str:
    """Said of stamps that have nothing to do with the clock they are received by."""
    return (
        f'{what} stamped by another clock, {abs(skew):.0f} s {"behind" if skew > 0 else "ahead"}; '
        f'set that of {whose}, or the same use_sim_time for all nodes'
    )
