"""Grippers that go away, press too hard or get too hot."""

from __future__ import annotations

from dit4dit_msgs.msg import SafetyStatus

from g1_bench.faults.expectations import see_hold, see_mode
from g1_bench.faults.fault import Fault, Reaction
from g1_bench.faults.system_under_test import SystemUnderTest
from g1_control.safety import Mode


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
    ]


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
