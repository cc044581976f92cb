"""Grippers that go away, press too hard or get too hot."""

from __future__ import annotations

import signal
import time

from dit4dit_msgs.msg import SafetyStatus
from sensor_msgs.msg import JointState

from g1_bench.faults.expectations import expect_motion, see_hold, see_mode
from g1_bench.faults.fault import Fault, Injection, Reaction
from g1_bench.faults.system_under_test import NotSeenError, SystemUnderTest
from g1_control.gripper import TOLERANCE
from g1_control.safety import Mode
from g1_description import load_robot
from g1_ros import qos

#: A publisher that was killed is known for so long, by its lease [s].
_FORGOTTEN = 20.0


def gripper_faults() -> list[Fault]:
    """The rows."""
    return [
        Fault('gripper: unplugged', 'robot', 'fault, HOLD, GRIPPER_FAULT', 0.0, _gripper_unplugged),
        Fault('gripper: plugged in again', 'robot', 'on by itself', 1.5, _gripper_back),
        Fault(
            'gripper: overloaded',
            'robot',
            'fault, HOLD, GRIPPER_FAULT; back',
            0.3,
            _gripper_overload,
        ),
        Fault('gripper: hot motor', 'robot', 'fault, HOLD, GRIPPER_FAULT; on', 0.0, _gripper_hot),
        Fault(
            'gripper: power cut', 'robot', 'fault, HOLD, GRIPPER_FAULT; back', 0.4, _gripper_power
        ),
        Fault(
            'gripper: off its calibration by a turn',
            'robot',
            'fault, HOLD, GRIPPER_FAULT; no such opening is told; on',
            0.3,
            _displaced(4096),
        ),
        Fault(
            'gripper: off its calibration by 1000 ticks',
            'robot',
            'fault, HOLD, GRIPPER_FAULT; no such opening is told; on',
            0.3,
            _displaced(1000),
        ),
        Fault(
            'gripper: its node dies with a fault',
            'robot',
            'the fault ends with it; HOLD until it is back',
            _FORGOTTEN,
            _fault_without_node,
        ),
        Fault(
            'gripper: states of somebody else',
            'robot',
            'nothing, the motion goes on',
            0.5,
            _foreign_states,
        ),
    ]


def _displaced(ticks: int) -> Injection:
    def inject(system: SystemUnderTest, within: float) -> Reaction:
        system.joint_states_seen.clear()
        sent = system.tell('grippers', port='left', do='displace', value=ticks)
        try:
            seconds = see_hold(system, sent, SafetyStatus.GRIPPER_FAULT, within)
            text = system.status.text
            system.listen(0.5)
        finally:
            system.tell('grippers', port='left', do='displace', value=-ticks)
        stroke = load_robot().gripper_stroke
        told = [max(message.position[-2:]) for message in system.joint_states_seen]
        if max(told, default=0.0) > stroke + TOLERANCE:
            raise NotSeenError(f'/joint_states tells an opening of {max(told) * 1e3:.0f} mm')
        system.wait_for(lambda: system.mode == Mode.ACTIVE, 'ACTIVE again', 10.0)
        return f'{text}; on by itself', seconds

    return inject


def _fault_without_node(system: SystemUnderTest, within: float) -> Reaction:
    system.tell('grippers', port='left', do='temperature', value=78.0)
    system.wait_for(lambda: system.mode == Mode.HOLD, 'HOLD', 5.0)
    sent = system.processes.signal('gripper_node', signal.SIGKILL)
    try:
        seconds = system.reaction(
            sent, 'another reason', lambda s: 'gripper' in s.text and 'degC' not in s.text, within
        )
        text = system.status.text
    finally:
        system.tell('grippers', port='left', do='temperature', value=40.0)
        system.processes.start('gripper_node')
    system.wait_for(lambda: system.mode == Mode.ACTIVE, 'ACTIVE again')
    return f'{text}; on when it is back', seconds


def _foreign_states(system: SystemUnderTest, within: float) -> Reaction:
    """Names without positions, other joints, and nothing at all, on the gripper's own topic."""
    messages = (
        JointState(name=[load_robot().gripper_joints[0]]),
        JointState(name=['wheel'], position=[1.0]),
        JointState(),
    )
    publisher = system.node.create_publisher(JointState, 'left_gripper/state', qos.COMMAND)
    sent = time.time()
    try:
        for _ in range(20):
            for message in messages:
                publisher.publish(message)
            system.listen(0.03)
        expect_motion(system, sent, 0.5)
    finally:
        system.node.destroy_publisher(publisher)
    return 'ACTIVE', 0.5


def _gripper_unplugged(system: SystemUnderTest, within: float) -> Reaction:
    sent = system.tell('grippers', port='left', do='unplug')
    seconds = see_hold(system, sent, SafetyStatus.GRIPPER_FAULT, within)
    return system.status.text, seconds


def _gripper_back(system: SystemUnderTest, within: float) -> Reaction:
    system.tell('grippers', port='right', do='unplug')
    system.wait_for(lambda: system.mode == Mode.HOLD, 'HOLD', 2.0)
    system.listen(0.7)
    sent = system.tell('grippers', port='right', do='plug_in')
    seconds = see_mode(system, sent, Mode.ACTIVE, within)
    return 'ACTIVE', seconds


def _gripper_overload(system: SystemUnderTest, within: float) -> Reaction:
    sent = system.tell('grippers', port='left', do='overload')
    seconds = see_hold(system, sent, SafetyStatus.GRIPPER_FAULT, within)
    text = system.status.text
    system.wait_for(lambda: system.mode == Mode.ACTIVE, 'ACTIVE again', 10.0)
    return f'{text}; on by itself', seconds


def _gripper_hot(system: SystemUnderTest, within: float) -> Reaction:
    sent = system.tell('grippers', port='left', do='temperature', value=78.0)
    try:
        seconds = see_hold(system, sent, SafetyStatus.GRIPPER_FAULT, within)
        text = system.status.text
    finally:
        system.tell('grippers', port='left', do='temperature', value=40.0)
    system.wait_for(lambda: system.mode == Mode.ACTIVE, 'ACTIVE again', 5.0)
    return f'{text}; on when it has cooled', seconds


def _gripper_power(system: SystemUnderTest, within: float) -> Reaction:
    sent = system.tell('grippers', port='right', do='power_off')
    try:
        seconds = see_hold(system, sent, SafetyStatus.GRIPPER_FAULT, within)
        text = system.status.text
    finally:
        system.tell('grippers', port='right', do='power_on')
    system.wait_for(lambda: system.mode == Mode.ACTIVE, 'ACTIVE again', 10.0)
    return f'{text}; on by itself', seconds
