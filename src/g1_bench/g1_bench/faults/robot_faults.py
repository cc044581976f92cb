"""What the robot measures and says, who else commands it, and the operator's stop."""

from __future__ import annotations

import signal
import time

from dit4dit_msgs.msg import SafetyStatus

from g1_bench.faults.expectations import (
    disarm,
    expect_mode,
    see_disarmed,
    see_estop,
    see_hold,
    see_refused,
)
from g1_bench.faults.fault import MARGIN, Fault, Injection, Reaction
from g1_bench.faults.system_under_test import NotSeenError, SystemUnderTest
from g1_control.safety import Mode, SafetyParameters

_LEFT_ELBOW_MOTOR = 18

#: On /arm_sdk: control_node and its watchdog.
OWN_PUBLISHERS = 2


def robot_faults(safety: SafetyParameters) -> list[Fault]:
    """The rows, timed as the limits in config/safety.yaml say."""
    stale, lost = safety.lowstate_stale, safety.lowstate_lost
    blip = stale + 0.1  # [s]: stale, not yet lost

    def row(name: str, expected: str, within: float, inject: Injection) -> Fault:
        return Fault(name, 'robot', expected, within, inject)

    def holds(reason: int, **fault: object) -> Injection:
        return _holds_and_goes_on(reason, fault)

    def gives_up(reason: int, **fault: object) -> Injection:
        return _holds_then_disarms(reason, fault)

    on = 'goes on by itself'
    elbow = str(_LEFT_ELBOW_MOTOR)
    return [
        row(
            '/lowstate: silent for a moment',
            f'HOLD, LOWSTATE_STALE; {on}',
            stale,
            holds(SafetyStatus.LOWSTATE_STALE, silent=True, **{'for': blip}),
        ),
        row(
            '/lowstate: wrong CRC',
            f'HOLD, LOWSTATE_STALE; {on}',
            stale,
            holds(SafetyStatus.LOWSTATE_STALE, corrupt=True, **{'for': blip}),
        ),
        row(
            '/lowstate: NaN measured',
            f'HOLD, LOWSTATE_STALE; {on}',
            stale,
            holds(SafetyStatus.LOWSTATE_STALE, not_a_number=[_LEFT_ELBOW_MOTOR], **{'for': blip}),
        ),
        row(
            '/lowstate: frozen',
            f'HOLD, LOWSTATE_STALE; {on}',
            stale,
            holds(SafetyStatus.LOWSTATE_STALE, frozen=True, **{'for': blip}),
        ),
        row('/lowstate: lost', 'DISARMING, LOWSTATE_LOST', lost, _lowstate_lost),
        row('/lowstate: out of order', 'nothing, the motion goes on', 0.5, _reordered),
        row(
            'motor: far from its command',
            'HOLD, TRACKING_ERROR; then DISARMING',
            0.0,
            gives_up(SafetyStatus.TRACKING_ERROR, jump={elbow: safety.tracking_error + 0.3}),
        ),
        row(
            'motor: hot',
            'HOLD, MOTOR_TEMPERATURE; then DISARMING',
            0.0,
            gives_up(
                SafetyStatus.MOTOR_TEMPERATURE, temperature={elbow: safety.motor_temperature + 10}
            ),
        ),
        row(
            'motor: error bits',
            'HOLD, MOTOR_ERROR; then DISARMING',
            0.0,
            gives_up(SafetyStatus.MOTOR_ERROR, motor_error={elbow: 512}),
        ),
        row('mode_machine: not supported', 'DISARMING, MODE_MACHINE', 0.0, _mode_machine),
        row('mode_machine: when arming', 'refused', 0.0, _mode_machine_refused),
        row('second publisher', 'DISARMING, SECOND_PUBLISHER', 1.5, _second_publisher),
        row('second publisher: when arming', 'refused', 0.0, _second_publisher_refused),
        row('e-stop: service', f'ESTOP; weight 0 in {safety.estop_ramp:g} s', 0.0, _estop_service),
        row('e-stop: remote', f'ESTOP; weight 0 in {safety.estop_ramp:g} s', 0.0, _estop_remote),
        row(
            'second publisher: the clock set back by 20 s',
            'DISARMING, SECOND_PUBLISHER',
            1.5,
            _second_publisher_in_the_past,
        ),
        row('two systems in one domain', 'DISARMING, SECOND_PUBLISHER', 1.5, _second_system),
        row('arm: /lowstate is silent', 'refused', 0.0, _arm_refused('sdk_robot', silent=True)),
        row(
            'arm: a gripper is unplugged',
            'refused, names what is missing',
            0.0,
            _arm_refused('grippers', port='right', do='unplug'),
        ),
        row(
            'arm: a motor is hot',
            'refused, names the joint',
            0.0,
            _arm_refused('sdk_robot', temperature={elbow: safety.motor_temperature + 10}),
        ),
        row('e-stop: while arming', 'ESTOP; weight 0 in time', 0.0, _estop_while_arming),
        row('e-stop: while disarming', 'ESTOP; weight 0 in time', 0.0, _estop_while_disarming),
        row('e-stop: arm before reset', 'refused, stays latched', 0.0, _arm_latched),
    ]


