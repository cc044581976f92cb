"""The robot, real or simulated, and its control, as every system that has a robot starts it."""

from __future__ import annotations

import importlib.util
import pkgutil
import socket
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from g1_bringup.system import G1, SIM, Argument, ArgumentError, Given, Include, Node, Value
from g1_ros.config import load_tasks

ROBOT = Argument('robot', 'sim', 'Robot to run on; g1 is the real one.', ('sim', 'g1'))
SEED = Argument('seed', 0, 'Seed of the simulated scene.', minimum=0, maximum=2**31 - 1)
SIM_LOG = Argument('sim_log', '', 'File for the motion of the simulation, to render it later.')
#: Of the real robot only.
HARDWARE = (
    Argument(
        'camera',
        'realsense',
        'Head camera of the real robot; replay plays camera_file. A simulated robot has its own.',
        ('realsense', 'replay', 'none'),
    ),
    Argument('camera_file', '', 'Video file, or folder of images, that camera:=replay plays.'),
    Argument('network_interface', '', 'Network interface towards the robot, as eth0; empty: all.'),
)

SIM_NODE = Node(
    'g1_sim',
    'sim_node',
    config=('sim.yaml',),
    parameters=(('task', Given('task')), ('seed', Given('seed')), ('log', Given('sim_log'))),
)
_CONTROL_NODE = Node('g1_control', 'control_node', config=('control.yaml', 'safety.yaml'))
ROBOT_NODES = (
    replace(SIM_NODE, when=SIM),
    # It shares the computer with physics, camera and policy, and no robot is waiting.
    replace(_CONTROL_NODE, parameters=(('missed_deadlines', 125),), when=SIM),
    replace(_CONTROL_NODE, when=G1),
    Node('g1_control', 'gripper_node', config=('grippers.yaml',), when=G1),
    Node(
        'g1_fakes',
        'camera_replay',
        parameters=(('path', Given('camera_file')),),
        when=(*G1, ('camera', 'replay')),
    ),
)
REALSENSE = Include(
    'realsense2_camera',
    'rs_launch.py',
    arguments=(
        ('rgb_camera.color_profile', '640x480x30'),
        ('rgb_camera.color_format', 'RGB8'),
        ('enable_depth', 'false'),
        ('publish_tf', 'false'),
    ),
    when=(*G1, ('camera', 'realsense')),
)


def task_argument() -> Argument:
    """The tasks of `config/tasks.yaml`, by name."""
    return Argument(
        'task',
        'arrange_flower',
        'Task to run; with robot:=sim also the scene.',
        tuple(load_tasks()),
    )


@cache
def simulated_tasks() -> tuple[str, ...]:
    """Tasks that have a file in `g1_sim/tasks/`, found without importing the simulator."""
    spec = importlib.util.find_spec('g1_sim')
    locations = (spec and spec.submodule_search_locations) or ()
    folders = [str(Path(location, 'tasks')) for location in locations]
    files = {module.name for module in pkgutil.iter_modules(folders)}
    return tuple(name for name in load_tasks() if name in files)


def check_task(values: Mapping[str, Value]) -> None:
    """A simulated robot needs a scene for its task."""
    task = values['task']
    if values.get('robot', 'sim') == 'sim' and task not in simulated_tasks():
        raise ArgumentError(
            f'task:={task} cannot be simulated; choose one of: {", ".join(simulated_tasks())}'
        )


def check_hardware(values: Mapping[str, Value]) -> None:
    """The recording of a camera and the network interface named have to be there."""
    camera, file = values['camera'], str(values['camera_file'])
    if camera == 'replay' and values['robot'] == 'sim':
        raise ArgumentError('camera:=replay needs robot:=g1; a simulated robot has its own camera')
    if camera == 'replay' and not (file and Path(file).exists()):
        raise ArgumentError(
            f'camera_file:={file} is not there; camera:=replay needs a video file or a folder of '
            'images'
        )
    interface = values['network_interface']
    interfaces = [name for _, name in socket.if_nameindex()]
    if interface and interface not in interfaces:
        raise ArgumentError(
            f'network_interface:={interface} is not valid; choose one of: {", ".join(interfaces)}'
        )
