"""Rates and shape of control's motion, declared once; the limits are `safety.SafetyParameters`."""

from __future__ import annotations

from dataclasses import dataclass

from g1_ros.parameters import parameter


@dataclass(frozen=True)
class ControlParameters:
    """Rates and shape of the motion."""

    rate: float = parameter(
        250.0, unit='Hz', minimum=50.0, maximum=500.0, description='Commands on /arm_sdk.'
    )
    joint_state_rate: float = parameter(
        125.0, unit='Hz', minimum=10.0, maximum=500.0, description='Messages on /joint_states.'
    )
    gripper_rate: float = parameter(
        50.0, unit='Hz', minimum=5.0, maximum=250.0, description='Commands to each gripper.'
    )
    blend: float = parameter(
        0.2,
        unit='s',
        minimum=0.02,
        maximum=1.0,
        description='Shortest time in which a new chunk takes over from the motion before.',
    )
