"""The robot, real or simulated, and its control, as every system that has a robot starts it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import replace

from g1_bringup.system import G1, SIM, Argument, ArgumentError, Computed, Given, Node, Value
from g1_bringup.systems.cameras import CAMERA_HARDWARE, CAMERA_NODES, check_cameras
from g1_bringup.systems.grippers import GRIPPER, check_gripper
from g1_description import load_robot
from g1_description.plugins import plugin_names
from g1_ros.config import load_tasks

ROBOT = Argument('robot', 'sim', 'Robot to run on; g1 is the real one.', ('sim', 'g1'))
SPEED = Argument(
    'speed',
    1.0,
    'Share of the velocity limits that control allows; less for first trials.',
    minimum=0.05,
    maximum=1.0,
)
EMBODIMENT = Argument(
    'embodiment', '', 'YAML of the robot, where it is not the G1 with ALOHA 2 grippers.'
)
SEED = Argument('seed', 0, 'Seed of the simulated scene.', minimum=0, maximum=2**31 - 1)
SIM_LOG = Argument('sim_log', '', 'File for the motion of the simulation, to render it later.')
#: What is asked of control, and what is of the real robot only.
HARDWARE = (
    SPEED,
    EMBODIMENT,
    GRIPPER,
    *CAMERA_HARDWARE,
    Argument('network_interface', '', 'Network interface towards the robot, as eth0; empty: all.'),
)

SIM_NODE = Node(
    'g1_sim',
    'sim_node',
    config=('sim.yaml',),
    parameters=(
        ('task', Given('task')),
        ('seed', Given('seed')),
        ('cameras', Given('cameras')),
        ('log', Given('sim_log')),
    ),
)
_CONTROL_NODE = Node(
    'g1_control',
    'control_node',
    config=('control.yaml', 'safety.yaml'),
    parameters=(('speed', Given('speed')),),
)
ROBOT_NODES = (
    replace(SIM_NODE, when=SIM),
    Node('g1_control', 'watchdog'),
    # It shares the computer with physics, camera and policy, and no robot is waiting.
    replace(
        _CONTROL_NODE,
        config=(*_CONTROL_NODE.config, 'sim_world.yaml'),
        parameters=(*_CONTROL_NODE.parameters, ('missed_deadlines', 125)),
        when=SIM,
    ),
    replace(_CONTROL_NODE, when=G1),
    *CAMERA_NODES,
    Node(
        'robot_state_publisher',
        'robot_state_publisher',
        parameters=(
            ('robot_description', Computed('g1_description.urdf:robot_description')),
            ('publish_frequency', 50.0),
        ),
        required=False,
        if_installed=True,
    ),
)


def task_argument() -> Argument:
    """The tasks of `config/tasks.yaml`, by name."""
    return Argument(
        'task',
        'arrange_flower',
        'Task to run; with robot:=sim also the scene.',
        tuple(load_tasks()),
        simulated=simulated_tasks(),
    )


def simulated_tasks() -> tuple[str, ...]:
    """Tasks that the simulator has a scene for, found without importing it."""
    found = plugin_names('g1_sim.tasks')
    return tuple(name for name in load_tasks() if name in found)


def check_task(values: Mapping[str, Value]) -> None:
    """A simulated robot needs a scene for its task."""
    task = values['task']
    if values.get('robot', 'sim') == 'sim' and task not in simulated_tasks():
        raise ArgumentError(
            f'task:={task} cannot be simulated; choose one of: {", ".join(simulated_tasks())}'
        )


def check_hardware(values: Mapping[str, Value]) -> None:
    """What is named has to be there: grippers, cameras and the network interface."""
    check_gripper(values)
    if values['embodiment']:
        try:
            load_robot(str(values['embodiment']))
        except (ValueError, OSError) as error:
            raise ArgumentError(
                f'embodiment:={values["embodiment"]} is not valid: {error}'
            ) from None
    check_cameras(values)
    interface = values['network_interface']
    interfaces = [name for _, name in socket.if_nameindex()]
    if interface and interface not in interfaces:
        raise ArgumentError(
            f'network_interface:={interface} is not valid; choose one of: {", ".join(interfaces)}'
        )
