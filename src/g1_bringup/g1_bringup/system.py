"""What each system is, as plain data: its arguments, its nodes, and what the nodes get of them.

Nothing here starts anything. `launcher.py` starts a system as processes, `rendering.py` turns it
into a launch description for `ros2 launch`; both ask the functions at the end of this file, so that
they take the same arguments, refuse the same values and start the same nodes.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import pkgutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeVar

from ament_index_python.packages import get_package_share_directory

from g1_ros.config import load_tasks

Value = str | int | float | bool
#: Holds when every argument named has the value beside it, or one of several split by |; the empty
#: condition always holds.
Condition = tuple[tuple[str, str], ...]

SIM: Condition = (('robot', 'sim'),)
G1: Condition = (('robot', 'g1'),)
#: With an argument `machine`, what runs on the robot's computer and what on the policy's.
ROBOT_SIDE: Condition = (('machine', 'both|robot'),)
POLICY_SIDE: Condition = (('machine', 'both|workstation'),)


@dataclass(frozen=True)
class Argument:
    """What a person may set as `name:=value`. The kind of the default is the kind of the value."""

    name: str
    default: Value
    description: str
    choices: tuple[str, ...] = ()
    minimum: float = -math.inf
    maximum: float = math.inf

    @property
    def default_text(self) -> str:
        return _text(self.default)

    @property
    def allowed(self) -> tuple[str, ...]:
        """The texts this argument takes, where they can be listed."""
        return ('true', 'false') if isinstance(self.default, bool) else self.choices


@dataclass(frozen=True)
class Given:
    """In place of a parameter's value: that of the argument `name`, passed on under a condition.

    An empty text is not passed on, nor what the system does not have as an argument: then the
    node's parameter file decides.
    """

    name: str
    when: Condition = ()


@dataclass(frozen=True)
class Computed:
    """In place of a parameter's value: what the function `module:name` returns at the start."""

    function: str


@dataclass(frozen=True)
class Config:
    """In place of a command-line argument: the path of a file below g1_bringup's share folder."""

    name: str


@dataclass(frozen=True)
class Node:
    """A process. When one that is `required` ends, the whole system is stopped.

    `nice` is how far it stands back where cores are few, so that control meets its deadlines.
    """

    package: str
    executable: str
    config: tuple[str, ...] = ()
    parameters: tuple[tuple[str, Value | Given | Computed], ...] = ()
    remappings: tuple[tuple[str, str], ...] = ()
    arguments: tuple[str | Config, ...] = ()
    when: Condition = ()
    required: bool = True
    nice: int = 0


@dataclass(frozen=True)
class Include:
    """A launch file of another package, which only `ros2 launch` can run."""

    package: str
    file: str
    arguments: tuple[tuple[str, str], ...] = ()
    when: Condition = ()


Item = TypeVar('Item', bound='Node | Include')


@dataclass(frozen=True)
class System:
    """Everything one launch file starts."""

    name: str
    description: str
    arguments: tuple[Argument, ...]
    nodes: tuple[Node, ...]
    includes: tuple[Include, ...] = ()


class ArgumentError(ValueError):
    """A launch argument that cannot be taken; the message names what can be."""


