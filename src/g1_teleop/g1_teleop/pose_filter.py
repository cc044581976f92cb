"""A hand's pose without the noise of its tracking, at any moment. No ROS.

Devices measure at a rate of their own, 90 Hz with a headset. Whoever reads the newest measurement
at another rate sees the hand stop and jump. Here measurements count at the time they were taken,
and between them the hand goes on at its velocity.
"""

from __future__ import annotations

import numpy as np
import pinocchio
from numpy.typing import NDArray

Array = NDArray[np.float64]

_MOST_AHEAD = 0.03  # [s] that a hand goes on for without a measurement
_DRIFT = 1e-3  # between the clocks of device and computer, at most
_LATE = 0.1  # [s]; what comes later than this has a clock that was set


class PoseFilter:
    """Second-order low-pass filter, critically damped: it never overshoots a hand that stops.

    With T = delay / 2 the position x follows a hand at u by

        T^2 x'' + 2 T x' + x = u,    1 / (1 + T s)^2,

    which is behind a hand that moves steadily by 2 T = delay. Between two measurements u counts as
    what is halfway between them, which makes a steady motion exact. For u at rest the solution is
    closed, and so holds for any dt: with e = x - u, v = x' and p = v + e / T,

        e(dt) = (e + p dt) exp(-dt / T),    v(dt) = (v - p dt / T) exp(-dt / T)

    (Lowe, Critically Damped Ease-In/Ease-Out Smoothing, Game Programming Gems 4, 2004).
    Orientations are filtered alike, e and v then being rotation vectors in the fixed frame.

    delay: how far behind the hand it is [s], more than 0; the same for position and orientation.
    Poses are (4, 4), times in s and never back. `start` before all else.
    """

    def __init__(self, delay: float) -> None:
        self._constant = delay / 2

    def start(self, pose: Array, time: float) -> None:
        """At rest at `pose`."""
        self._time, self._given = time, pose
        self._position, self._velocity = pose[:3, 3], np.zeros(3)
        self._rotation, self._spin = pose[:3, :3], np.zeros(3)

    def add(self, pose: Array, time: float) -> None:
        """A measurement, taken at `time`."""
        dt = max(time - self._time, 0.0)
        between = self._given[:3, :3] @ pinocchio.exp3(
            pinocchio.log3(self._given[:3, :3].T @ pose[:3, :3]) / 2
        )
        away = self._position - (self._given[:3, 3] + pose[:3, 3]) / 2
        turned = pinocchio.log3(self._rotation @ between.T)
        settled, self._velocity = self._settle(away, self._velocity, dt)
        self._position = self._position - away + settled
        settled, self._spin = self._settle(turned, self._spin, dt)
        self._rotation = pinocchio.exp3(settled) @ between
        self._time, self._given = max(time, self._time), pose

    def at(self, time: float) -> Array:
        """Pose (4, 4) of the hand `delay` before `time`."""
        ahead = min(max(time - self._time, 0.0), _MOST_AHEAD)
        pose = np.eye(4)
        pose[:3, :3] = pinocchio.exp3(self._spin * ahead) @ self._rotation
        pose[:3, 3] = self._position + self._velocity * ahead
        return pose

    def _settle(self, away: Array, velocity: Array, dt: float) -> tuple[Array, Array]:
        """Offset and velocity after dt of coming back to zero."""
        pull = velocity + away / self._constant
        decay = np.exp(-dt / self._constant)
        return (away + pull * dt) * decay, (velocity - pull * (dt / self._constant)) * decay


class MeasurementTime:
    """When a device's measurements were taken, on the clock of those who read them.

    A device's clock agrees with nobody's; but no measurement can be read before it was taken, and
    the quickest of many come almost at once. So the offset between the clocks is the smallest
    difference seen so far (read - stamp), which may grow by the drift of two clocks, 1 ms a second:

        offset_k = min(read_k - stamp_k, offset_(k-1) + drift (stamp_k - stamp_(k-1)))

    A difference that is larger by far says that a clock was set, and starts anew.
    """

    def __init__(self) -> None:
        self._stamp, self._time = 0, 0.0
        self._offset = -np.inf

    def of(self, stamp: int, now: float) -> float:
        """Time [s] of the measurement with this device's stamp [ns], which is read `now` [s]."""
        if stamp != self._stamp:
            offset = now - stamp * 1e-9
            expected = self._offset + _DRIFT * abs(stamp - self._stamp) * 1e-9
            self._offset = offset if offset > expected + _LATE else min(offset, expected)
            self._stamp, self._time = stamp, stamp * 1e-9 + self._offset
        return self._time
