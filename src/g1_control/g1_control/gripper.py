"""One ALOHA 2 gripper: calibration, what its servo says, and where its goal goes. No ROS.

A gripper goes through this, by itself and again after every interruption:
  silent    its port cannot be opened, or it doesn't answer: asked again twice a second
  failed    it reports a hardware error: rebooted after a rest, where that can help
  ready     answers, in mode 5, with the current limit; torque off until somebody commands it
  engaged   torque on; the goal goes from where it stands to what is commanded, never in a jump
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from g1_control.xm430 import (
    CURRENT_UNIT,
    GOAL_POSITION,
    HARDWARE_ERROR,
    MIDDLE,
    PRESENT,
    READ_BLOCK,
    TICK,
    TORQUE_CONSTANT,
    TORQUE_ENABLE,
    VELOCITY_UNIT,
    VOLTAGE,
    describe_errors,
    reboot_clears,
)

TOLERANCE = 0.006  # [m] outside the stroke that a reading may be; the stops leave 3 mm
RETRY = 0.5  # [s] between attempts to reach a servo; one costs the bus 35 ms of silence
_LONGEST_STEP = 0.05  # [s] of a goal's motion made good after a pause
COOLED = 5.0  # degC below the limit at which a hot motor is well again


@dataclass(frozen=True)
class Calibration:
    """Motor angle to finger opening, in a straight line: closed, open [rad]; stroke [m] a finger.

    Raises ValueError for angles beyond one turn (in which a goal never holds the bytes FF FF FD,
    which the SDK sends unescaped) or too close to each other.
    """

    closed: float
    open: float
    stroke: float

    def __post_init__(self) -> None:
        if max(abs(self.closed), abs(self.open)) >= math.pi or abs(self.open - self.closed) < 0.1:
            raise ValueError(
                'gripper calibration: expected motor angles between -pi and pi rad, at least 0.1 '
                f'rad apart, got closed {self.closed} and open {self.open}'
            )

    @property
    def ratio(self) -> float:
        """Finger travel per motor angle [m/rad]; negative where opening turns backwards."""
        return self.stroke / (self.open - self.closed)

    def ticks(self, opening: float) -> int:
        """Register value for a finger opening [m]."""
        return round((self.closed + opening / self.ratio) / TICK) + MIDDLE

    def angle(self, ticks: int) -> float:
        """Motor angle [rad] of a register value."""
        return (ticks - MIDDLE) * TICK

    def opening(self, ticks: int) -> float:
        """Finger opening [m] of a register value; outside 0 to stroke where the fingers are."""
        return (self.angle(ticks) - self.closed) * self.ratio


@dataclass(frozen=True)
class Reading:
    """A gripper as measured: opening [m] and its velocity [m/s] of each finger.

    force: of the finger drive, estimated from the current without friction; positive opens [N].
    """

    opening: float
    velocity: float
    force: float
    angle: float  # of the motor [rad]
    current: float  # [A]


@dataclass(frozen=True)
class Health:
    """What the motor says of itself; errors as in register 70."""

    torque: bool
    errors: int
    voltage: float  # [V]
    temperature: float  # [degC]


@dataclass(frozen=True)
class GripperSettings:
    """Common to all grippers."""

    current_limit: float  # [A]
    velocity: float  # of a finger's goal [m/s]
    temperature_limit: float  # [degC]
    rest: float  # [s] before a servo with a hardware error is rebooted


class Gripper:
    """One servo. `command` may be called from any thread; the rest is its bus's.

    fault: '' when all is well. reading, health: None before the first; fresh: read this cycle.
    """

    def __init__(self, number: int, calibration: Calibration, settings: GripperSettings) -> None:
        self.id, self.calibration, self.settings = number, calibration, settings
        self.fault = 'not connected yet'
        self.reading: Reading | None = None
        self.health: Health | None = None
        self.fresh = False
        self.connections = self.lost = 0
        self.ready = self.hot = False
        self.wanted: float | None = None  # [m]
        self.goal: float | None = None  # [m] sent; None while torque is off
        self.retry_at = 0.0
        self.misses = 0
        self.failed_at: float | None = None

    def command(self, opening: float) -> bool:
        """Fingers to `opening` [m], clamped to the stroke; False (and nothing) if not finite."""
        if not math.isfinite(opening):
            return False
        self.wanted = min(max(opening, 0.0), self.calibration.stroke)
        return True

    def release(self) -> None:
        """Torque off until the next command: a person can move the fingers."""
        self.wanted = None

    def take(self, data: bytes) -> int:
        """The registers `READ_BLOCK`; returns the goal position in it [ticks]."""
        start, ratio = READ_BLOCK[0], self.calibration.ratio
        current, velocity, position = struct.unpack_from('<hii', data, PRESENT - start)
        voltage, temperature = struct.unpack_from('<HB', data, VOLTAGE - start)
        amperes = current * CURRENT_UNIT
        self.reading = Reading(
            opening=self.calibration.opening(position),
            velocity=velocity * VELOCITY_UNIT * ratio,
            force=amperes * TORQUE_CONSTANT / ratio,
            angle=self.calibration.angle(position),
            current=amperes,
        )
        torque, errors = bool(data[TORQUE_ENABLE - start]), data[HARDWARE_ERROR - start]
        self.health = Health(torque, errors, voltage / 10, float(temperature))
        self.fresh, self.misses = True, 0
        return struct.unpack_from('<i', data, GOAL_POSITION - start)[0]

    def next_goal(self, dt: float) -> float:
        """The goal `dt` s on, towards what is wanted [m]."""
        assert self.goal is not None and self.wanted is not None
        step = self.settings.velocity * min(dt, _LONGEST_STEP)
        self.goal += min(max(self.wanted - self.goal, -step), step)
        return self.goal

    def judge(self, now: float) -> None:
        """Sets the fault that the health read just now calls for."""
        health, limit = self.health, self.settings.temperature_limit
        assert health is not None
        if health.errors:
            if self.failed_at is None:
                self.failed_at = now
            waits = reboot_clears(health.errors)
            remedy = 'is rebooted after a rest' if waits else 'switch it off and on'
            self.lose(f'hardware error: {describe_errors(health.errors)}; {remedy}', now)
        elif self.goal is not None and not health.torque:
            self.lose('lost its torque, has it been restarted?', now)
        else:
            self.hot = health.temperature > limit - (COOLED if self.hot else 0.0)
            hot = f'motor at {health.temperature:.0f} degC, allowed is {limit:g}'
            self.fault = hot if self.hot else self._displacement()

    @property
    def displaced(self) -> bool:
        """Whether the fingers seem to be where they cannot: the calibration is not this servo's."""
        if self.reading is None:
            return False
        return not -TOLERANCE <= self.reading.opening <= self.calibration.stroke + TOLERANCE

    def _displacement(self) -> str:
        if self.reading is None or not self.displaced:
            return ''
        opening, stroke = self.reading.opening * 1e3, self.calibration.stroke * 1e3
        return (
            f'reads an opening of {opening:.0f} mm, its stroke is 0 to {stroke:.0f}: the servo '
            'lost its turn count or homing offset, torque is off; switch it off and on, and if '
            'that does not help calibrate it (config/grippers.yaml)'
        )

    def lose(self, fault: str, now: float) -> None:
        """Not to be commanded before it has been set up again."""
        self.fault, self.ready, self.goal = fault, False, None
        self.retry_at = now + RETRY
