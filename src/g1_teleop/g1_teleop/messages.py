"""The operator's input as the messages teleop/hands and teleop/inputs, and back."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion
from numpy.typing import NDArray
from pinocchio import Quaternion as Rotation
from sensor_msgs.msg import Joy

from g1_teleop.devices import BUTTONS, OperatorInput


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


def _pose(pose: NDArray[np.float64] | None) -> Pose:
    if pose is None:
        return Pose(orientation=Quaternion(x=0.0, y=0.0, z=0.0, w=0.0))
    x, y, z, w = Rotation(pose[:3, :3]).coeffs().tolist()
    px, py, pz = pose[:3, 3].tolist()
    return Pose(position=Point(x=px, y=py, z=pz), orientation=Quaternion(x=x, y=y, z=z, w=w))
