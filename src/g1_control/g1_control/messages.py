"""ROS messages of the control side to and from its plain types."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence

import numpy as np
from dit4dit_msgs.msg import SafetyStatus
from numpy.typing import NDArray
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory

from g1_control.answers import Command, Status
from g1_control.chunk_buffer import Chunk
from g1_control.unitree import ARM_MOTORS, LowCmd, LowState
from g1_description.control_source import ControlSource
from g1_ros.stamps import seconds, time_message_of


def to_chunk(
    trajectory: JointTrajectory,
    stamp: float,
    number: int = 0,
    source: ControlSource = ControlSource.POLICY,
) -> Chunk:
    """A trajectory whose times count from `stamp` [s]; nothing is checked here."""
    points = trajectory.points
    return Chunk(
        stamp=stamp,
        names=tuple(trajectory.joint_names),
        times=[seconds(point.time_from_start) for point in points],
        positions=[point.positions for point in points],
        number=number,
        source=source,
    )


def to_safety_status(status: Status, now: float, watchdog_age: float) -> SafetyStatus:
    """The status as the operator's message, stamped `now` [s]; watchdog_age [s] as in there."""
    return SafetyStatus(
        stamp=time_message_of(now),
        mode=int(status.mode),
        reason=int(status.reason),
        text=status.text,
        limiting_joint=status.limiting_joint,
        weight=status.weight,
        lowstate_age=status.lowstate_age,
        watchdog_age=watchdog_age,
        chunk_age=status.chunk_age,
        chunks_accepted=status.chunks_accepted,
        chunks_rejected=status.chunks_rejected,
        clamped=status.clamped,
        holds=status.holds,
        deadlines_missed=status.deadlines_missed,
        rejection_reason=int(status.rejection_reason),
        rejection_text=status.rejection_text,
        control_source=int(status.source),
    )


def write_command(command: Command, mode_machine: int, message: LowCmd) -> bytes:
    """The command as a serialised LowCmd; legs and waist stay with the robot (mode and gains 0)."""
    message.mode_machine = mode_machine
    message.mode[ARM_MOTORS] = 1
    message.q[ARM_MOTORS] = command.q
    message.dq[ARM_MOTORS] = command.dq
    message.tau[ARM_MOTORS] = command.tau
    message.kp[ARM_MOTORS] = command.kp
    message.kd[ARM_MOTORS] = command.kd
    message.weight = command.weight
    return message.to_bytes()


class JointStateWriter:
    """Serialises JointState messages of the same joints by writing into one made beforehand.

    A joint state of 31 joints then costs a few microseconds instead of hundreds.
    """

    def __init__(self, names: Sequence[str]) -> None:
        zeros = array('d', bytes(8 * len(names)))
        message = JointState(
            name=list(names), position=zeros, velocity=array('d', zeros), effort=array('d', zeros)
        )
        self._data = bytearray(serialize_message(message))
        size = 8 * len(names)
        # Position, velocity and effort end the message, each after its padded length.
        starts = [len(self._data) - (3 - k) * size - (2 - k) * 8 for k in range(3)]
        self._values = [np.frombuffer(self._data, '<f8', len(names), start) for start in starts]

    def write(self, now: float, position: NDArray, velocity: NDArray, effort: NDArray) -> bytes:
        """The message stamped `now` [s]; (joints,) each."""
        stamp = time_message_of(now)
        struct.pack_into('<iI', self._data, 4, stamp.sec, stamp.nanosec)
        for values, new in zip(self._values, (position, velocity, effort), strict=True):
            values[:] = new
        return bytes(self._data)


class ImuWriter:
    """Serialises Imu messages of the pelvis's IMU; the covariances are unknown (zero, REP 145)."""

    def __init__(self) -> None:
        self._data = bytearray(serialize_message(Imu(header=Header(frame_id='imu_in_pelvis'))))
        values = np.frombuffer(self._data, '<f8', 37, len(self._data) - 37 * 8)
        self._orientation, self._rate, self._acceleration = values[:4], values[13:16], values[25:28]

    def write(self, now: float, state: LowState) -> bytes:
        """The IMU of `state` in a message stamped `now` [s]."""
        stamp = time_message_of(now)
        struct.pack_into('<iI', self._data, 4, stamp.sec, stamp.nanosec)
        self._orientation[:] = np.roll(state.quaternion, -1)  # w comes last in ROS
        self._rate[:] = state.gyroscope
        self._acceleration[:] = state.accelerometer
        return bytes(self._data)