@cache
def systems() -> dict[str, System]:
    """The systems by name; `policy` is what `policy.launch.py` starts."""
    tasks = tuple(load_tasks())
    robot = Argument('robot', 'sim', 'Robot to run on; g1 is the real one.', ('sim', 'g1'))
    task = Argument('task', 'arrange_flower', 'Task to run; with robot:=sim also the scene.', tasks)
    seed = Argument('seed', 0, 'Seed of the simulated scene.', minimum=0, maximum=2**31 - 1)
    log = Argument('sim_log', '', 'File for the motion of the simulation, to render it later.')
    rviz = Argument('rviz', False, 'Show robot, camera, planned motion and safety state in rviz2.')

    machine = Argument(
        'machine',
        'both',
        "Which part to start here: robot and control on the robot's computer, the policy on the "
        'workstation, or both on this one.',
        ('both', 'robot', 'workstation'),
    )
    camera = Argument(
        'camera',
        'realsense',
        'Head camera of the real robot; replay plays camera_file. A simulated robot has its own.',
        ('realsense', 'replay', 'none'),
    )
    camera_file = Argument(
        'camera_file', '', 'Video file, or folder of images, that camera:=replay plays.'
    )
    interface = Argument(
        'network_interface', '', 'Network interface towards the robot, as eth0; empty: all.'
    )
    hardware = (camera, camera_file, interface)

    sim_node = Node(
        'g1_sim',
        'sim_node',
        config=('sim.yaml',),
        parameters=(('task', Given('task')), ('seed', Given('seed')), ('log', Given('sim_log'))),
    )
    control_node = Node('g1_control', 'control_node', config=('control.yaml', 'safety.yaml'))
    robot_side = (
        replace(sim_node, when=SIM),
        # It shares the computer with physics, camera and policy, and no robot is waiting.
        replace(control_node, parameters=(('missed_deadlines', 125),), when=SIM),
        replace(control_node, when=G1),
        Node('g1_control', 'gripper_node', config=('grippers.yaml',), when=G1),
        Node(
            'g1_fakes',
            'camera_replay',
            parameters=(('path', Given('camera_file')),),
            when=(*G1, ('camera', 'replay')),
        ),
    )
    realsense = Include(
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
    policy_node = Node(
        'dit4dit_policy',
        'policy_node',
        config=('policy.yaml',),
        parameters=(
            ('task', Given('task', when=(('run', 'true'),))),
            ('checkpoint', Given('checkpoint')),
        ),
        nice=5,
    )
    described = (
        System(
            'policy',
            'The policy runs a task on the robot.',
            (
                task,
                robot,
                machine,
                seed,
                Argument('checkpoint', '', 'Folder of the policy; empty: the one in policy.yaml.'),
                Argument('run', True, 'Run the task at once; false: wait for a RunTask goal.'),
                Argument(
                    'shadow',
                    False,
                    'The policy only watches: nobody executes its chunks, they are compared with '
                    'what the robot does.',
                ),
                *hardware,
                rviz,
                log,
            ),
            (
                *_only(ROBOT_SIDE, robot_side),
                *_only(
                    POLICY_SIDE,
                    (
                        replace(policy_node, when=(('shadow', 'false'),)),
                        replace(
                            policy_node,
                            # Nobody executes its chunks: there is nothing to continue.
                            parameters=(*policy_node.parameters, ('real_time_chunking', False)),
                            remappings=(('policy/action_chunk', 'shadow/action_chunk'),),
                            when=(('shadow', 'true'),),
                        ),
                        Node('g1_console', 'shadow_node', when=(('shadow', 'true'),)),
                    ),
                ),
                *_rviz_nodes(when=(('rviz', 'true'),)),
            ),
            _only(ROBOT_SIDE, (realsense,)),
        ),
        System(
            'teleop_record',
            'An operator moves the robot, and what happens is recorded as a dataset.',
            (
                task,
                robot,
                seed,
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
                *hardware,
                rviz,
            ),
            (
                *robot_side,
                Node(
                    'g1_teleop',
                    'teleop_node',
                    config=('teleop.yaml',),
                    parameters=(
                        ('device', Given('device')),
                        ('replay_file', Given('replay_file')),
                        ('task', Given('task')),
                    ),
                ),
                Node(
                    'g1_recorder',
                    'recorder_node',
                    config=('teleop.yaml',),
                    parameters=(
                        ('task', Given('task')),
                        ('dataset', Given('dataset')),
                        ('episodes_goal', Given('episodes')),
                    ),
                ),
                *_rviz_nodes(when=(('rviz', 'true'),)),
            ),
            (realsense,),
        ),
        System('sim', 'The simulated robot alone.', (task, seed, log), (sim_node,)),
        System(
            'robot',
            'The robot, real or simulated, and its control; without a policy.',
            (robot, task, seed, *hardware, rviz),
            (*robot_side, *_rviz_nodes(when=(('rviz', 'true'),))),
            (realsense,),
        ),
        System('rviz', 'A view of a system that is already running.', (), _rviz_nodes()),
    )
    return {system.name: system for system in described}


def _only(condition: Condition, items: tuple[Item, ...]) -> tuple[Item, ...]:
    """The same nodes or includes, under one condition more."""
    return tuple(replace(item, when=(*condition, *item.when)) for item in items)


def _rviz_nodes(when: Condition = ()) -> tuple[Node, ...]:
    """A person may close the window: none of these stops the system."""
    return (
        Node(
            'robot_state_publisher',
            'robot_state_publisher',
            parameters=(('robot_description', Computed('g1_description.urdf:urdf')),),
            when=when,
            required=False,
        ),
        Node('g1_console', 'plan_markers', when=when, required=False),
        Node(
            'rviz2',
            'rviz2',
            arguments=('-d', Config('rviz/g1.rviz')),
            when=when,
            required=False,
        ),
    )


@cache
def simulated_tasks() -> tuple[str, ...]:
    """Tasks that have a file in `g1_sim/tasks/`, found without importing the simulator."""
    spec = importlib.util.find_spec('g1_sim')
    locations = (spec and spec.submodule_search_locations) or ()
    folders = [str(Path(location, 'tasks')) for location in locations]
    files = {module.name for module in pkgutil.iter_modules(folders)}
    return tuple(name for name in load_tasks() if name in files)


def find(file: str) -> System:
    """The system that the launch file of this name starts."""
    files = {f'{name}.launch.py': system for name, system in systems().items()}
    if file not in files:
        raise ArgumentError(f'no launch file {file!r}; choose one of: {", ".join(files)}')
    return files[file]


def check(system: System, given: Mapping[str, str]) -> dict[str, Value]:
    """The value of every argument of `system`, from the texts given for some of them.

    Raises ArgumentError when an argument is unknown or its text is not allowed.
    """
    names = [argument.name for argument in system.arguments]
    for name in given:
        if name not in names:
            takes = f'the arguments are: {", ".join(names)}' if names else 'it takes no arguments'
            raise ArgumentError(f'{system.name}.launch.py has no argument {name!r}; {takes}')
    simulated = given.get('robot', 'sim') == 'sim'
    values = {}
    for argument in system.arguments:
        text = given.get(argument.name, argument.default_text)
        if argument.name == 'task' and simulated and text not in simulated_tasks():
            raise ArgumentError(
                f'task:={text} cannot be simulated; choose one of: {", ".join(simulated_tasks())}'
            )
        values[argument.name] = _value(argument, text)
    _check_hardware(values)
    _check_device(values)
    return values


def _check_hardware(values: Mapping[str, Value]) -> None:
    """What has to be on this computer, and fit together, before anything starts."""
    camera, file = values.get('camera', ''), str(values.get('camera_file', ''))
    if camera == 'replay' and values['robot'] == 'sim':
        raise ArgumentError('camera:=replay needs robot:=g1; a simulated robot has its own camera')
    if camera == 'replay' and not (file and Path(file).exists()):
        raise ArgumentError(
            f'camera_file:={file} is not there; camera:=replay needs a video file or a folder of '
            'images'
        )
    interface = values.get('network_interface', '')
    interfaces = [name for _, name in socket.if_nameindex()]
    if interface and interface not in interfaces:
        raise ArgumentError(
            f'network_interface:={interface} is not valid; choose one of: {", ".join(interfaces)}'
        )


def _check_device(values: Mapping[str, Value]) -> None:
    device, file = values.get('device', ''), str(values.get('replay_file', ''))
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


def holds(condition: Condition, values: Mapping[str, Value]) -> bool:
    return all(_text(values[name]) in texts.split('|') for name, texts in condition)


def parameters(node: Node, values: Mapping[str, Value]) -> dict[str, Value]:
    """The ROS parameters `node` is started with, beside its parameter files."""
    resolved: dict[str, Value] = {}
    for name, source in node.parameters:
        if isinstance(source, Given):
            if holds(source.when, values) and values.get(source.name, '') != '':
                resolved[name] = values[source.name]
        elif isinstance(source, Computed):
            module, function = source.function.split(':')
            resolved[name] = getattr(importlib.import_module(module), function)()
        else:
            resolved[name] = source
    return resolved


def command_line(node: Node) -> list[str]:
    """The command-line arguments of `node` that are not ROS arguments."""
    share = Path(get_package_share_directory('g1_bringup'))
    return [str(share / a.name) if isinstance(a, Config) else a for a in node.arguments]


def _value(argument: Argument, text: str) -> Value:
    """`text` as a value of `argument`, or an ArgumentError that says what is allowed."""
    if argument.allowed and text not in argument.allowed:
        raise ArgumentError(
            f'{argument.name}:={text} is not valid; choose one of: {", ".join(argument.allowed)}'
        )
    if isinstance(argument.default, bool):
        return text == 'true'
    if isinstance(argument.default, str):
        return text
    kind = type(argument.default)
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not argument.minimum <= value <= argument.maximum:
        wanted = 'a whole number' if kind is int else 'a number'
        raise ArgumentError(
            f'{argument.name}:={text} is not valid; expected {wanted} '
            f'from {argument.minimum} to {argument.maximum}'
        )
    return value


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
