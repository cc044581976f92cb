"""What the operator holds: nodes that publish their hands and buttons."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from g1_bringup.system import Argument, ArgumentError, Given, Node, Value
from g1_bringup.systems.other_nodes import HOW, is_node, other_node

_CONFIG = ('teleop.yaml',)
_DEVICES = {
    'xrobotoolkit': Node('g1_teleop', 'xrobotoolkit_node', config=_CONFIG),
    'replay': Node('g1_teleop', 'replay_node', parameters=(('replay_file', Given('replay_file')),)),
    'scripted': Node(
        'g1_sim',
        'scripted_operator',
        config=_CONFIG,
        parameters=(('task', Given('task')), ('takeover', Given('takeover'))),
    ),
}

DEVICE_ARGUMENTS = (
    Argument(
        'device',
        'xrobotoolkit',
        'What the operator holds: xrobotoolkit; replay plays replay_file; scripted demonstrates '
        'the task in the simulator by itself, or takes over from a policy that stalls; '
        'PACKAGE/EXECUTABLE or MODULE:FUNCTION starts that '
        'node; none starts nothing.',
    ),
    Argument('replay_file', '', 'Raw log of an episode (MCAP) whose hands device:=replay has.'),
)


def device_nodes(values: Mapping[str, Value]) -> tuple[Node, ...]:
    """The node of the device asked for, once `check_device` has passed."""
    device = str(values['device'])
    if device == 'none':
        return ()
    if device in _DEVICES:
        return (_DEVICES[device],)
    return (other_node(device, _CONFIG),)


def check_device(values: Mapping[str, Value]) -> None:
    """A device has to be known or installed, and have what it needs.

    The scripted operator knows simulated scenes only; a replay needs its file.
    """
    device, file = str(values['device']), str(values['replay_file'])
    if device not in (*_DEVICES, 'none') and not is_node(device):
        raise ArgumentError(
            f'device:={device} is not valid; expected {", ".join(_DEVICES)}, none, {HOW}'
        )
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
