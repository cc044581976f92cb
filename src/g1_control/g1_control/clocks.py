"""The three clocks of control: the system's, one that only goes on, and the command's own. No ROS.

A cycle is called with `now`, the time it was due by the system clock, which stamps count in. That
clock jitters, may be stepped by NTP, and stands still for a suspended process; so

  now       places targets: stamp + time_from_start is a moment of this clock
  elapsed   ages and patience: never goes back, and a step or a gap of `now` counts as one cycle
  command   when the next command is for: an even `period` further each cycle, and drawn to `now`
            slowly, c += k (now - c) with k = 0.01, so that the jitter of being called does not
            become a jitter of the motion

docs/timing.md has them in a picture.
"""

from __future__ import annotations

from dataclasses import dataclass

_CATCH_UP_CYCLES = (
    5  # late cycles made good at once; after a longer gap the command lags and catches up
)
_SETBACK_CYCLES = 10  # by which a cycle may be due before the last one; more is a clock set back
_GAIN = 0.01  # k: how fast the command's clock follows the system's


@dataclass(frozen=True)
class Tick:
    """What a cycle brought: periods the command moves on, and what was wrong with the clock [s].

    gap: time without any cycle, where it was longer than allowed; setback: by which the system
    clock was set back. Both 0 when all is well.
    """

    cycles: int
    gap: float = 0.0
    setback: float = 0.0


class ControlClocks:
    """Call `tick` once a cycle. period [s] of the cycle; longest_gap [s] between two cycles."""

    def __init__(self, period: float, longest_gap: float) -> None:
        self._period, self._longest_gap = period, longest_gap
        #: The system clock at the last cycle [s].
        self.now = 0.0
        #: Seconds that only go on.
        self.elapsed = 0.0
        #: What the last command was for, by the system clock [s]; None before the first cycle.
        self.command: float | None = None

    def elapsed_at(self, now: float) -> float:
        """`elapsed` at a moment of the system clock since the last cycle."""
        since = now - self.now
        usual = 0.0 <= since <= self._longest_gap
        return self.elapsed + (since if usual else self._period)

    def tick(self, now: float) -> Tick:
        """Moves all three on to `now`."""
        since = now - self.now
        self.elapsed, self.now = self.elapsed_at(now), now
        if self.command is None:
            self.command = now
            return Tick(0)
        if since > self._longest_gap:
            self.command = now
            return Tick(1, gap=since)
        if since < -_SETBACK_CYCLES * self._period:
            self.command = now
            return Tick(1, setback=-since)
        cycles = max(round((now - self.command) / self._period), 1)  # none would be a halt
        if cycles > _CATCH_UP_CYCLES:
            self.command = now
            return Tick(_CATCH_UP_CYCLES)
        self.command += cycles * self._period
        self.command += _GAIN * (now - self.command)
        return Tick(cycles)
