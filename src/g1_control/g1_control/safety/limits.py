"""What may be commanded, joint by joint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g1_control.safety.parameters import PER_JOINT, SafetyParameters
from g1_description import Robot

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Limits:
    """What may be commanded, (J,) each, and the range that targets are clamped to [rad, m; s].

    contact_torque: (arms,) from outside that are no contact [N m]; None where none are looked for.
    """

    names: tuple[str, ...]
    arms: int
    lower: Array
    upper: Array
    velocity: Array
    acceleration: Array
    jerk: Array
    contact_torque: Array | None = None

    @classmethod
    def of(cls, robot: Robot, parameters: SafetyParameters) -> Limits:
        """Raises ValueError when a list of per-joint limits is not of 7 values."""
        for name in ('arm_velocity', 'arm_acceleration', 'contact_torque'):
            values = getattr(parameters, name)
            if values is not None and len(values) != 7:
                raise ValueError(f'parameter {name}: expected 7 values ({PER_JOINT}), got {values}')
        arms = len(robot.arm_joints)
        margin = np.array([parameters.range_margin] * arms + [0.0, 0.0])
        return cls(
            names=robot.action_joints,
            arms=arms,
            lower=robot.action_lower + margin,
            upper=robot.action_upper - margin,
            velocity=parameters.speed
            * np.array(parameters.arm_velocity * 2 + [parameters.gripper_velocity] * 2),
            acceleration=np.array(
                parameters.arm_acceleration * 2 + [parameters.gripper_acceleration] * 2
            ),
            jerk=np.array([parameters.arm_jerk] * arms + [parameters.gripper_jerk] * 2),
            contact_torque=(
                np.array(parameters.contact_torque * 2) if parameters.contact_torque else None
            ),
        )
