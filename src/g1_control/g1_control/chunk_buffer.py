"""From chunks of targets to one smooth motion: where each joint should be at a moment. No ROS.

A chunk's targets are knots of a cubic spline (twice continuously differentiable) at stamp + time,
so a chunk that comes late loses its first targets and nothing shifts. The newest chunk wins; where
it takes over, the difference from the motion so far decays along a quintic, so that position,
velocity and acceleration are continuous and nothing stops. After its last target a chunk brakes to
rest.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SHORTEST_KNOT_INTERVAL = 0.02  # [s] below which the way to the first target is no spline piece


@dataclass(frozen=True)
class Chunk:
    """Targets of the chunk joints: `positions[k]` [rad, m] is due at `stamp + times[k]` [s].

    names: joints in the order of the columns; times: (K,); positions: (K, 16). `stamp` is the
    capture time of the image that the targets were made from.
    """

    stamp: float
    names: Sequence[str]
    times: Sequence[float] | Array
    positions: Sequence[Sequence[float]] | Array


class ChunkBuffer:
    """The motion wanted for J joints; at rest at zero until told otherwise.

    blend: shortest time in which a new chunk takes over [s]. velocity, acceleration: (J,) what
    taking over and braking may add to the chunk's own motion [rad/s, rad/s2; m/s, m/s2].
    """

    def __init__(self, blend: float, velocity: Array, acceleration: Array) -> None:
        self._blend, self._velocity, self._acceleration = blend, velocity, acceleration
        self.brake(0.0, np.zeros((3, len(velocity))))

    def brake(self, now: float, state: Array) -> None:
        """Comes to rest from `state`: (3, J) position, velocity, acceleration at `now`."""
        self._motion = self._until_rest([now], state[:1], state[1:2])
        self._offset: _Polynomial | None = None
        self.stamp = self.end = -np.inf

    def follow(
        self, stamp: float, times: Array, positions: Array, now: float, state: Array
    ) -> None:
        """Takes over a chunk from `state`: (3, J) position, velocity, acceleration at `now`.

        times (K,) are absolute and increasing; positions (K, J). Afterwards `end` is the time of
        the last target.
        """
        velocities = _end_velocities(times, positions)
        if times[0] - now > _SHORTEST_KNOT_INTERVAL:
            times = np.concatenate(([now], times))
            positions = np.concatenate((state[:1], positions))
            velocities = (state[1], velocities[1])
        self._motion = self._until_rest(
            times.tolist(), positions, _knot_velocities(times, positions, *velocities)
        )
        self._offset = self._decay(now, state - self._motion.at(now))
        self.stamp, self.end = stamp, float(times[-1])

    def sample(self, now: float) -> Array:
        """(2, J) position and velocity wanted at `now`."""
        wanted = self._motion.at(now)[:2]
        if self._offset is None or now >= self._offset.end:
            return wanted
        return wanted + self._offset.at(now)[:2]

    def _until_rest(self, times: list[float], positions: Array, velocities: Array) -> _Polynomial:
        """Cubics through the knots, then constant deceleration to rest."""
        braking = max(float(np.max(np.abs(velocities[-1]) / self._acceleration)), 1e-3)
        rest = positions[-1] + velocities[-1] * (braking / 2)
        return _cubics(
            [*times, times[-1] + braking],
            np.concatenate((positions, [rest])),
            np.concatenate((velocities, [np.zeros_like(rest)])),
        )

    def _decay(self, now: float, offset: Array) -> _Polynomial:
        """Quintic from `offset` (3, J) at `now` to zero, slow enough for the limits given."""
        gap = np.abs(offset[0])
        time = max(
            self._blend,
            float(
                np.max(1.875 * gap / self._velocity)
            ),  # peak velocity of a quintic at rest at both ends
            float(np.sqrt(np.max(5.774 * gap / self._acceleration))),  # and its peak acceleration
        )
        p, v, a = offset[0], offset[1] * time, offset[2] * time**2
        coefficients = [
            p,
            v,
            a / 2,
            -10 * p - 6 * v - 1.5 * a,
            15 * p + 8 * v + 1.5 * a,
            -6 * p - 3 * v - 0.5 * a,
        ]
        return _Polynomial([now, now + time], np.array([coefficients]))


class _Polynomial:
    """Pieces between `knots`, each over 0 to 1; `coefficients` (pieces, degree + 1, J)."""

    def __init__(self, knots: list[float], coefficients: Array) -> None:
        self.end = knots[-1]
        self._knots, self._coefficients = knots, coefficients
        self._cubic = coefficients.shape[1] == 4

    def at(self, time: float) -> Array:
        """(3, J) value and first two derivatives; at rest at the last value after the end."""
        piece = min(max(bisect_right(self._knots, time) - 1, 0), len(self._coefficients) - 1)
        start = self._knots[piece]
        width = self._knots[piece + 1] - start
        s = (min(time, self.end) - start) / width
        s = max(s, -_SHORTEST_KNOT_INTERVAL / width)
        powers = [
            [1.0, s, s**2, s**3, s**4, s**5],
            [0.0, 1.0, 2 * s, 3 * s**2, 4 * s**3, 5 * s**4],
            [0.0, 0.0, 2.0, 6 * s, 12 * s**2, 20 * s**3],
        ]
        if self._cubic:
            powers = [row[:4] for row in powers]
        basis = np.array(powers)
        basis[1] /= width
        basis[2] /= width**2
        value = basis @ self._coefficients[piece]
        if time >= self.end:
            value[1:] = 0.0
        return value


def _cubics(knots: list[float], positions: Array, velocities: Array) -> _Polynomial:
    """Hermite cubics: positions and velocities (K, J) at the knots (K,)."""
    width = np.diff(knots)[:, None]
    p0, p1 = positions[:-1], positions[1:]
    v0, v1 = velocities[:-1] * width, velocities[1:] * width
    coefficients = [p0, v0, 3 * (p1 - p0) - 2 * v0 - v1, 2 * (p0 - p1) + v0 + v1]
    return _Polynomial(knots, np.stack(coefficients, axis=1))


def _end_velocities(times: Array, positions: Array) -> tuple[Array, Array]:
    """Velocities (J,) at the first and last target, of the parabola through the outermost three."""
    if len(times) == 1:
        return np.zeros_like(positions[0]), np.zeros_like(positions[0])
    width = np.diff(times)
    slope = np.diff(positions, axis=0) / width[:, None]
    if len(times) == 2:
        return slope[0], slope[0]
    first = slope[0] + (slope[0] - slope[1]) * (width[0] / (width[0] + width[1]))
    last = slope[-1] + (slope[-1] - slope[-2]) * (width[-1] / (width[-1] + width[-2]))
    return first, last


def _knot_velocities(times: Array, positions: Array, first: Array, last: Array) -> Array:
    """(K, J) velocities for a continuous second derivative; those of both ends are given."""
    count = len(times)
    if count == 1:
        return last[None]
    width = np.diff(times)
    slope = np.diff(positions, axis=0) / width[:, None]
    system = np.eye(count)
    right = np.empty_like(positions)
    right[0], right[-1] = first, last
    for k in range(1, count - 1):
        before, after = width[k - 1], width[k]
        system[k, k - 1 : k + 2] = after, 2 * (before + after), before
        right[k] = 3 * (after * slope[k - 1] + before * slope[k])
    return np.asarray(np.linalg.solve(system, right), float)
