"""From chunks of targets to one smooth motion: where each joint should be at a moment. No ROS.

A chunk's targets are knots of a cubic spline (twice continuously differentiable) at stamp + time,
so a chunk that comes late loses its first targets and nothing shifts. The newest chunk wins: the
motion passes from the one before to it by a weight that rises smoothly, so that position, velocity
and acceleration are continuous, nothing stops, and the motion never leaves what the two ask for,
however much chunks contradict each other. After its last target a chunk brakes to rest.

The motion is a recursion. With c_k the spline of the k-th chunk, taken over at t_k in T_k seconds,

  m_0(t) = rest
  m_k(t) = m_{k-1}(t) + b((t - t_k) / T_k) (c_k(t) - m_{k-1}(t)),   b(s) = 10 s^3 - 15 s^4 + 6 s^5
  T_k    = max(blend, 1.875 g / v, sqrt(5.774 g / a)),              g = |m_{k-1}(t_k) - c_k(t_k)|

b goes from 0 to 1 at rest at both ends; 1.875 and 5.774 are its largest first and second
derivative, so that passing over a gap of g adds no more than v and a. Where the new chunk continues
c_{k-1} rather than the motion (its gap to that is the smaller one), c_{k-1} itself is replaced by a
transition to c_k inside m_{k-1}: the blend that is under way stays as it is. A blend that is over
is cut off (`trimmed`); of more than four at once only the present state is kept. So a motion is a
binary tree of `_Transition`s with `_Polynomial`s as leaves.

The spline is the cubic one with given end velocities (de Boor: A Practical Guide to Splines, IV):
with widths h_k and slopes d_k, the velocities at the knots solve
h_k v_{k-1} + 2 (h_{k-1} + h_k) v_k + h_{k-1} v_{k+1} = 3 (h_k d_{k-1} + h_{k-1} d_k).

Shapes: times (K,), positions (K, J), a state (2, J) of position and velocity [rad, m; s].
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g1_control.minimum_jerk import PEAK, PEAK_ACCELERATION, minimum_jerk
from g1_description.control_source import ControlSource

Array = NDArray[np.float64]

_MOST_TRANSITIONS = 4  # under way at once; each costs as much as the motion itself
_BLEND_STEPS = 2  # of a chunk, in which it takes over if they are short
_SHORTEST_KNOT_INTERVAL = 0.02  # [s] below which the way to the first target is no spline piece


@dataclass(frozen=True)
class Chunk:
    """Targets of the chunk joints: `positions[k]` [rad, m] is due at `stamp + times[k]` [s].

    names: joints in the order of the columns; times: (K,); positions: (K, 16). `stamp` is the
    capture time of the image that the targets were made from. number: counts up within one life of
    the policy; 0 for what nobody counts. source: who asks for it.
    """

    stamp: float
    names: Sequence[str]
    times: Sequence[float] | Array
    positions: Sequence[Sequence[float]] | Array
    number: int = 0
    source: ControlSource = ControlSource.POLICY


class ChunkBuffer:
    """The motion wanted for J joints; at rest at zero until told otherwise.

    blend: shortest time in which a new chunk takes over [s]; of a chunk with finer steps, two of
    its steps, as an operator's many chunks would else never take over. velocity, acceleration: (J,)
    what taking over and braking may add to the chunk's own motion [rad/s, rad/s2; m/s, m/s2].
    """

    def __init__(self, blend: float, velocity: Array, acceleration: Array) -> None:
        self._blend, self._velocity, self._acceleration = blend, velocity, acceleration
        self.brake(0.0, np.zeros((2, len(velocity))))

    def brake(self, now: float, state: Array) -> None:
        """Comes to rest from `state`: (2, J) position and velocity at `now`."""
        self._motion: _Polynomial | _Transition = self._until_rest([now], state[:1], state[1:])
        self.stamp = self.end = -np.inf

    def follow(self, stamp: float, times: Array, positions: Array, now: float) -> None:
        """Takes over a chunk at `now`.

        times (K,) are absolute and increasing; positions (K, J). Afterwards `end` is the time of
        the last target.
        """
        before = self._before(now)
        state = before.at(now)
        blend = self._blend
        if len(times) > 1:
            blend = min(blend, _BLEND_STEPS * float(times[-1] - times[0]) / (len(times) - 1))
        velocities = _end_velocities(times, positions)
        if times[0] - now > _SHORTEST_KNOT_INTERVAL:
            times = np.concatenate(([now], times))
            positions = np.concatenate((state[:1], positions))
            velocities = (state[1], velocities[1])
        chunk = self._until_rest(
            times.tolist(), positions, _knot_velocities(times, positions, *velocities)
        )
        first = chunk.at(now)[0]
        from_motion, from_newest = (
            self._duration(np.abs(gap), blend)
            for gap in (state[0] - first, before.newest.at(now)[0] - first)
        )
        if from_newest < from_motion:  # it continues the chunk that is being taken over
            self._motion = before.then(chunk, now, from_newest)
        else:
            self._motion = _Transition(before, chunk, now, from_motion)
        self.stamp, self.end = stamp, float(times[-1])

    def sample(self, now: float) -> Array:
        """(2, J) position and velocity wanted at `now`."""
        return self._motion.at(now)

    def _before(self, now: float) -> _Polynomial | _Transition:
        """The motion to pass over from; of a flood of chunks, only its present state is kept."""
        motion = self._motion.trimmed(now)
        if motion.transitions < _MOST_TRANSITIONS:
            return motion
        state = motion.at(now)
        return self._until_rest([now], state[:1], state[1:])

    def _duration(self, gap: Array, blend: float) -> float:
        """Of passing over `gap` (J,): `blend` s, or slow enough for the limits given."""
        return max(
            blend,
            float(np.max(PEAK * gap / self._velocity)),
            float(np.sqrt(np.max(PEAK_ACCELERATION * gap / self._acceleration))),
        )

    def _until_rest(self, times: list[float], positions: Array, velocities: Array) -> _Polynomial:
        """Cubics through the knots, then constant deceleration to rest."""
        braking = max(float(np.max(np.abs(velocities[-1]) / self._acceleration)), 1e-3)
        rest = positions[-1] + velocities[-1] * (braking / 2)
        return _cubics(
            [*times, times[-1] + braking],
            np.concatenate((positions, [rest])),
            np.concatenate((velocities, [np.zeros_like(rest)])),
        )


class _Polynomial:
    """Cubic pieces between `knots`, each over 0 to 1; `coefficients` (pieces, 4, J)."""

    transitions: int = 0

    def __init__(self, knots: list[float], coefficients: Array) -> None:
        self._end = knots[-1]
        self._knots, self._coefficients = knots, coefficients

    @property
    def newest(self) -> _Polynomial:
        return self

    def then(self, chunk: _Polynomial, start: float, duration: float) -> _Transition:
        return _Transition(self, chunk, start, duration)

    def trimmed(self, _now: float) -> _Polynomial:
        return self

    def at(self, time: float) -> Array:
        """(2, J) value and its derivative; at rest at the last value after the end."""
        piece = min(max(bisect_right(self._knots, time) - 1, 0), len(self._coefficients) - 1)
        start = self._knots[piece]
        width = self._knots[piece + 1] - start
        s = (min(time, self._end) - start) / width
        s = max(s, -_SHORTEST_KNOT_INTERVAL / width)
        basis = np.array([[1.0, s, s**2, s**3], [0.0, 1.0, 2 * s, 3 * s**2]])
        basis[1] /= width
        value = basis @ self._coefficients[piece]
        if time >= self._end:
            value[1] = 0.0
        return value


class _Transition:
    """From one motion to another, by a weight that rises from 0 to 1 along a quintic."""

    def __init__(
        self,
        before: _Polynomial | _Transition,
        after: _Polynomial | _Transition,
        start: float,
        duration: float,
    ) -> None:
        self._before, self._after, self._start, self._duration = before, after, start, duration
        self.transitions: int = before.transitions + after.transitions + 1

    @property
    def newest(self) -> _Polynomial:
        """The chunk that all this leads to."""
        return self._after.newest

    def then(self, chunk: _Polynomial, start: float, duration: float) -> _Transition:
        """The same motion, but what it leads to passes on to another chunk."""
        after = self._after.then(chunk, start, duration)
        return _Transition(self._before, after, self._start, self._duration)

    def trimmed(self, now: float) -> _Polynomial | _Transition:
        """The same motion from `now` on, without what is past."""
        after = self._after.trimmed(now)
        if now >= self._start + self._duration:
            return after
        return _Transition(self._before.trimmed(now), after, self._start, self._duration)

    def at(self, time: float) -> Array:
        """(2, J) value and its derivative."""
        after = self._after.at(time)
        s = (time - self._start) / self._duration
        if s >= 1:
            return after
        before = self._before.at(time)
        s = max(s, 0.0)
        weight = minimum_jerk(s)
        rate = 30 * s**2 * (1 - s) ** 2 / self._duration
        gap = after - before
        value = before + weight * gap
        value[1] += rate * gap[0]
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
