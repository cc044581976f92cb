"""What drives the grippers of the real robot; a simulated one has its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from g1_bringup.system import G1, ROBOT_SIDE, Argument, ArgumentError, Node, Value
from g1_bringup.systems.other_nodes import HOW, is_node, other_node

_DRIVERS = {
    'aloha': Node('g1_control', 'gripper_node', config=('grippers.yaml',)),
    'none': Node('g1_control', 'no_grippers'),
}

GRIPPER = Argument(
    'gripper',
    'aloha',
    'Grippers of the real robot: aloha, or none, whose states are made up so that the arms can be '
    'tried alone; PACKAGE/EXECUTABLE or MODULE:FUNCTION starts that node.',
)


def gripper_nodes(values: Mapping[str, Value]) -> tuple[Node, ...]:
    """The driver asked for, once `check_gripper` has passed, on the robot's computer."""
    name = str(values['gripper'])
    driver = _DRIVERS[name] if name in _DRIVERS else other_node(name)
    return (replace(driver, when=(*G1, *(ROBOT_SIDE if 'machine' in values else ()))),)


def check_gripper(values: Mapping[str, Value]) -> None:
    """A driver has to be known or installed."""
    name = str(values['gripper'])
    if name not in _DRIVERS and not is_node(name):
        raise ArgumentError(f'gripper:={name} is not valid; expected {", ".join(_DRIVERS)}, {HOW}')
