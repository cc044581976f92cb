"""What a system is, as plain data: its arguments, its nodes, and what the nodes get of them.

Nothing here starts anything. The folder `systems/` describes one system a launch file;
`launcher.py` starts one as processes, `launch_description.py` turns it into a description for
`ros2 launch`. Both ask the same functions, so that they take the same arguments, refuse the same
values and start the same nodes.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)

Value = str | int | float | bool | tuple[str, ...]
#: Holds when every argument named has the value beside it (a tuple: among others), or one of some
#: split by |; the empty condition always holds.
Condition = tuple[tuple[str, str], ...]

_ROBOT_TOPICS = ('lowstate', 'arm_sdk')
SIM: Condition = (('robot', 'sim'),)
G1: Condition = (('robot', 'g1'),)
#: With an argument `machine`, what runs on the robot's computer and what on the policy's.
ROBOT_SIDE: Condition = (('machine', 'both|robot'),)
POLICY_SIDE: Condition = (('machine', 'both|workstation'),)


@dataclass(frozen=True)
class Argument:
    """What a person may set as `name:=value`. The kind of the default is the kind of the value.

    A tuple is written with commas, and takes some of the `choices`, each once.
    """

    name: str
    default: Value
    description: str
    choices: tuple[str, ...] = ()
    minimum: float = -math.inf
    maximum: float = math.inf
    #: With robot:=sim, the only choices; () for all.
    simulated: tuple[str, ...] = ()

    @property
    def default_text(self) -> str:
        """The default as a person would write it."""
        return text(self.default)

    @property
    def allowed(self) -> tuple[str, ...]:
        """The texts this argument takes, where they can be listed."""
        if isinstance(self.default, tuple):
            return ()
        return ('true', 'false') if isinstance(self.default, bool) else self.choices

    def offered(self, words: Iterable[str]) -> tuple[str, ...]:
        """What is `allowed` beside the other arguments, given as `name:=value`."""
        return self.simulated if self.simulated and 'robot:=g1' not in words else self.allowed


@dataclass(frozen=True)
class Given:
    """In place of a parameter's value: that of the argument `name`, passed on under a condition.

    An empty text is not passed on, nor what the system does not have as an argument: then the
    node's parameter file decides. `prefix` comes before a text.
    """

    name: str
    when: Condition = ()
    prefix: str = ''


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

    One that is `if_installed` is left out where its package is not, one `in_place_of` a package
    where that is. `nice` is how far it stands back where cores are few, so that control meets its
    deadlines.
    """

    package: str
    executable: str
    config: tuple[str, ...] = ()
    parameters: tuple[tuple[str, Value | Given | Computed], ...] = ()
    remappings: tuple[tuple[str, str], ...] = ()
    arguments: tuple[str | Config, ...] = ()
    when: Condition = ()
    required: bool = True
    if_installed: bool = False
    in_place_of: str = ''
    nice: int = 0

    @property
    def label(self) -> str:
        """Its name beside what it prints: its executable's, or that of what this is told to run."""
        first = self.arguments[0] if self.arguments else ''
        return str(first).partition(':')[0] if ':' in str(first) else self.executable


@dataclass(frozen=True)
class Include:
    """A launch file of another package, where it is installed; only `ros2 launch` can run it."""

    package: str
    file: str
    arguments: tuple[tuple[str, str | Given], ...] = ()
    remappings: tuple[tuple[str, str], ...] = ()
    when: Condition = ()


@dataclass(frozen=True)
class System:
    """Everything one launch file starts."""

    name: str
    description: str
    arguments: tuple[Argument, ...]
    nodes: tuple[Node, ...]
    includes: tuple[Include, ...] = ()
    #: What has to be there or fit together before anything starts; each raises ArgumentError.
    checks: tuple[Callable[[Mapping[str, Value]], None], ...] = ()
    #: The values, those that were left empty as the others ask for.
    completed: Callable[[Mapping[str, Value]], Mapping[str, Value]] = lambda values: values
    #: Nodes that the values of the arguments name themselves.
    chosen: Callable[[Mapping[str, Value]], tuple[Node, ...]] = lambda values: ()

    def started(self, values: Mapping[str, Value]) -> list[Node]:
        """The nodes that are started with these values of the arguments."""
        return [
            node
            for node in (*self.nodes, *self.chosen(values))
            if holds(node.when, values)
            and not (node.if_installed and not is_installed(node.package))
            and not (node.in_place_of and is_installed(node.in_place_of))
        ]

    def included(self, values: Mapping[str, Value]) -> list[Include]:
        """The launch files that are included with these values, of packages that are installed."""
        return [i for i in self.includes if holds(i.when, values) and is_installed(i.package)]


class ArgumentError(ValueError):
    """A launch argument that cannot be taken; the message names what can be."""


def holds(condition: Condition, values: Mapping[str, Value]) -> bool:
    """Whether every argument the condition names has one of the values beside it."""
    return all(
        not set(texts(values[name])).isdisjoint(allowed.split('|')) for name, allowed in condition
    )


def parameters(node: Node, values: Mapping[str, Value]) -> dict[str, Value]:
    """The ROS parameters `node` is started with, beside its parameter files."""
    resolved: dict[str, Value] = {}
    for name, source in node.parameters:
        if isinstance(source, Given):
            if _is_given(source, values):
                resolved[name] = values[source.name]
        elif isinstance(source, Computed):
            module, function = source.function.split(':')
            resolved[name] = getattr(importlib.import_module(module), function)()
        else:
            resolved[name] = source
    return resolved


def include_arguments(include: Include, values: Mapping[str, Value]) -> list[tuple[str, str]]:
    """The launch arguments `include` is started with."""
    resolved = []
    for name, source in include.arguments:
        if not isinstance(source, Given):
            resolved.append((name, source))
        elif _is_given(source, values):
            resolved.append((name, source.prefix + text(values[source.name])))
    return resolved


def _is_given(source: Given, values: Mapping[str, Value]) -> bool:
    return holds(source.when, values) and values.get(source.name, '') != ''


def namespace(values: Mapping[str, Value]) -> str:
    """Of all nodes, from / on; empty where none is asked for."""
    name = str(values.get('namespace', '')).strip('/')
    return f'/{name}' if name else ''


def remappings(node: Node, values: Mapping[str, Value]) -> list[tuple[str, str]]:
    """Of `node`, from and to; the real robot has no namespace."""
    outside = namespace(values) and values.get('robot') == 'g1'
    return [*node.remappings, *((name, f'/{name}') for name in _ROBOT_TOPICS if outside)]


def is_installed(package: str) -> bool:
    """Whether ament finds a package of this name."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def command_line(node: Node) -> list[str]:
    """The command-line arguments of `node` that are not ROS arguments."""
    share = Path(get_package_share_directory('g1_bringup'))
    return [str(share / a.name) if isinstance(a, Config) else a for a in node.arguments]


def text(value: Value) -> str:
    """A value as it is written in `name:=value`."""
    return ','.join(texts(value))


def texts(value: Value) -> tuple[str, ...]:
    """The parts of a value as they are written; of anything but a tuple, one."""
    if isinstance(value, tuple):
        return value
    return (str(value).lower() if isinstance(value, bool) else str(value),)
