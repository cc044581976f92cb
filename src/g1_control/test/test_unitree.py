"""The wire against the generated ROS messages and the vendor library's CRC values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g1_control.unitree import (
    ARM_MOTORS,
    MOTORS,
    SUPPORTED_MODE_MACHINES,
    Freshness,
    LowCmd,
    LowState,
    crc32,
    motor_errors,
)


def bitwise_crc(data: bytes) -> int:
    """The definition, one bit at a time."""
    crc = 0xFFFFFFFF
    for word in np.frombuffer(data, '<u4').tolist():
        crc ^= word
        for _ in range(32):
            crc = ((crc << 1) ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


@settings(max_examples=50)
@given(st.binary(max_size=64).map(lambda data: data[: len(data) // 4 * 4]))
def test_crc_is_the_one_of_its_definition(data):
    assert crc32(data) == bitwise_crc(data)


def test_crc_of_lowcmd_equals_the_vendor_library():
    command = LowCmd()
    command.to_bytes()
    assert command.fields['crc'] == 0xFE172F9F

    command.mode_machine = 5
    command.mode[ARM_MOTORS] = 1
    command.q[ARM_MOTORS] = 0.1 * np.arange(15, 29)
    command.kp[ARM_MOTORS] = 60
    command.kd[ARM_MOTORS] = 1.5
    command.weight = 1.0
    command.to_bytes()
    assert command.fields['crc'] == 0xD1E70D51


def ros_lowcmd():
    from unitree_hg.msg import LowCmd as RosLowCmd

    message = RosLowCmd(mode_pr=1, mode_machine=5, reserve=[1, 2, 3, 4])
    for i, motor in enumerate(message.motor_cmd):
        motor.mode = (i + 1) % 3
        motor.q, motor.dq, motor.tau, motor.kp, motor.kd = (i + 0.25 * k for k in range(5))
        motor.reserve = 7 * i
    return message


def ros_lowstate():
    from unitree_hg.msg import LowState as RosLowState

    message = RosLowState(version=[3, 4], mode_pr=1, mode_machine=6, tick=123456)
    message.imu_state.quaternion = [1.0, 2.0, 3.0, 4.0]
    message.imu_state.gyroscope = [5.0, 6.0, 7.0]
    message.imu_state.accelerometer = [8.0, 9.0, 10.0]
    message.imu_state.rpy = [11.0, 12.0, 13.0]
    message.imu_state.temperature = -14
    for i, motor in enumerate(message.motor_state):
        motor.mode = 1 + i % 2
        motor.q, motor.dq, motor.ddq, motor.tau_est, motor.vol = (i + 0.25 * k for k in range(5))
        motor.temperature = [30 + i, -i]
        motor.motorstate = 1 << (i % 32)
    message.wireless_remote = list(range(40))
    return message


def test_lowcmd_is_what_the_generated_message_serialises_to():
    from rclpy.serialization import deserialize_message, serialize_message
    from unitree_hg.msg import LowCmd as RosLowCmd

    message = ros_lowcmd()
    command = LowCmd()
    command.load(serialize_message(message))
    assert command.mode_pr == 1
    assert command.mode_machine == 5
    for name in ('mode', 'q', 'dq', 'tau', 'kp', 'kd'):
        expected = [getattr(motor, name) for motor in message.motor_cmd]
        np.testing.assert_array_equal(getattr(command, name), expected)

    sent = command.to_bytes()
    assert len(sent) == 1004
    returned = deserialize_message(sent, RosLowCmd)
    assert returned.crc == command.fields['crc']
    returned.crc = message.crc
    assert returned == message


def test_lowstate_is_what_the_generated_message_serialises_to():
    from rclpy.serialization import deserialize_message, serialize_message
    from unitree_hg.msg import LowState as RosLowState

    message = ros_lowstate()
    state = LowState()
    state.load(serialize_message(message))
    assert (state.mode_machine, state.tick, state.imu_temperature) == (6, 123456, -14)
    for name in ('mode', 'q', 'dq', 'ddq', 'tau_est', 'vol', 'temperature', 'motorstate'):
        expected = [getattr(motor, name) for motor in message.motor_state]
        np.testing.assert_array_equal(getattr(state, name), expected)
    np.testing.assert_array_equal(state.quaternion, message.imu_state.quaternion)
    np.testing.assert_array_equal(state.rpy, message.imu_state.rpy)
    np.testing.assert_array_equal(state.wireless_remote, message.wireless_remote)

    sent = state.to_bytes()
    assert len(sent) == 2092
    returned = deserialize_message(sent, RosLowState)
    assert returned.crc == state.fields['crc']
    returned.crc = message.crc
    assert returned == message


@pytest.mark.parametrize(('kind', 'padding'), [(LowCmd, 4 + 28 * 33 + 1), (LowState, 4 + 10)])
def test_damage_on_the_way_shows_in_the_crc_but_padding_does_not(kind, padding):
    message = kind()
    message.q[:MOTORS] = 0.5
    sent = bytearray(message.to_bytes())
    received = kind()
    received.load(bytes(sent))
    assert received.crc_ok

    sent[padding] = 0xAA
    received.load(bytes(sent))
    assert received.crc_ok

    sent[200] ^= 0x10
    received.load(bytes(sent))
    assert not received.crc_ok


def test_a_message_of_another_type_is_refused():
    with pytest.raises(ValueError, match=r'expected a LowState of 2092 bytes.*got 1004'):
        LowState().load(LowCmd().to_bytes())


def test_variants_with_29_joints_are_supported():
    assert {5, 6, 11, 16} <= SUPPORTED_MODE_MACHINES
    assert not {0, 1, 4, 7, 10, 17} & SUPPORTED_MODE_MACHINES


def state(tick: int, q: float = 0.0) -> LowState:
    sent = LowState()
    sent.tick, sent.q[18] = tick, q
    received = LowState()
    received.load(sent.to_bytes())
    return received


def test_only_news_is_accepted_of_what_comes_in():
    freshness = Freshness()
    assert [freshness.accept(state(tick)) for tick in (100, 102, 106, 104, 106, 108)] == [
        *(True, True, True),
        False,  # late
        False,  # the same as before
        True,
    ]
    damaged = state(110)
    damaged.fields['crc'] ^= 1
    assert not freshness.accept(damaged)
    assert freshness.refused == {'corrupt': 1, 'repeated': 1, 'reordered': 1}


def test_a_robot_that_restarts_counts_from_zero_and_one_without_a_tick_is_heard_too():
    freshness = Freshness()
    assert freshness.accept(state(100_000))
    assert freshness.accept(state(2))
    assert freshness.accept(state(2, q=1e-4))


def test_motor_errors_have_names():
    assert motor_errors(0) == ()
    assert motor_errors(0x201) == ('overcurrent', 'winding too hot')
    assert motor_errors(0x10000000) == ('0x10000000',)
