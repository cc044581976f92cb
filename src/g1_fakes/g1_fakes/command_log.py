"""What a robot got on /arm_sdk: every command kept, and what there is to say about them. No ROS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g1_control.unitree import ARM_MOTORS, MOTORS, WEIGHT_SLOT, LowCmd

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Received:
    """One command: times on the monotonic clock of the receiver and the wall clock of the sender.

    q: (14,) arm targets [rad]; start_error: the largest distance of q from the pose measured when
    it arrived [rad]. untouched: legs and waist have neither mode nor gain, torque or target.
    """

    arrived: float
    sent: float
    publisher: int
    crc_ok: bool
    finite: bool
    echoed: bool
    untouched: bool
    weight: float
    q: Array
    start_error: float


class CommandLog:
    """Commands in the order of their arrival."""

    def __init__(self) -> None:
        self._received: list[Received] = []

    def __len__(self) -> int:
        return len(self._received)

    def add(
        self,
        command: LowCmd,
        arrived: float,
        sent: float,
        publisher: int,
        crc_ok: bool,
        mode_machine: int,
        measured: Array,
    ) -> Received:
        """Keeps a command that met the robot at pose `measured` (29,) [rad]; says how it was."""
        q = command.q[ARM_MOTORS].astype(float)
        others = np.r_[: ARM_MOTORS.start, MOTORS:WEIGHT_SLOT, WEIGHT_SLOT + 1 : len(command.q)]
        fields = (command.q, command.dq, command.tau, command.kp, command.kd)
        entry = Received(
            arrived=arrived,
            sent=sent,
            publisher=publisher,
            crc_ok=crc_ok,
            finite=all(bool(np.isfinite(field).all()) for field in fields),
            echoed=command.mode_machine == mode_machine,
            untouched=not any(field[others].any() for field in (command.mode, *fields)),
            weight=command.weight,
            q=q,
            start_error=float(np.abs(q - measured[ARM_MOTORS]).max()),
        )
        self._received.append(entry)
        return entry

    def arrays(self) -> dict[str, NDArray]:
        """All of it by name, (N,) each, q (N, 14): what an .npz of it holds."""
        names = Received.__dataclass_fields__
        return {name: np.array([getattr(r, name) for r in self._received]) for name in names}

    def summary(self, since: float = -np.inf) -> dict[str, Any]:
        """Counts, rates and extremes of the commands that arrived after `since` [s].

        Periods in ms, weights per second, angles in rad. Velocity and acceleration are differences
        of the targets over the time their sender put between them.
        """
        log = [r for r in self._received if r.arrived >= since]
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
            'motion': _motion(np.array([r.q for r in log]), sent),
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


def _motion(q: Array, sent: Array) -> dict[str, float]:
    step = np.diff(q, axis=0)
    # A sender keeps an even step of time in what it asks for; what its scheduler adds is no motion.
    period = float(np.median(np.diff(sent))) if len(sent) > 1 else 0.0
    cycles = np.maximum(1, np.round(np.diff(sent) / period)) if period > 0 else np.ones(len(step))
    velocity = step / (cycles[:, None] * period) if period > 0 else step
    acceleration = np.diff(velocity, axis=0) / (cycles[1:, None] * period) if period > 0 else step
    return {
        'largest_step': float(np.abs(step).max(initial=0.0)),
        'largest_velocity': float(np.abs(velocity).max(initial=0.0)),
        'largest_acceleration': float(np.abs(acceleration).max(initial=0.0)),
    }
