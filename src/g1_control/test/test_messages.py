"""The control side's types against the messages that carry them."""

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from dit4dit_msgs.msg import SafetyStatus
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Imu, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from g1_control.messages import ImuWriter, JointStateWriter, to_chunk
from g1_control.safety import Mode, Reason
from g1_control.unitree import LowState
from g1_description.control_source import ControlSource
from g1_ros.stamps import seconds


def test_modes_and_reasons_are_the_constants_of_the_message():
    constants = {
        name: value
        for name in dir(SafetyStatus)
        if isinstance(value := getattr(SafetyStatus, name), int)
    }
    ours = {member.name: member.value for kind in (Mode, Reason) for member in kind}
    ours |= {f'CONTROL_{source.name}': source.value for source in ControlSource}
    assert ours == constants


def test_a_joint_state_is_written_as_the_generated_message_would_be():
    names = ['elbow', 'left_gripper_joint', 'wrist_roll']
    writer = JointStateWriter(names)
    writer.write(1.0, np.zeros(3), np.zeros(3), np.zeros(3))
    sent = writer.write(1234.5, np.array([1.0, 2, 3]), np.array([4.0, 5, 6]), np.array([7.0, 8, 9]))
    message = deserialize_message(sent, JointState)
    assert message.name == names
    assert seconds(message.header.stamp) == 1234.5
    assert list(message.position) == [1, 2, 3]
    assert list(message.velocity) == [4, 5, 6]
    assert list(message.effort) == [7, 8, 9]


def test_an_imu_is_written_as_the_generated_message_would_be():
    state = LowState()
    state.quaternion[:] = 0.5, 0.1, 0.2, 0.3  # w, x, y, z
    state.gyroscope[:], state.accelerometer[:] = (1, 2, 3), (4, 5, 6)
    message = deserialize_message(ImuWriter().write(1234.5, state), Imu)
    assert message.header.frame_id == 'imu_in_pelvis'
    assert seconds(message.header.stamp) == 1234.5
    orientation, rate = message.orientation, message.angular_velocity
    assert (orientation.w, orientation.x) == pytest.approx((0.5, 0.1))
    assert (orientation.y, orientation.z) == pytest.approx((0.2, 0.3))
    assert (rate.x, rate.y, rate.z) == (1, 2, 3)
    acceleration = message.linear_acceleration
    assert (acceleration.x, acceleration.y, acceleration.z) == (4, 5, 6)
    assert not message.orientation_covariance.any()


def test_a_trajectory_becomes_a_chunk_with_its_points_untouched():
    trajectory = JointTrajectory(
        joint_names=['a', 'b'],
        points=[
            JointTrajectoryPoint(positions=[1.0, 2.0]),
            JointTrajectoryPoint(
                positions=[3.0], time_from_start=Duration(sec=1, nanosec=500_000_000)
            ),
        ],
    )
    chunk = to_chunk(trajectory, 7.0)
    assert (chunk.stamp, tuple(chunk.names), list(chunk.times)) == (7.0, ('a', 'b'), [0.0, 1.5])
    assert [list(row) for row in chunk.positions] == [[1.0, 2.0], [3.0]]
