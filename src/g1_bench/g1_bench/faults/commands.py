"""What no command may be or do, however the system is hurt."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from g1_control.safety import SafetyParameters
from g1_control.watchdog import RAMP
from g1_fakes.command_log import LONGEST_STEP, ArmCommand, extremes

#: Rounding: a command is a float32.
_TOLERANCE = 1.02


@dataclass(frozen=True)
class CommandCheck:
    """Some commands: the largest velocity [rad/s] and acceleration [rad/s2] of a joint.

    problems: what no command may be or do, in words.
    """

    commands: int
    velocity: float
    acceleration: float
    problems: tuple[str, ...]


def check_commands(
    commands: Sequence[ArmCommand], safety: SafetyParameters, period: float
) -> CommandCheck:
    """Commands that are due every `period` [s], against the limits of config/safety.yaml.

    At weight 0 a target means nothing.
    """
    problems = [
        text
        for text, found in (
            ('wrong CRC', any(not c.crc_ok for c in commands)),
            ('not finite', any(not c.finite for c in commands)),
            ('legs or waist touched', any(not c.untouched for c in commands)),
        )
        if found
    ]
    problems += _weight_jumps(commands, safety, period)
    velocity = _TOLERANCE * np.array(safety.arm_velocity * 2)
    acceleration = _TOLERANCE * np.array(safety.arm_acceleration * 2)
    found = extremes(commands, period, velocity, acceleration)
    if (found.velocity > velocity).any():
        problems.append(f'velocity {found.velocity.max():.2f} rad/s')
    if (found.acceleration > acceleration).any():
        problems.append(f'acceleration {found.acceleration.max():.1f} rad/s2')
    return CommandCheck(
        len(commands),
        float(found.velocity.max()),
        float(found.acceleration.max()),
        tuple(dict.fromkeys(problems)),
    )


def _weight_jumps(
    commands: Sequence[ArmCommand], safety: SafetyParameters, period: float
) -> list[str]:
    steepest = 1.05 / min(safety.weight_ramp, safety.estop_ramp, RAMP)  # RAMP: the watchdog's
    jumps = []
    for first, second in itertools.pairwise(commands):
        apart = second.sent - first.sent
        periods = max(1, round(apart / period))
        slope = (second.weight - first.weight) / ((periods + 1) * period)
        if apart <= LONGEST_STEP and abs(slope) > steepest:
            jumps.append(f'weight from {first.weight:.3f} to {second.weight:.3f}')
    return jumps
