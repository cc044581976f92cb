"""A system as a launch description; the launch files of the suite are calls of `render`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from launch import (  # type: ignore[attr-defined]
    LaunchContext,
    LaunchDescription,
    LaunchDescriptionEntity,
)
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.launch_description_sources import AnyLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import Node as NodeAction
from launch_ros.actions import PushRosNamespace, SetRemap
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from g1_bringup.arguments import check
from g1_bringup.launcher import INTERRUPT_SECONDS, TERMINATE_SECONDS, missing_packages
from g1_bringup.running import second_system
from g1_bringup.system import (
    Argument,
    Include,
    Node,
    System,
    Value,
    command_line,
    include_arguments,
    namespace,
    parameters,
    remappings,
)
from g1_bringup.systems import systems
from g1_ros.config import config_path
from g1_ros.middleware import environment
from g1_ros.parent import LAUNCHER


def render(launch_file: str) -> LaunchDescription:
    """The launch description of the system whose launch file calls this with its own `__file__`."""
    system = systems()[Path(launch_file).name.removesuffix('.launch.py')]
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(
                    argument.name,
                    default_value=argument.default_text,
                    description=argument.description,
                    choices=list(_choices(argument)) or None,
                )
                for argument in system.arguments
            ),
            OpaqueFunction(function=_start, args=[system]),
        ]
    )


def _choices(argument: Argument) -> tuple[str, ...]:
    """What can be chosen; where it is only to be shown, what can be with the other words."""
    shows = not {'-s', '--show-args', '--show-arguments'}.isdisjoint(sys.argv)
    return argument.offered(sys.argv) if shows else argument.allowed


def _start(context: LaunchContext, system: System) -> list[LaunchDescriptionEntity]:
    """Checks the arguments and returns everything that is to be started."""
    values = check(system, _given(context, system))
    if missing := missing_packages(system, values):
        raise RuntimeError(missing)
    if other := second_system(system, values):
        raise RuntimeError(other)
    variables = {**environment(values), LAUNCHER: str(os.getpid())}.items()
    started: list[LaunchDescriptionEntity] = [
        *(_include(include, values) for include in system.included(values)),
        *(_node(node, values) for node in system.started(values)),
    ]
    if place := namespace(values):
        started = [GroupAction([PushRosNamespace(place), *started])]
    return [*(SetEnvironmentVariable(name, value) for name, value in variables), *started]


def _given(context: LaunchContext, system: System) -> dict[str, str]:
    """The declared arguments, and all others when `ros2 launch` was asked for this very file.

    `ros2 launch` lets unknown arguments pass. A launch file that includes this one has arguments
    of its own, which are none of our business.
    """
    given = {a.name: context.launch_configurations[a.name] for a in system.arguments}
    if any(Path(word).name == f'{system.name}.launch.py' for word in sys.argv):
        given |= dict(word.split(':=', 1) for word in context.argv)
    return given


def _include(include: Include, values: Mapping[str, Value]) -> GroupAction:
    """Remappings and arguments of one launch file are none of the next one's business."""
    path = PathJoinSubstitution([FindPackageShare(include.package), 'launch', include.file])
    return GroupAction(
        [
            *(SetRemap(source, target) for source, target in include.remappings),
            IncludeLaunchDescription(
                AnyLaunchDescriptionSource(path),
                launch_arguments=include_arguments(include, values),
            ),
        ]
    )


def _node(node: Node, values: Mapping[str, Value]) -> NodeAction:
    given = {
        name: ParameterValue(
            list(value) if isinstance(value, tuple) else value,
            value_type=list[str] if isinstance(value, tuple) else type(value),
        )
        for name, value in parameters(node, values).items()
    }
    return NodeAction(
        package=node.package,
        executable=node.executable,
        parameters=[*(str(config_path(name)) for name in node.config), given],
        remappings=remappings(node, values),
        arguments=command_line(node),
        ros_arguments=['--log-level', str(values['log_level'])],
        prefix=f'nice -n {node.nice}' if node.nice else None,
        exec_name=node.label,
        output='screen',
        sigterm_timeout=str(INTERRUPT_SECONDS),
        sigkill_timeout=str(TERMINATE_SECONDS),
        on_exit=[Shutdown(reason=f'{node.label} has ended')] if node.required else None,
    )
