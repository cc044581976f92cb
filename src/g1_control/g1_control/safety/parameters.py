"""Every limit, age and threshold of control, declared once."""

from __future__ import annotations

from dataclasses import dataclass

from g1_ros.config import config_path
from g1_ros.parameters import load, parameter

#: Order of the per-joint lists.
PER_JOINT = 'shoulder pitch, roll, yaw, elbow, wrist roll, pitch, yaw'

#: What is guarded of the world around; each is set, or named in `world_off`, before arms are armed.
GUARDS = ('table_height', 'workspace', 'hand_speed', 'contact_torque')


@dataclass(frozen=True)
class SafetyParameters:
    """Every limit, age and threshold."""

    speed: float = parameter(
        1.0,
        minimum=0.05,
        maximum=1.0,
        description='Share of every velocity limit that may be used; less for first trials.',
    )
    arm_velocity: list[float] = parameter(
        [2.0] * 7,
        unit='rad/s',
        minimum=0.1,
        maximum=4.0,
        description=f'Fastest command of an arm joint: {PER_JOINT}.',
    )
    arm_acceleration: list[float] = parameter(
        [12.0] * 7,
        unit='rad/s2',
        minimum=1.0,
        maximum=40.0,
        description=f'Largest acceleration commanded: {PER_JOINT}.',
    )
    arm_jerk: float = parameter(
        600.0,
        unit='rad/s3',
        minimum=200.0,
        maximum=5000.0,
        description='Fastest change of the acceleration commanded.',
    )
    gripper_velocity: float = parameter(
        0.25, unit='m/s', minimum=0.01, maximum=1.0, description='Fastest command of a finger.'
    )
    gripper_acceleration: float = parameter(
        4.0, unit='m/s2', minimum=0.1, maximum=20.0, description='Largest finger acceleration.'
    )
    gripper_jerk: float = parameter(
        200.0,
        unit='m/s3',
        minimum=50.0,
        maximum=5000.0,
        description="Fastest change of a finger's acceleration.",
    )
    range_margin: float = parameter(
        0.02, unit='rad', minimum=0.0, maximum=0.3, description='Kept from the end of arm ranges.'
    )
    chunk_age: float = parameter(
        1.0, unit='s', minimum=0.1, maximum=10.0, description='Oldest stamp of a usable chunk.'
    )
    max_future_stamp: float = parameter(
        0.05, unit='s', minimum=0.0, maximum=1.0, description='Furthest stamp in the future.'
    )
    chunk_points: int = parameter(
        256, minimum=16, maximum=1000, description='Most targets of a chunk.'
    )
    chunk_duration: float = parameter(
        60.0, unit='s', minimum=1.0, maximum=600.0, description='Longest time of a target.'
    )
    chunk_start_distance: float = parameter(
        0.6,
        unit='rad',
        minimum=0.05,
        maximum=2.0,
        description='Furthest first usable target of an arm joint from its command.',
    )
    chunk_velocity: float = parameter(
        4.0,
        unit='rad/s',
        minimum=0.1,
        maximum=20.0,
        description='Fastest step between targets of an arm joint; less is only limited.',
    )
    lowstate_stale: float = parameter(
        0.05, unit='s', minimum=0.005, maximum=0.5, description='Age of /lowstate that holds.'
    )
    lowstate_lost: float = parameter(
        0.2, unit='s', minimum=0.02, maximum=1.0, description='Age of /lowstate that disarms.'
    )
    tracking_error: float = parameter(
        0.5, unit='rad', minimum=0.05, maximum=2.0, description='Command to measurement; holds.'
    )
    motor_temperature: float = parameter(
        80.0, unit='degC', minimum=40.0, maximum=120.0, description='Hottest arm motor; holds.'
    )
    gripper_timeout: float = parameter(
        0.5, unit='s', minimum=0.05, maximum=5.0, description="Age of a gripper's state that holds."
    )
    self_collision_margin: float = parameter(
        0.01,
        unit='m',
        minimum=0.0,
        maximum=0.1,
        description='Distance of arms and body that no motion may close below.',
    )
    table_height: float | None = parameter(
        None,
        unit='m',
        minimum=-1.0,
        maximum=1.0,
        description='Height over the pelvis that no part of a hand goes below.',
    )
    workspace: list[float] | None = parameter(
        None,
        unit='m',
        minimum=-2.0,
        maximum=2.0,
        description='Box that hands stay in: x from, to, y from, to, z from, to; of the pelvis.',
    )
    hand_speed: float | None = parameter(
        None, unit='m/s', minimum=0.05, maximum=3.0, description='Fastest command of a hand.'
    )
    contact_torque: list[float] | None = parameter(
        None,
        unit='N m',
        minimum=0.5,
        maximum=30.0,
        description=f'Torque beyond that of gravity and motion that is a contact: {PER_JOINT}.',
    )
    contact_time: float = parameter(
        0.04, unit='s', minimum=0.0, maximum=1.0, description='For which it lasts; holds.'
    )
    world_off: list[str] = parameter(
        [], description=f'Which guards are switched off, of: {", ".join(GUARDS)}.'
    )
    control_gap: float = parameter(
        0.2,
        unit='s',
        minimum=0.05,
        maximum=1.0,
        description='Time without a control cycle after which the arms stay where they are.',
    )
    fault_patience: float = parameter(
        2.0, unit='s', minimum=0.1, maximum=30.0, description='Holding for a fault, then disarming.'
    )
    missed_deadlines: int = parameter(
        100, minimum=1, maximum=250, description='Late cycles within a second; holds.'
    )
    weight_ramp: float = parameter(
        1.5, unit='s', minimum=0.5, maximum=2.5, description='Weight from 0 to 1 and back.'
    )
    estop_ramp: float = parameter(
        0.5, unit='s', minimum=0.1, maximum=2.0, description='Weight from 1 to 0 at an e-stop.'
    )


def simulated_safety() -> SafetyParameters:
    """As in config/safety.yaml, with the simulated robot's world of config/sim_world.yaml."""
    return load(SafetyParameters, config_path('safety.yaml'), config_path('sim_world.yaml'))


def free_safety() -> SafetyParameters:
    """As in config/safety.yaml, with nothing around the robot that it is guarded from."""
    return load(SafetyParameters, config_path('safety.yaml'), world_off=list(GUARDS))