def _holds_and_goes_on(reason: int, fault: dict[str, object]) -> Injection:
    def inject(system: SystemUnderTest, within: float) -> Reaction:
        sent = system.tell('sdk_robot', **fault)
        seconds = see_hold(system, sent, reason, within)
        text = system.status.text
        system.wait_for(lambda: system.mode == Mode.ACTIVE, 'ACTIVE again', 5.0)
        return f'{text}; on by itself', seconds

    return inject


def _holds_then_disarms(reason: int, fault: dict[str, object]) -> Injection:
    def inject(system: SystemUnderTest, within: float) -> Reaction:
        sent = system.tell('sdk_robot', **fault)
        seconds = see_hold(system, sent, reason, within)
        text = system.status.text
        see_disarmed(system, sent, reason, system.limits.fault_patience + MARGIN)
        return f'{text}; DISARMING {system.limits.fault_patience:g} s later', seconds

    return inject


def _lowstate_lost(system: SystemUnderTest, within: float) -> Reaction:
    sent = system.tell('sdk_robot', silent=True)
    seconds = see_disarmed(system, sent, SafetyStatus.LOWSTATE_LOST, within)
    return 'DISARMING, LOWSTATE_LOST', seconds


def _reordered(system: SystemUnderTest, within: float) -> Reaction:
    sent = system.tell('sdk_robot', reordered=True)
    system.listen(0.5)
    expect_mode(system, Mode.ACTIVE)
    return 'ACTIVE', time.time() - sent


def _mode_machine(system: SystemUnderTest, within: float) -> Reaction:
    sent = system.tell('sdk_robot', mode_machine=9)
    return 'DISARMING, MODE_MACHINE', see_disarmed(system, sent, SafetyStatus.MODE_MACHINE, within)


def _mode_machine_refused(system: SystemUnderTest, within: float) -> Reaction:
    disarm(system)
    system.tell('sdk_robot', mode_machine=9)
    system.listen(0.3)
    return see_refused(system, 'arm')


def _second_publisher(system: SystemUnderTest, within: float) -> Reaction:
    system.processes.start('intruder')
    sent = time.time()
    try:
        system.wait_for(lambda: system.publishers('arm_sdk') > OWN_PUBLISHERS, 'second publisher')
        sent = time.time()
        seconds = see_disarmed(system, sent, SafetyStatus.SECOND_PUBLISHER, within)
    finally:
        system.processes.signal('intruder', signal.SIGTERM)
    return 'DISARMING, SECOND_PUBLISHER', seconds


def _second_publisher_refused(system: SystemUnderTest, within: float) -> Reaction:
    disarm(system)
    system.processes.start('intruder')
    try:
        system.wait_for(lambda: system.publishers('arm_sdk') > OWN_PUBLISHERS, 'second publisher')
        system.listen(0.5)
        return see_refused(system, 'arm')
    finally:
        system.processes.signal('intruder', signal.SIGTERM)
        system.wait_for(
            lambda: system.publishers('arm_sdk') == OWN_PUBLISHERS, 'end of the second publisher'
        )


def _second_publisher_in_the_past(system: SystemUnderTest, within: float) -> Reaction:
    """What watches for publishers must not wait until the clock is where it was."""
    system.clock.step(-20.0)
    try:
        return _second_publisher(system, within)
    finally:
        system.clock.step(20.0)


def _second_system(system: SystemUnderTest, within: float) -> Reaction:
    system.processes.start('second_control')
    try:
        system.wait_for(lambda: system.publishers('arm_sdk') > OWN_PUBLISHERS, 'second system')
        sent = time.time()
        seconds = see_disarmed(system, sent, SafetyStatus.SECOND_PUBLISHER, within)
    finally:
        system.processes.signal('second_control', signal.SIGTERM)
        system.wait_for(
            lambda: system.publishers('arm_sdk') == OWN_PUBLISHERS, 'end of the second system'
        )
    return 'DISARMING, SECOND_PUBLISHER', seconds


def _arm_refused(program: str, **fault: object) -> Injection:
    def inject(system: SystemUnderTest, within: float) -> Reaction:
        disarm(system)
        system.tell(program, **fault)
        system.listen(0.8)
        return see_refused(system, 'arm')

    return inject


def _estop_while_arming(system: SystemUnderTest, within: float) -> Reaction:
    disarm(system)
    if not (answer := system.call('arm')).success:
        raise NotSeenError(f'arm: {answer.message}')
    system.listen(0.5)
    return _estop_service(system, within)


def _estop_while_disarming(system: SystemUnderTest, within: float) -> Reaction:
    system.stream = False
    system.call('disarm')
    system.listen(0.2)
    return _estop_service(system, within)


def _estop_service(system: SystemUnderTest, within: float) -> Reaction:
    sent = time.time()
    system.call('estop')
    return see_estop(system, sent, SafetyStatus.ESTOP_SERVICE, within)


def _estop_remote(system: SystemUnderTest, within: float) -> Reaction:
    sent = system.tell('sdk_robot', buttons=['L2', 'B'], **{'for': 0.3})
    return see_estop(system, sent, SafetyStatus.ESTOP_REMOTE, within)


def _arm_latched(system: SystemUnderTest, within: float) -> Reaction:
    system.call('estop')
    system.listen(system.limits.estop_ramp + 0.2)
    return see_refused(system, 'arm')
