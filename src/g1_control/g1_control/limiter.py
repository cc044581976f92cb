"""What is wanted becomes what is commanded: within range, velocity, acceleration and jerk. No ROS.

Each limit holds by construction. A third-order law that heads for a moving target at the limits of
jerk is fast but rings when targets are noisy, and needs a plan of its own to stop within range.
Here a second-order law keeps range, velocity and acceleration exactly, and the command is its
average over a short window: an average of positions in range is in range, the same for velocities
and accelerations, and the acceleration of an average over w s changes by 2 * acceleration / w at
most. The law runs half a window ahead of the command (the plan is known that far), so that the
command does not lag: motion within the limits passes but for w**2 / 24 of its acceleration.

For one joint, with period dt, acceleration limit a, jerk limit j and step s = a dt of the velocity
in one cycle; p, v are the state ahead of the command, p* and v* what is wanted there:

  error       e = p* - v* dt - p           to where the wanted motion was a cycle ago
  closing     c(d): the largest velocity from which -s a cycle leads to rest within d. From c, the
              velocities c, c - s, ..., c - n s cover d = dt ((n + 1) c - s n (n + 1) / 2), so
                n = floor((sqrt(1 + 8 d / (s dt)) - 1) / 2)
                c = (d / dt + s n (n + 1) / 2) / (n + 1)
  velocity    v* + sign(e) c(|e|), then within +-velocity limit, within v +- s, and within
              -c(p - lower) and c(upper - p): the room to stop within range, which goes before all
  command     q = mean of p over the last N cycles, N dt = w >= 2 a / j; so |q'''| <= 2 a / w <= j
  lookahead   (N - 1) / 2 dt: what is wanted is sampled that far ahead of the command

That an average over a window turns a limit of acceleration into one of jerk is the idea of
trajectories by FIR filters (Biagiotti, Melchiorri: FIR filters for online trajectory planning with
time- and frequency-domain specifications, Control Engineering Practice 20, 2012).

Arrays are (J,) of joints in the order of `Limits.names`, (2, J) position and velocity, (3, J) with
acceleration.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g1_control.safety import Limits

Array = NDArray[np.float64]


class Limiter:
    """Commands of J joints, one a `period` [s]. It always keeps the room to stop within range.

    `lookahead` [s]: how far ahead of the command what is wanted has to be.
    """

    def __init__(self, limits: Limits, period: float) -> None:
        self._limits, self._period = limits, period
        self._step = limits.acceleration * period  # change of velocity in one cycle
        cycles = int(np.ceil(np.max(2 * limits.acceleration / limits.jerk) / period - 1e-9))
        self._window = np.zeros((max(cycles, 1), 2, len(limits.names)))
        self.lookahead = (len(self._window) - 1) / 2 * period
        self.reset(np.zeros(len(limits.names)))

    def reset(self, position: Array) -> None:
        """Stands at `position` (J,), within the range."""
        position = np.clip(position, self._limits.lower, self._limits.upper)
        #: (3, J) position, velocity and acceleration `lookahead` s ahead of the command.
        self.ahead = np.array((position, np.zeros_like(position), np.zeros_like(position)))
        self._range: Array | None = None  # of velocities from there
        self._window[:] = self.ahead[:2]
        self._oldest = 0
        self._command = self.ahead[:2].copy()

    @property
    def position(self) -> Array:
        """(J,) commanded now [rad, m]."""
        return self._command[0].copy()

    @property
    def velocity(self) -> Array:
        """(J,) of the command now [rad/s, m/s]."""
        return self._command[1].copy()

    def stopping(self, state: Array) -> Array:
        """(J,) where braking from `state`, as `ahead`, comes to rest."""
        velocity, step = state[1], self._step
        cycles = np.floor(np.abs(velocity) / step)
        return np.asarray(
            state[0]
            + np.sign(velocity)
            * (cycles * np.abs(velocity) - step * cycles * (cycles + 1) / 2)
            * self._period
        )

    def candidate(self, wanted: Array) -> Array:
        """(3, J) as `ahead` would be next, heading for `wanted`: (2, J) position and velocity."""
        limits, dt = self._limits, self._period
        position = self.ahead[0]
        target = _between(limits.lower, wanted[0], limits.upper)
        speed = _between(-limits.velocity, wanted[1], limits.velocity)
        # Distance to where the wanted motion was a cycle ago; half the acceleration is for that.
        error = target - speed * dt - position
        closing = _stopping_velocity(np.abs(error), self._step / 2, dt)
        low, high = self.velocity_range()
        return self.moved(_between(low, speed + np.copysign(closing, error), high))

    def velocity_range(self) -> Array:
        """(2, J) lowest and highest velocity of the next cycle within all limits."""
        if self._range is None:
            self._range = self._velocity_range()
        return self._range

    def _velocity_range(self) -> Array:
        limits, step = self._limits, self._step
        position, velocity, _ = self.ahead
        room = np.maximum((position - limits.lower, limits.upper - position), 0.0)
        down, up = _stopping_velocity(room, step, self._period)
        low = _between(-limits.velocity, velocity - step, limits.velocity)
        high = _between(-limits.velocity, velocity + step, limits.velocity)
        return np.array((_between(-down, low, up), _between(-down, high, up)))

    def moved(self, velocity: Array) -> Array:
        """(3, J) as `ahead` would be next, with this velocity (J,), which is within the range."""
        position, before, _ = self.ahead
        dt = self._period
        return np.array((position + velocity * dt, velocity, (velocity - before) / dt))

    def braking_path(self, state: Array) -> tuple[Array, Array]:
        """Postures (K, J) of each cycle from `state`, as `ahead`, to rest, both ends included.

        Also (K, J) how far each posture moves per change of the velocity of `state` [s], that being
        the next cycle's.
        """
        position, velocity, _ = state
        speed = np.abs(velocity)
        full = np.floor(speed / self._step)
        cycles = np.arange(max(float(full.max()), 1.0) + 1)[:, None]
        slower = np.maximum(speed - self._step * cycles, 0.0)
        slower[0] = 0.0
        way = np.copysign(self._period, velocity) * np.add.accumulate(slower)
        return position + way, (1 + np.minimum(full, cycles)) * self._period

    def sway(self, velocity: Array, braking: Array) -> Array:
        """(J,) how far the ways to rest from two next velocities (J,) are apart at most."""
        cycles = np.floor(np.maximum(np.abs(velocity), np.abs(braking)) / self._step)
        return np.asarray(np.abs(velocity - braking) * (1 + cycles) * self._period)

    def braking(self) -> Array:
        """(3, J) as `ahead` would be next, braking to rest."""
        before = self.ahead[1]
        return self.moved(np.sign(before) * np.maximum(np.abs(before) - self._step, 0.0))

    def advance(self, ahead: Array) -> None:
        """One cycle to `ahead`, a `candidate` or `braking`."""
        self.ahead, self._range = ahead, None
        self._window[self._oldest] = ahead[:2]
        self._oldest = (self._oldest + 1) % len(self._window)
        self._command = np.add.reduce(self._window) / len(self._window)


def _between(low: Array, values: Array, high: Array) -> Array:
    """As np.clip, which takes four times as long for so few."""
    return np.asarray(np.minimum(np.maximum(low, values), high))


def _stopping_velocity(distance: Array, step: Array, dt: float) -> Array:
    """Largest velocity from which `-step` a cycle leads to rest within `distance`, exactly."""
    cycles = np.floor((np.sqrt(1 + 8 * distance / (step * dt)) - 1) / 2)
    return (distance / dt + step * cycles * (cycles + 1) / 2) / (cycles + 1)
