"""Every conversion between a message and arrays, once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import ArrayLike, NDArray
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from g1_ros.stamps import duration_message

Array = NDArray[np.float64]


class JointReader:
    """Reads joint states as vectors of certain joints, whatever else is in them and in what order.

    Joint states are a shared topic: a message without some of the joints, or without one position a
    name, is somebody else's and no error.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        #: Joints that the last message did not have.
        self.missing = self.names
        self._seen: Sequence[str] | None = None  # names of the last message
        self._index: list[int] = []

    def positions(self, message: JointState) -> Array | None:
        """(len(names),) positions [rad, m], or None where the message does not have them all."""
        return self._read(message, message.position)

    def velocities(self, message: JointState) -> Array | None:
        """(len(names),) velocities [rad/s, m/s], or None where the message has them not all."""
        return self._read(message, message.velocity)

    def _read(self, message: JointState, values: Sequence[float]) -> Array | None:
        names = message.name
        if names != self._seen:
            self._seen = names
            self.missing = tuple(name for name in self.names if name not in names)
            self._index = [] if self.missing else [names.index(name) for name in self.names]
        if self.missing or len(values) != len(names):
            return None
        return np.asarray(values, dtype=np.float64)[self._index]


def rgb_array(message: Image) -> NDArray[np.uint8]:
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


def joint_trajectory(
    stamp: Time, names: Sequence[str], positions: ArrayLike, times: ArrayLike
) -> JointTrajectory:
    """Targets (K, joints) [rad, m], each for `stamp` + its entry of `times` (K,) [s]."""
    return JointTrajectory(
        header=Header(stamp=stamp),
        joint_names=list(names),
        points=[
            JointTrajectoryPoint(positions=row, time_from_start=duration_message(time))
            for row, time in zip(
                np.asarray(positions, dtype=np.float64).tolist(),
                np.asarray(times, dtype=np.float64).tolist(),
                strict=True,
            )
        ],
    )


def trajectory_arrays(message: JointTrajectory) -> tuple[Array, Array]:
    """Times (K,) [s] from the start, and positions (K, joints) [rad, m].

    Points that have not all as many positions become NaN, for whoever checks them.
    """
    points = message.points
    times = np.array([p.time_from_start.sec + p.time_from_start.nanosec * 1e-9 for p in points])
    positions = np.full((len(points), len(message.joint_names)), np.nan)
    for row, point in zip(positions, points, strict=True):
        if len(point.positions) == len(row):
            row[:] = point.positions
    return times, positions
