"""`teleop_record.launch.py`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from g1_bringup.system import Argument, ArgumentError, Given, Node, System, Value
from g1_bringup.systems.cameras import CAMERAS, REALSENSE
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
    parameters=(
        ('device', Given('device')),
        ('replay_file', Given('replay_file')),
        ('task', Given('task')),
    ),
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
            Argument(
                'device',
                'xrobotoolkit',
                'What the operator holds; replay plays replay_file, scripted demonstrates the '
                'task in the simulator by itself.',
                ('xrobotoolkit', 'replay', 'scripted'),
            ),
            Argument(
                'replay_file',
                '',
                'Raw log of an episode (MCAP) whose hands device:=replay has.',
            ),
            Argument('dataset', '', 'Folder of the dataset; empty: the one in teleop.yaml.'),
            Argument(
                'episodes', 200, 'How many episodes it is to have.', minimum=1, maximum=100000
            ),
            CAMERAS,
            *HARDWARE,
            RVIZ,
        ),
        nodes=(*ROBOT_NODES, _TELEOP_NODE, _RECORDER_NODE, *rviz_nodes(RVIZ_ON)),
        includes=REALSENSE,
        checks=(check_task, check_hardware, check_device),
    )


def check_device(values: Mapping[str, Value]) -> None:
    """The scripted operator knows simulated scenes only; a replay needs its file."""
    device, file = values['device'], str(values['replay_file'])
    if device == 'scripted' and values['robot'] != 'sim':
        raise ArgumentError(
            'device:=scripted needs robot:=sim: it demonstrates in scenes that it knows, and a '
            'real robot is moved by a person'
        )
    if device == 'replay' and not (file and Path(file).exists()):
        raise ArgumentError(
            f'replay_file:={file} is not there; device:=replay needs the raw log of an episode, '
            'which recorder_node keeps with raw_log: true'
        )
