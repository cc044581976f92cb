"""`teleop_record.launch.py`."""

from __future__ import annotations

from g1_bringup.system import Argument, Given, Node, System
from g1_bringup.systems.cameras import CAMERAS, REALSENSE
from g1_bringup.systems.devices import DEVICE_ARGUMENTS, check_device, device_nodes
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

_TELEOP_NODE = Node(
    'g1_teleop',
    'teleop_node',
    config=('teleop.yaml',),
)
_RECORDER_NODE = Node(
    'g1_recorder',
    'recorder_node',
    config=('teleop.yaml',),
    parameters=(
        ('task', Given('task')),
        ('dataset', Given('dataset')),
        ('episodes_goal', Given('episodes')),
        ('cameras', Given('cameras')),
    ),
)


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
            Argument('dataset', '', 'Folder of the dataset; empty: the one in teleop.yaml.'),
            Argument(
                'episodes', 200, 'How many episodes it is to have.', minimum=1, maximum=100000
            ),
            CAMERAS,
            *HARDWARE,
            RVIZ,
        ),
        nodes=(*ROBOT_NODES, _TELEOP_NODE, _RECORDER_NODE, *rviz_nodes(RVIZ_ON)),
        chosen=lambda values: (*gripper_nodes(values), *device_nodes(values)),
        includes=REALSENSE,
        checks=(check_task, check_hardware, check_device),
    )
