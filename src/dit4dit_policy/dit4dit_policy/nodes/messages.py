"""Between ROS messages and what inference takes and gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Duration, Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

_SECOND = 1_000_000_000


def nanoseconds(stamp: Time) -> int:
    return stamp.sec * _SECOND + stamp.nanosec


def time_message(stamp: int) -> Time:
    return Time(sec=stamp // _SECOND, nanosec=stamp % _SECOND)


def duration_message(seconds: float) -> Duration:
    whole = round(seconds * _SECOND)
    return Duration(sec=whole // _SECOND, nanosec=whole % _SECOND)


def rgb_array(message: Image) -> np.ndarray:
    """(height, width, 3) uint8 RGB of an rgb8 or bgr8 image; ValueError for any other."""
    if message.encoding not in ('rgb8', 'bgr8'):
        raise ValueError(
            f"camera images are '{message.encoding}', expected rgb8 or bgr8; set the colour format "
            'of the camera (realsense2_camera: rgb_camera.color_format:=RGB8)'
        )
    data = np.frombuffer(message.data, dtype=np.uint8)
    rows, columns = message.height, 3 * message.width
    if message.step < columns or data.size != rows * message.step:
        raise ValueError(
            f'camera image says {message.width}x{rows} with {message.step} bytes a row, '
            f'but brings {data.size} bytes'
        )
    image = data.reshape(rows, message.step)[:, :columns].reshape(rows, message.width, 3)
    return image if message.encoding == 'rgb8' else image[:, :, ::-1]


def trajectory_message(
    stamp: int, joint_names: Sequence[str], positions: np.ndarray, step: float
) -> JointTrajectory:
    """Targets (steps, joints) [rad, m]; step k is meant for `stamp` [ns] + k * `step` [s]."""
    return JointTrajectory(
        header=Header(stamp=time_message(stamp)),
        joint_names=list(joint_names),
        points=[
            JointTrajectoryPoint(
                positions=targets.tolist(), time_from_start=duration_message(k * step)
            )
            for k, targets in enumerate(np.asarray(positions, dtype=np.float64))
        ],
    )
