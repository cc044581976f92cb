"""`policy.launch.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from dit4dit_policy.inference.shipped import cameras_of, check
from dit4dit_policy.nodes.policy_parameters import PolicyParameters, robot_of
from g1_bringup.system import (
    POLICY_SIDE,
    ROBOT_SIDE,
    Argument,
    ArgumentError,
    Condition,
    Given,
    Include,
    Node,
    System,
    Value,
    holds,
    texts,
)
from g1_bringup.systems.cameras import CAMERAS, REALSENSE
from g1_bringup.systems.devices import DEVICE_ARGUMENTS, check_device, device_nodes
from g1_bringup.systems.grippers import gripper_nodes
from g1_bringup.systems.operator import RECORDER_ARGUMENTS, RECORDER_NODE, TELEOP_NODE
from g1_bringup.systems.robot_side import (
    HARDWARE,
    ROBOT,
    ROBOT_NODES,
    SEED,
    SIM_LOG,
    check_hardware,
    check_task,
    task_argument,
)
from g1_bringup.systems.rviz import RVIZ, RVIZ_ON, rviz_nodes
from g1_description.plugins import plugin_names
from g1_ros.config import config_path
from g1_ros.parameters import load

_POLICY_NODE = Node(
    'dit4dit_policy',
    'policy_node',
    config=('policy.yaml',),
    parameters=(
        ('task', Given('task')),
        ('run', Given('run')),
        ('policy', Given('policy')),
        ('checkpoint', Given('checkpoint')),
        ('server', Given('server')),
        ('cameras', Given('cameras')),
        ('embodiment', Given('embodiment')),
    ),
    nice=5,
)
#: The recorder stays near the cameras.
_TAKEOVER: Condition = (*ROBOT_SIDE, ('takeover', 'true'))
_POLICY_NODES = (
    replace(_POLICY_NODE, when=(('shadow', 'false'),)),
    replace(
        _POLICY_NODE,
        # Nobody executes its chunks: there is nothing to continue.
        parameters=(*_POLICY_NODE.parameters, ('real_time_chunking', False)),
        remappings=(('policy/action_chunk', 'shadow/action_chunk'),),
        when=(('shadow', 'true'),),
    ),
    Node('g1_console', 'shadow_node', when=(('shadow', 'true'),)),
)


def describe() -> System:
    """The policy and the robot, on one machine or on two."""
    return System(
        'policy',
        'The policy runs a task on the robot.',
        arguments=(
            task_argument(),
            ROBOT,
            Argument(
                'machine',
                'both',
                "Which part to start here: robot and control on the robot's computer, the policy "
                'on the workstation, or both on this one.',
                ('both', 'robot', 'workstation'),
            ),
            SEED,
            Argument(
                'policy',
                '',
                'What makes the chunks: dit4dit, remote, or module:attribute; empty: as in '
                'policy.yaml.',
            ),
            Argument(
                'checkpoint',
                '',
                'Folder of the policy, or the name of a shipped one; empty: as in policy.yaml.',
            ),
            Argument(
                'server', '', 'Address of the policy server of policy:=remote, ws://HOST:PORT.'
            ),
            Argument('run', True, 'Run the task at once; false: wait for a RunTask goal.'),
            Argument(
                'shadow',
                False,
                'The policy only watches: nobody executes its chunks, they are compared with what '
                'the robot does.',
            ),
            Argument(
                'takeover',
                False,
                'An operator can take the arms from the policy, by pressing a grip, and give them '
                'back by letting go; whole attempts are recorded where asked for.',
            ),
            *DEVICE_ARGUMENTS,
            *RECORDER_ARGUMENTS,
            replace(
                CAMERAS,
                default=(),
                description=f'{CAMERAS.description} Empty: those that the checkpoint looks at, of '
                'another policy the head camera.',
            ),
            *HARDWARE,
            RVIZ,
            SIM_LOG,
        ),
        nodes=(
            *_only(ROBOT_SIDE, ROBOT_NODES),
            *_only(_TAKEOVER, (TELEOP_NODE, RECORDER_NODE)),
            *_only(POLICY_SIDE, _POLICY_NODES),
            *rviz_nodes(RVIZ_ON),
        ),
        chosen=lambda values: (*gripper_nodes(values), *_operator(values)),
        includes=_only(ROBOT_SIDE, REALSENSE),
        completed=_with_cameras,
        checks=(check_task, check_hardware, _check_server, _check_takeover, _check_checkpoint),
    )


def _check_server(values: Mapping[str, Value]) -> None:
    """Where a policy server is asked, it has an address."""
    policy, server = values['policy'], str(values['server'])
    if policy == 'remote' and not server.startswith(('ws://', 'wss://')):
        raise ArgumentError(
            f'server:={server} is not valid; policy:=remote needs the address of a policy server, '
            'server:=ws://HOST:PORT'
        )
    if server and policy in ('', 'dit4dit'):
        raise ArgumentError(f'server:={server} needs policy:=remote, got policy:={policy}')


def _operator(values: Mapping[str, Value]) -> tuple[Node, ...]:
    """What the operator holds who can take over."""
    return device_nodes(values) if holds(_TAKEOVER, values) else ()


def _check_takeover(values: Mapping[str, Value]) -> None:
    """Who can take over has a device, and a policy that moves the arms."""
    if values['takeover'] and values['shadow']:
        raise ArgumentError(
            'takeover:=true needs shadow:=false: a policy that only watches has no arms to take'
        )
    if holds(_TAKEOVER, values):
        check_device(values)


def _parameters(values: Mapping[str, Value]) -> PolicyParameters:
    """Of policy_node, with these values."""
    given: dict[str, Any] = {
        name: values[name] for name in ('task', 'policy', 'checkpoint', 'server') if values[name]
    }
    read = load(PolicyParameters, config_path('policy.yaml'))
    return replace(read, **given, cameras=list(texts(values['cameras'])))


def _with_cameras(values: Mapping[str, Value]) -> Mapping[str, Value]:
    """Where no cameras are named, those that the checkpoint looks at, or the head's.

    ArgumentError where a checkpoint is named that is not on the robot's computer.
    """
    if values['cameras']:
        return values
    parameters = _parameters(values)
    looks_at = cameras_of(parameters.source) if parameters.policy == 'dit4dit' else ()
    if values['checkpoint'] and not looks_at and not holds(POLICY_SIDE, values):
        raise ArgumentError(
            f'cameras: expected those that checkpoint:={parameters.checkpoint} looks at, which is '
            'not on this computer, as cameras:=head,left_wrist'
        )
    there = bool(looks_at) and {*looks_at} <= {*CAMERAS.choices}
    return {**values, 'cameras': looks_at if there else ('head',)}


def _check_checkpoint(values: Mapping[str, Value]) -> None:
    """The policy is one that there is, and its checkpoint one for this robot and these cameras."""
    if not holds(POLICY_SIDE, values):
        return
    parameters = _parameters(values)
    names = plugin_names('dit4dit.policies')
    if parameters.policy not in names and ':' not in parameters.policy:
        raise ArgumentError(
            f'policy:={parameters.policy} is not valid; expected {", ".join(names)}, or '
            'module:attribute'
        )
    if parameters.policy != 'dit4dit':
        return
    try:
        check(parameters.source, robot_of(parameters))
    except ValueError as error:
        raise ArgumentError(
            f'checkpoint:={parameters.checkpoint} cannot be used: {error}'
        ) from None


Item = TypeVar('Item', bound='Node | Include')


def _only(condition: Condition, items: tuple[Item, ...]) -> tuple[Item, ...]:
    """The same nodes or includes, under one condition more."""
    return tuple(replace(item, when=(*condition, *item.when)) for item in items)
