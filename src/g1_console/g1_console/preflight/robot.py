"""Checks of the robot: is it heard, and is it well?"""

from __future__ import annotations

import ipaddress

import numpy as np

from g1_console.preflight.finding import Finding, Level, grade
from g1_console.snapshot import LOWSTATE, Snapshot
from g1_control.unitree import ARM_MOTORS, SUPPORTED_MODE_MACHINES
from g1_description import load_robot

ROBOT_NETWORK = ipaddress.ip_network('192.168.123.0/24')  # as the G1 comes
_SIMULATOR = 'sim_node'
_LOWSTATE_RATE = 400.0  # [Hz]; the robot sends 500
_WARM = 10.0  # [degC] below the limit


def network(s: Snapshot) -> Finding | None:
    """This computer is on the network of the robot."""
    if s.robot == 'sim':
        return None
    there = [
        f'{name} {address}'
        for name, address in s.computer.addresses.items()
        if ipaddress.ip_address(address) in ROBOT_NETWORK
    ]
    return grade(
        'robot network',
        ', '.join(there) or f'no interface in {ROBOT_NETWORK}',
        "plug in the robot's cable, then: sudo ip address add 192.168.123.222/24 dev INTERFACE, "
        'and launch with network_interface:=INTERFACE',
        fail=not there and s.machine != 'workstation',
        warn=not there,
    )


def lowstate(s: Snapshot) -> Finding | None:
    """The robot is heard, often enough."""
    topic = s.topic(LOWSTATE)
    if topic.heard:
        return grade(
            '/lowstate',
            f'{topic.rate:.0f} Hz, the newest {topic.age * 1e3:.0f} ms old',
            'the robot sends 500 Hz: is the cable good, or this computer too busy?',
            fail=topic.rate < _LOWSTATE_RATE / 4 or topic.age > s.limits.lowstate_lost,
            warn=topic.rate < _LOWSTATE_RATE,
        )
    if topic.publishers:
        found = f'nothing comes from {", ".join(topic.publishers)}'
        remedy = 'its type or middleware differs: is unitree_hg of the same version on both sides?'
    else:
        found = 'nobody publishes it'
        remedy = (
            'switch the robot on and check network and ROS_DOMAIN_ID (the robot has 0); '
            'or start the simulation: g1 launch sim.launch.py'
        )
    return Finding('/lowstate', Level.FAIL, found, remedy)


def one_robot(s: Snapshot) -> Finding | None:
    """No simulated robot plays beside another one."""
    there = s.topic(LOWSTATE).publishers
    if len(there) < 2:
        return None
    return Finding(
        'who publishes /lowstate',
        Level.FAIL if _SIMULATOR in there else Level.WARN,
        ', '.join(there),
        'a robot is there once: end all systems in this ROS_DOMAIN_ID but one. Control refuses to '
        'arm beside a second one that is simulated',
    )


def lowstate_content(s: Snapshot) -> Finding | None:
    """What is heard is what the robot meant."""
    if s.wire is None:
        return None
    return grade(
        'CRC of /lowstate',
        'wrong' if s.wire.corrupt else 'right',
        'another message type or a bad cable; control takes no such state',
        fail=s.wire.corrupt,
    )


def mode_machine(s: Snapshot) -> Finding | None:
    """The robot has the joints that this suite moves."""
    if s.wire is None or s.wire.corrupt:
        return None
    known = sorted(SUPPORTED_MODE_MACHINES)
    return grade(
        'mode_machine',
        str(s.wire.mode_machine),
        f'this suite moves a 29-DoF G1 only, whose mode_machine is one of {known}',
        fail=s.wire.mode_machine not in known,
    )


def motor_temperature(s: Snapshot) -> Finding | None:
    """The arms are not too warm to be moved."""
    if s.wire is None or s.wire.corrupt:
        return None
    arms = s.wire.temperature[ARM_MOTORS]
    hottest, limit = float(arms.max()), s.limits.motor_temperature
    return grade(
        'motor temperature',
        f'{hottest:.0f} degC, {load_robot().arm_joints[int(arms.argmax())]}',
        f'let the arms hang and cool; at {limit:g} degC control lets go of them',
        fail=hottest > limit,
        warn=hottest > limit - _WARM,
    )


def motor_errors(s: Snapshot) -> Finding | None:
    """No motor says that something is wrong with it."""
    if s.wire is None or s.wire.corrupt:
        return None
    joints = load_robot().joints
    bad = [f'{joints[k].name} {s.wire.errors[k]:#x}' for k in np.flatnonzero(s.wire.errors)]
    return grade(
        'motor errors',
        ', '.join(bad) or 'none',
        "look the bits up in the robot's app; switch the robot off and on",
        fail=bool(s.wire.errors[ARM_MOTORS].any()),
        warn=bool(bad),
    )
