"""`teleop_record.launch.py`."""

from __future__ import annotations

from g1_bringup.system import System
from g1_bringup.systems.cameras import CAMERAS, REALSENSE
from g1_bringup.systems.devices import DEVICE_ARGUMENTS, check_device, device_nodes
from g1_bringup.systems.grippers import gripper_nodes
from g1_bringup.systems.operator import RECORDER_ARGUMENTS, RECORDER_NODE, TELEOP_NODE
from g1_bringup.systems.robot_side import (
    HARDWARE,
    ROBOT,
    ROBOT_NODES,
    SEED,
    check_hardware,
    check_task,
    task_argument,
)
from g1_bringup.systems.rviz import RVIZ, RVIZ_ON, rviz_nodes


def describe() -> System:
    """The operator, the robot and the recorder."""
    return System(
        'teleop_record',
        'An operator moves the robot, and what happens is recorded as a dataset.',
        arguments=(
            task_argument(),
            ROBOT,
            SEED,
            *DEVICE_ARGUMENTS,
            *RECORDER_ARGUMENTS,
            CAMERAS,
            *HARDWARE,
            RVIZ,
        ),
        nodes=(*ROBOT_NODES, TELEOP_NODE, RECORDER_NODE, *rviz_nodes(RVIZ_ON)),
        chosen=lambda values: (*gripper_nodes(values), *device_nodes(values)),
        includes=REALSENSE,
        checks=(check_task, check_hardware, check_device),
    )
