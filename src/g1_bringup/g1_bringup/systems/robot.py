"""`robot.launch.py`."""

from __future__ import annotations

from g1_bringup.system import System
from g1_bringup.systems.cameras import CAMERAS, REALSENSE
from g1_bringup.systems.grippers import gripper_nodes
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
    """The robot and its control alone."""
    return System(
        'robot',
        'The robot, real or simulated, and its control; without a policy.',
        arguments=(ROBOT, task_argument(), SEED, CAMERAS, *HARDWARE, RVIZ),
        nodes=(*ROBOT_NODES, *rviz_nodes(RVIZ_ON)),
        chosen=gripper_nodes,
        includes=REALSENSE,
        checks=(check_task, check_hardware),
    )
