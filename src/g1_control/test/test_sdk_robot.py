"""control_node against a robot that speaks through Unitree's own SDK over CycloneDDS."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from dit4dit_msgs.msg import SafetyStatus
from unitree_sdk2py.idl.default import unitree_hg_msg_dds__LowCmd_ as default_low_cmd
from unitree_sdk2py.utils.crc import CRC

from g1_control.unitree import WEIGHT_SLOT, LowCmd
from g1_test_support.processes import Program
from g1_test_support.sdk_robot import (
    PATIENT,
    ROBOT,
    Operator,
    answering,
    control_node,
    sdk_robot,
)

#: Shorter than the pauses of the robot here.
LOWSTATE: dict[str, Any] = {'lowstate_stale': 0.3, 'lowstate_lost': 0.6}
RAMP: dict[str, Any] = {'weight_ramp': 0.5}
#: Commands in a row that a busy machine may keep from the SDK's reader, which has the newest only.
MISSED = 10


@pytest.fixture(scope='module')
def robot(ros_domain: int) -> Iterator[Program]:
    robot = sdk_robot(ros_domain)
    yield robot
    robot.kill()


@pytest.fixture(scope='module')
def operator(ros_domain: int) -> Iterator[Operator]:
    operator = Operator(ros_domain)
    yield operator
    operator.close()


@pytest.fixture(scope='module')
def control(ros_domain: int) -> Iterator[Program]:
    control = control_node(**{**PATIENT, **LOWSTATE, **RAMP})
    yield control
    control.kill()


@pytest.fixture
def armed(robot, operator, control) -> Iterator[Operator]:
    """All well and armed; afterwards all well again and disarmed."""
    operator.arm()
    yield operator
    robot.ask('faults')
    operator.control('disarm')
    operator.wait_for_mode(SafetyStatus.DISARMED)


def lift(start: float):
    """Every arm joint 0.2 rad further within a second."""

    def at(time: float) -> np.ndarray:
        s = np.clip(time - start, 0, 1)
        share = 10 * s**3 - 15 * s**4 + 6 * s**5
        return ROBOT.home + share * np.array([0.2] * 14 + [-0.02] * 2)

    return at


def test_our_crc_is_that_of_the_sdk():
    ours, theirs = LowCmd(), default_low_cmd()
    assert CRC().Crc(theirs) == 0xFE172F9F
    for motor in range(15, 29):
        command = theirs.motor_cmd[motor]
        command.mode, command.q, command.kp, command.kd = 1, 0.1 * motor, 60.0, 1.5
    theirs.mode_machine, theirs.motor_cmd[WEIGHT_SLOT].q = 5, 1.0
    theirs.crc = CRC().Crc(theirs)
    assert theirs.crc == 0xD1E70D51
    ours.load(theirs.serialize())
    assert ours.crc_ok
    assert ours.to_bytes() == theirs.serialize()


def still(_time: float) -> np.ndarray:
    return ROBOT.home


def test_the_robot_gets_ramps_echoes_and_good_commands_all_the_way(robot, armed):
    start = armed.now()
    goal = lift(start)(start + 2)
    armed.send(lift(start))
    armed.wait_for_mode(SafetyStatus.ACTIVE)
    armed.wait_for(
        lambda: np.allclose(armed.joint_states[-1].position[15:29], goal[:14], atol=0.05),
        'the arms to lift',
    )
    armed.disarm()

    def report() -> dict | None:
        """With the commands of weight 0, which still come after control says DISARMED."""
        got = robot.ask('report', report=True)
        return got if got['weight']['last'] == 0.0 else None

    got = armed.wait_for(report, 'the last weight to be 0')
    assert got['crc_wrong'] == got['not_finite'] == got['sdk_disagrees'] == 0
    assert got['decoded_by_sdk'] > 5
    assert got['mode_machine_wrong'] == got['legs_or_waist_touched'] == 0
    assert got['publishers'] == 1
    assert got['sent_period']['p50'] == pytest.approx(4.0, abs=0.4)
    weight = got['weight']
    assert weight['first'] <= (1 + MISSED) * 0.004 / RAMP['weight_ramp']
    assert weight['max'] == 1.0 and weight['last'] == 0.0
    assert weight['up_seconds'] == pytest.approx(0.5, abs=0.2)
    assert weight['down_seconds'] == pytest.approx(0.5, abs=0.2)
    assert weight['largest_step'] < 0.2
    assert got['start_error'] < 0.01
    assert got['motion']['largest_step'] < 0.05


def test_the_imu_arrives(armed):
    armed.wait_for(lambda: armed.imus, 'the IMU')
    assert armed.imus[-1].orientation.w == 1.0
    assert armed.imus[-1].linear_acceleration.z == pytest.approx(9.81)


def test_the_remote_control_stops_the_arms_and_keeps_them_stopped(robot, armed):
    robot.ask('faults', buttons=['L2'])
    pressed = robot.ask('faults', buttons=['L2', 'B'])['time']
    armed.wait_for_mode(SafetyStatus.ESTOP)
    assert armed.status.reason == SafetyStatus.ESTOP_REMOTE
    armed.wait_for(lambda: armed.status.weight == 0.0, 'weight 0')
    assert not armed.control('arm').success
    assert armed.control('reset').success
    armed.wait_for_mode(SafetyStatus.ESTOP)  # as long as they are held
    robot.ask('faults', buttons=[])
    armed.wait_for(lambda: armed.control('reset').success, 'a reset')
    armed.wait_for_mode(SafetyStatus.DISARMED)
    got = robot.ask('report', report=True, since=pressed)
    assert got['weight']['last'] == 0.0
    assert got['weight']['down_seconds'] == pytest.approx(0.5, abs=0.3)
    assert got['motion']['largest_step'] < 1e-3


@pytest.mark.parametrize(
    ('fault', 'reason'),
    [
        ({'silent': True}, SafetyStatus.LOWSTATE_LOST),
        ({'corrupt': True}, SafetyStatus.LOWSTATE_LOST),
        ({'frozen': True}, SafetyStatus.LOWSTATE_LOST),
        ({'not_a_number': [18]}, SafetyStatus.LOWSTATE_LOST),
        ({'mode_machine': 4}, SafetyStatus.MODE_MACHINE),
    ],
)
def test_what_makes_the_state_worthless_hands_the_arms_back(fault, reason, robot, armed):
    seen = len(armed.statuses)
    robot.ask('faults', **fault)
    armed.wait_for_mode(SafetyStatus.DISARMED)
    assert SafetyStatus.DISARMING in [status.mode for status in armed.statuses[seen:]]
    assert armed.status.reason == reason
    assert not armed.control('arm').success
    robot.ask('faults')
    armed.arm()


@pytest.mark.parametrize(
    ('fault', 'reason'),
    [
        ({'motor_error': {'18': 0x200}}, SafetyStatus.MOTOR_ERROR),
        ({'temperature': {'20': 95}}, SafetyStatus.MOTOR_TEMPERATURE),
        ({'jump': {'25': 0.8}}, SafetyStatus.TRACKING_ERROR),
        ({'silent': True}, SafetyStatus.LOWSTATE_STALE),
    ],
)
def test_a_passing_fault_holds_the_arms_and_the_next_chunk_goes_on(fault, reason, robot, armed):
    seconds = 0.45 if reason == SafetyStatus.LOWSTATE_STALE else 0.6
    seen = len(armed.statuses)
    robot.ask('faults', **fault, **{'for': seconds})
    armed.wait_for(
        lambda: reason in [status.reason for status in armed.statuses[seen:]], f'reason {reason}'
    )

    def goes_on() -> bool:
        armed.send(still)
        return armed.status.mode == SafetyStatus.ACTIVE

    armed.wait_for(goes_on, 'chunks to be followed again')
    modes = {status.mode for status in armed.statuses[seen:]}
    assert modes == {SafetyStatus.HOLD, SafetyStatus.ACTIVE}


def test_states_out_of_order_slow_and_late_do_no_harm(robot, armed):
    armed.disarm()
    asked = robot.ask('faults', reordered=True, rate=200.0, jitter=0.004)['time']
    armed.arm()
    assert robot.ask('report', report=True, since=asked)['start_error'] < 0.01
    assert armed.status.mode == SafetyStatus.HOLD


def test_another_program_on_arm_sdk_keeps_the_arms_from_being_armed(robot, armed, ros_domain):
    other = answering('g1_fakes.sdk_intruder', '--domain', str(ros_domain), '--rate', '0')
    armed.wait_for_mode(SafetyStatus.DISARMED)
    assert armed.status.reason == SafetyStatus.SECOND_PUBLISHER
    assert not armed.control('arm').success
    other.kill()
    armed.arm()


def test_after_being_killed_control_comes_back_disarmed_and_can_be_armed_soon(
    robot, operator, control
):
    operator.arm()
    control.kill()
    seen = len(operator.statuses)
    again = control_node(**{**PATIENT, **LOWSTATE, **RAMP})
    try:
        operator.wait_for(lambda: len(operator.statuses) > seen + 3, 'control to be back')
        assert {status.mode for status in operator.statuses[seen + 1 :]} == {SafetyStatus.DISARMED}
        operator.arm()
        # The killed one is still believed to be there, beside the new one and its watchdog.
        assert robot.ask('report', report=True)['publishers'] == 3
    finally:
        again.kill()
