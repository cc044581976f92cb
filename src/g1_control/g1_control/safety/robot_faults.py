"""What is wrong with the robot, as measured: faults that stop the arms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g1_control.safety.limits import Limits
from g1_control.safety.parameters import SafetyParameters
from g1_control.safety.reasons import Reason
from g1_control.unitree import ARM_MOTORS, SUPPORTED_MODE_MACHINES, motor_errors

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """The robot as last seen: (29,) each, in rad, rad/s and degrees C.

    gripper (2,): openings [m], NaN before the first one; gripper_age (2,): of those [s];
    gripper_fault: what is wrong with the left and right one, empty if nothing.
    """

    time: float
    q: Array
    dq: Array
    gripper: Array
    gripper_age: Array
    gripper_fault: tuple[str, str]
    temperature: Array
    errors: NDArray[np.uint32]
    mode_machine: int


@dataclass(frozen=True)
class RobotFault:
    """Something that stops the arms.

    They hold at first and are handed back if it lasts; or at once (`disarms`); or they hold for as
    long as it lasts (`waits`). joint: the one to blame, empty if none.
    """

    reason: Reason
    text: str
    disarms: bool = False
    waits: bool = False
    joint: str = ''


def find_fault(
    measured: Measured | None,
    command: Array | None,
    limits: Limits,
    parameters: SafetyParameters,
    now: float,
) -> RobotFault | None:
    """The worst thing wrong; `command` is where the arms should be, None while unarmed."""
    if measured is None:
        return RobotFault(
            Reason.LOWSTATE_LOST, 'no /lowstate yet; is the robot on the network?', True
        )
    age = now - measured.time
    if age > parameters.lowstate_lost:
        return RobotFault(Reason.LOWSTATE_LOST, f'/lowstate is {age:.2f} s old', True)
    if measured.mode_machine not in SUPPORTED_MODE_MACHINES:
        known = ', '.join(map(str, sorted(SUPPORTED_MODE_MACHINES)))
        text = f'mode_machine is {measured.mode_machine}, a 29-DoF G1 has one of {known}'
        return RobotFault(Reason.MODE_MACHINE, text, True)
    if age > parameters.lowstate_stale:
        return RobotFault(Reason.LOWSTATE_STALE, f'/lowstate is {age * 1e3:.0f} ms old')
    return _motor_fault(measured, command, limits, parameters) or _gripper_fault(
        measured, parameters
    )


def _motor_fault(
    measured: Measured, command: Array | None, limits: Limits, parameters: SafetyParameters
) -> RobotFault | None:
    errors = measured.errors[ARM_MOTORS]
    if errors.any():
        joint = int(np.argmax(errors != 0))
        meaning = ', '.join(motor_errors(int(errors[joint])))
        return RobotFault(
            Reason.MOTOR_ERROR,
            f'{limits.names[joint]}: motor reports {errors[joint]:#x}, {meaning}',
        )
    temperature = measured.temperature[ARM_MOTORS]
    joint = int(temperature.argmax())
    if temperature[joint] > parameters.motor_temperature:
        return RobotFault(
            Reason.MOTOR_TEMPERATURE,
            f'{limits.names[joint]}: {temperature[joint]:.0f} degC, '
            f'allowed is {parameters.motor_temperature:g}',
        )
    if command is None:
        return None
    error = np.abs(command - measured.q[ARM_MOTORS])
    joint = int(error.argmax())
    if error[joint] > parameters.tracking_error:
        return RobotFault(
            Reason.TRACKING_ERROR,
            f'{limits.names[joint]}: {error[joint]:.2f} rad from its command, '
            f'allowed is {parameters.tracking_error:g}',
        )
    return None


def _gripper_fault(measured: Measured, parameters: SafetyParameters) -> RobotFault | None:
    for side, opening, age, fault in zip(
        ('left', 'right'),
        measured.gripper,
        measured.gripper_age,
        measured.gripper_fault,
        strict=True,
    ):
        if fault:
            text = f'{side} gripper: {fault}'
        elif not np.isfinite(opening):
            text = f"{side} gripper: no state yet; is the gripper's node running?"
        elif not age <= parameters.gripper_timeout:
            text = f"{side} gripper: its state is {age:.2f} s old; is the gripper's node running?"
        else:
            continue
        return RobotFault(Reason.GRIPPER_FAULT, text, waits=True)
    return None
