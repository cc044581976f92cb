"""The operator's input as the messages teleop/hands and teleop/inputs, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion
from numpy.typing import NDArray
from pinocchio import Quaternion as Rotation
from sensor_msgs.msg import Joy

from g1_teleop.devices import BUTTONS, HandInput, OperatorInput


def hands_message(operator: OperatorInput, stamp: Time) -> PoseArray:
    """Head, left and right; the orientation of one that is not tracked is all zero."""
    message = PoseArray(
        poses=[_pose(p) for p in (operator.head, operator.left.pose, operator.right.pose)]
    )
    message.header.stamp = stamp
    return message


def inputs_message(operator: OperatorInput, stamp: Time) -> Joy:
    """Axes left grip, left trigger, right grip, right trigger; buttons in the order of BUTTONS."""
    message = Joy(
        axes=[
            operator.left.grip,
            operator.left.trigger,
            operator.right.grip,
            operator.right.trigger,
        ],
        buttons=[int(name in operator.buttons) for name in BUTTONS],
    )
    message.header.stamp = stamp
    return message


def operator_input(hands: Any, inputs: Any) -> OperatorInput:
    """From the two messages of a measurement, as rclpy or rosbags reads them; stamp of the first.

    Raises ValueError for messages that are not of `hands_message` and `inputs_message`.
    """
    if (len(hands.poses), len(inputs.axes), len(inputs.buttons)) != (3, 4, len(BUTTONS)):
        raise ValueError(
            f'expected 3 poses, 4 axes and {len(BUTTONS)} buttons, got {len(hands.poses)}, '
            f'{len(inputs.axes)} and {len(inputs.buttons)}'
        )
    head, left, right = (_matrix(pose) for pose in hands.poses)
    left_grip, left_trigger, right_grip, right_trigger = map(float, inputs.axes)
    return OperatorInput(
        stamp=operator_stamp(hands),
        left=HandInput(left, left_grip, left_trigger),
        right=HandInput(right, right_grip, right_trigger),
        head=head,
        buttons=frozenset(name for name, held in zip(BUTTONS, inputs.buttons, strict=True) if held),
    )


def operator_stamp(message: Any) -> int:
    """Stamp of either message [ns]."""
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def _pose(pose: NDArray[np.float64] | None) -> Pose:
    if pose is None:
        return Pose(orientation=Quaternion(x=0.0, y=0.0, z=0.0, w=0.0))
    x, y, z, w = Rotation(pose[:3, :3]).coeffs().tolist()
    px, py, pz = pose[:3, 3].tolist()
    return Pose(position=Point(x=px, y=py, z=pz), orientation=Quaternion(x=x, y=y, z=z, w=w))


def _matrix(pose: Any) -> NDArray[np.float64] | None:
    turn, place = pose.orientation, pose.position
    rotation = Rotation(turn.w, turn.x, turn.y, turn.z)
    if rotation.norm() < 0.5:
        return None
    matrix = np.eye(4)
    matrix[:3, :3] = rotation.normalized().toRotationMatrix()
    matrix[:3, 3] = (place.x, place.y, place.z)
    return matrix
