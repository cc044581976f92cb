"""Commands on /arm_sdk: what each asks, and what there is to say about many of them. No ROS."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from g1_control.unitree import ARM_MOTORS, MOTORS, WEIGHT_SLOT, LowCmd

Array = NDArray[np.float64]

#: Two commands further apart are no motion from one to the other [s].
LONGEST_STEP = 0.1
_ELSEWHERE = np.r_[: ARM_MOTORS.start, MOTORS:WEIGHT_SLOT, WEIGHT_SLOT + 1 : len(LowCmd().q)]


@dataclass(frozen=True)
class ArmCommand:
    """One command: when it was sent [s since 1970] and what it asks of the arms.

    q, dq: (14,) targets [rad], [rad/s]. untouched: legs and waist have neither mode nor gain,
    torque or target.
    """

    sent: float
    weight: float
    q: Array
    dq: Array
    crc_ok: bool
    finite: bool
    untouched: bool


@dataclass(frozen=True)
class Received(ArmCommand):
    """One that has met a robot: when [s] on its monotonic clock, from whom, and at which pose.

    echoed: it has the robot's mode_machine. start_error: the largest distance of q from the pose
    measured when it arrived [rad].
    """

    arrived: float
    publisher: int
    echoed: bool
    start_error: float


@dataclass(frozen=True)
class Extremes:
    """The largest (14,) of all commands, without their sign, a joint: q from one to the next [rad],
    velocity [rad/s], as q moves or as dq says, and acceleration, as dq changes [rad/s2].
    """

    step: Array
    velocity: Array
    acceleration: Array


def arm_command(message: LowCmd, sent: float) -> ArmCommand:
    """What the message asks."""
    fields = (message.q, message.dq, message.tau, message.kp, message.kd)
    return ArmCommand(
        sent=sent,
        weight=message.weight,
        q=message.q[ARM_MOTORS].astype(float),
        dq=message.dq[ARM_MOTORS].astype(float),
        crc_ok=message.crc_ok,
        finite=all(bool(np.isfinite(field).all()) for field in fields),
        untouched=not any(field[_ELSEWHERE].any() for field in (message.mode, *fields)),
    )


def read_commands(messages: Iterable[tuple[float, bytes]]) -> list[ArmCommand]:
    """Serialised commands, each with when it was sent [s since 1970], in their order."""
    message, commands = LowCmd(), []
    for sent, data in messages:
        message.load(data)
        commands.append(arm_command(message, sent))
    return commands


def period(commands: Sequence[ArmCommand]) -> float:
    """The time from one command to the next [s], median; 0 for fewer than two."""
    return float(np.median(np.diff([c.sent for c in commands]))) if len(commands) > 1 else 0.0


def extremes(
    commands: Sequence[ArmCommand],
    period: float,
    velocity: Array | None = None,
    acceleration: Array | None = None,
) -> Extremes:
    """Of pairs of neighbours that move the arms: with weight, and not LONGEST_STEP apart.

    Between two commands lie as many periods [s] as between the times they were sent, or one more,
    where they would break a limit `velocity` or `acceleration` (14,): a command that is sent late
    is still meant for when it was due.
    """
    none = np.zeros(ARM_MOTORS.stop - ARM_MOTORS.start)
    moving = [
        (a, b, max(1, round((b.sent - a.sent) / period)))
        for a, b in itertools.pairwise(commands)
        if min(a.weight, b.weight) > 0.0 and b.sent - a.sent <= LONGEST_STEP
    ]
    if not moving:
        return Extremes(none, none, none)
    spans = period * np.array([[count] for *_, count in moving], float)
    step = np.abs([b.q - a.q for a, b, _ in moving])
    change = np.abs([b.dq - a.dq for a, b, _ in moving])
    stated = np.abs([b.dq for _, b, _ in moving])
    return Extremes(
        step.max(axis=0),
        np.maximum(stated, _over(step, spans, period, velocity)).max(axis=0),
        _over(change, spans, period, acceleration).max(axis=0),
    )


def _over(change: Array, spans: Array, period: float, limit: Array | None) -> Array:
    """(N, 14) changes over their spans (N, 1) [s], or one period more where that is too much."""
    rates = change / spans
    if limit is None:
        return rates
    late = (rates > limit).any(axis=1, keepdims=True)
    return change / (spans + period * late)


Kind = TypeVar('Kind', bound=ArmCommand)


class CommandLog(Generic[Kind]):
    """Commands in the order they came."""

    def __init__(self) -> None:
        self._commands: list[Kind] = []

    def __len__(self) -> int:
        return len(self._commands)

    def add(self, command: Kind) -> None:
        """Keeps the newest one."""
        self._commands.append(command)

    @property
    def weight(self) -> float:
        """Of the newest command; 0 before the first."""
        return self._commands[-1].weight if self._commands else 0.0

    def since(self, start: float) -> list[Kind]:
        """Those sent from `start` [s since 1970] on; a long log is not gone through."""
        count = 0
        while count < len(self._commands) and self._commands[-1 - count].sent >= start:
            count += 1
        return self._commands[len(self._commands) - count :]


class RobotLog(CommandLog[Received]):
    """What a robot got."""

    def receive(
        self,
        message: LowCmd,
        arrived: float,
        sent: float,
        publisher: int,
        crc_ok: bool,
        mode_machine: int,
        measured: Array,
    ) -> Received:
        """Keeps a command that met the robot at pose `measured` (29,) [rad]; says how it was.

        crc_ok: by whom the robot believes, not by our own arithmetic.
        """
        command = arm_command(message, sent)
        entry = Received(
            **{**vars(command), 'crc_ok': crc_ok},
            arrived=arrived,
            publisher=publisher,
            echoed=message.mode_machine == mode_machine,
            start_error=float(np.abs(command.q - measured[ARM_MOTORS]).max()),
        )
        self.add(entry)
        return entry

    def arrays(self) -> dict[str, NDArray]:
        """All of it by name, (N,) each, q (N, 14): what an .npz of it holds."""
        names = Received.__dataclass_fields__
        return {name: np.array([getattr(r, name) for r in self._commands]) for name in names}

    def summary(self, since: float = -np.inf) -> dict[str, Any]:
        """Counts, rates and extremes of the commands that arrived after `since` [s].

        Periods in ms, weights per second, angles in rad.
        """
        log = [r for r in self._commands if r.arrived >= since]
        if not log:
            return {'commands': 0}
        weight = np.array([r.weight for r in log])
        sent = np.array([r.sent for r in log])
        return {
            'commands': len(log),
            'crc_wrong': sum(not r.crc_ok for r in log),
            'not_finite': sum(not r.finite for r in log),
            'mode_machine_wrong': sum(not r.echoed for r in log),
            'legs_or_waist_touched': sum(not r.untouched for r in log),
            'publishers': len({r.publisher for r in log}),
            'sent_period': _spread(np.diff(sent) * 1e3),
            'arrival_period': _spread(np.diff([r.arrived for r in log]) * 1e3),
            'weight': _ramps(weight, sent),
            'start_error': log[0].start_error,
            'motion': _motion(log),
        }


def _spread(values: Array) -> dict[str, float]:
    if not len(values):
        return {}
    p50, p99, most = np.percentile(values, (50, 99, 100))
    return {'p50': float(p50), 'p99': float(p99), 'max': float(most)}


def _ramps(weight: Array, sent: Array) -> dict[str, float | None]:
    rising, falling = np.diff(weight) > 0, np.diff(weight) < 0
    return {
        'first': float(weight[0]),
        'last': float(weight[-1]),
        'max': float(weight.max()),
        'largest_step': float(np.abs(np.diff(weight)).max(initial=0.0)),
        'up_seconds': _duration(rising, sent),
        'down_seconds': _duration(falling, sent),
    }


def _duration(during: NDArray[np.bool_], sent: Array) -> float | None:
    """From the first to the last command during which something went on [s]; None if it never did.

    `during` (N-1,) tells of each pair of neighbours.
    """
    pairs = np.flatnonzero(during)
    return float(sent[pairs[-1] + 1] - sent[pairs[0]]) if len(pairs) else None


def _motion(log: list[Received]) -> dict[str, float]:
    # A sender keeps an even step of time in what it asks for; what its scheduler adds is no motion.
    found = extremes(log, period(log) or 1.0)
    return {
        'largest_step': float(found.step.max()),
        'largest_velocity': float(found.velocity.max()),
        'largest_acceleration': float(found.acceleration.max()),
    }
