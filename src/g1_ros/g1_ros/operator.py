"""What the operator's device says: poses, grips and triggers of both hands, and buttons.

A device is a node that publishes these as teleop/hands and teleop/inputs, and on
teleop/device_status what a person can do while it sends nothing; teleop_node and recorder_node
listen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion
from numpy.typing import NDArray
from pinocchio import SE3, SE3ToXYZQUAT
from pinocchio import Quaternion as Rotation
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Joy
from std_msgs.msg import String

from g1_description.robot import Side
from g1_ros.qos import SENSOR_DATA, STATUS
from g1_ros.stamps import nanoseconds, serialised_stamp, time_message

#: Buttons of the two controllers in the order of a message: X and Y are on the left one.
BUTTONS = ('A', 'B', 'X', 'Y', 'left_menu', 'right_menu', 'left_stick', 'right_stick')

_HANDS, _INPUTS, _STATUS = 'teleop/hands', 'teleop/inputs', 'teleop/device_status'
_UNPAIRED = 10  # messages whose other half may still come


@dataclass(frozen=True)
class HandInput:
    """One controller.

    pose: (4, 4) [m] in a fixed frame with the robot's axes; None while it is not tracked.
    grip, trigger: 0 released to 1 pressed.
    """

    pose: NDArray[np.float64] | None
    grip: float
    trigger: float


@dataclass(frozen=True)
class OperatorInput:
    """Both hands, the head and the buttons that are pressed (of `BUTTONS`).

    stamp: when it was measured [ns]; 0 before the first measurement. head: as a hand's pose.
    """

    stamp: int
    left: HandInput
    right: HandInput
    head: NDArray[np.float64] | None = None
    buttons: frozenset[str] = frozenset()

    def hand(self, side: Side) -> HandInput:
        """The controller of one side."""
        return self.left if side == 'left' else self.right


class OperatorPublisher:
    """What a device's node publishes."""

    def __init__(self, node: Node) -> None:
        self._hands = node.create_publisher(PoseArray, _HANDS, SENSOR_DATA)
        self._inputs = node.create_publisher(Joy, _INPUTS, SENSOR_DATA)
        self._status = node.create_publisher(String, _STATUS, STATUS)
        self._said: str | None = None

    def publish(self, operator: OperatorInput) -> None:
        """One measurement as two messages with its stamp, on the clock of ROS."""
        stamp = time_message(operator.stamp)
        self._hands.publish(hands_message(operator, stamp))
        self._inputs.publish(inputs_message(operator, stamp))

    def say(self, text: str) -> None:
        """What a person can do while the device sends nothing; published when it changes."""
        if text != self._said:
            self._said = text
            self._status.publish(String(data=text))


class OperatorSubscription:
    """Measurements of the operator, whatever device they come from.

    Attributes:
        help: what a person can do while the device sends nothing, as it says itself.
        problem: why the newest messages are no measurement, in words; empty where they are.
    """

    def __init__(self, node: Node, heard: Callable[[], None]) -> None:
        """heard: called when a measurement has come whole, or what should have been one."""
        self.help, self.problem = '', ''
        self._heard = heard
        self._publishers: Callable[[], int] = lambda: node.count_publishers(_HANDS)
        self._hands: dict[int, bytes] = {}  # by stamp [ns], until the other half comes
        self._inputs: dict[int, bytes] = {}
        self._measurements: list[OperatorInput] = []
        for kind, topic, mine, other in (
            (PoseArray, _HANDS, self._hands, self._inputs),
            (Joy, _INPUTS, self._inputs, self._hands),
        ):
            node.create_subscription(
                kind, topic, partial(self._take, mine, other), SENSOR_DATA, raw=True
            )
        node.create_subscription(String, _STATUS, self._take_status, STATUS)

    @property
    def has_device(self) -> bool:
        """Whether there is a node that publishes hands."""
        return self._publishers() > 0

    def take(self) -> list[OperatorInput]:
        """The measurements that have come since the last call, oldest first."""
        taken, self._measurements = self._measurements, []
        return taken

    def _take(self, mine: dict[int, bytes], other: dict[int, bytes], data: bytes) -> None:
        stamp = serialised_stamp(data)
        mine[stamp] = data
        if stamp in other:
            hands, inputs = self._hands[stamp], self._inputs[stamp]
            for kept in (mine, other):
                for old in [key for key in kept if key <= stamp]:
                    del kept[old]
            self._read(hands, inputs)
            self._heard()
        for old in sorted(mine)[:-_UNPAIRED]:
            del mine[old]

    def _read(self, hands: bytes, inputs: bytes) -> None:
        try:
            operator = operator_input(
                deserialize_message(hands, PoseArray), deserialize_message(inputs, Joy)
            )
        except ValueError as error:
            self.problem = f'{_HANDS} and {_INPUTS} are not those of an operator: {error}'
            return
        self.problem = ''
        self._measurements.append(operator)

    def _take_status(self, message: String) -> None:
        self.help = message.data


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
        stamp=nanoseconds(hands.header.stamp),
        left=HandInput(left, left_grip, left_trigger),
        right=HandInput(right, right_grip, right_trigger),
        head=head,
        buttons=frozenset(name for name, held in zip(BUTTONS, inputs.buttons, strict=True) if held),
    )


def _pose(pose: NDArray[np.float64] | None) -> Pose:
    if pose is None:
        return Pose(orientation=Quaternion(x=0.0, y=0.0, z=0.0, w=0.0))
    # Not by a Quaternion of the matrix: each that pinocchio makes leaves 64 bytes behind.
    px, py, pz, x, y, z, w = SE3ToXYZQUAT(SE3(pose)).tolist()
    return Pose(position=Point(x=px, y=py, z=pz), orientation=Quaternion(x=x, y=y, z=z, w=w))


def _matrix(pose: Any) -> NDArray[np.float64] | None:
    turn, place = pose.orientation, pose.position
    rotation = Rotation(turn.w, turn.x, turn.y, turn.z)
    if not rotation.norm() >= 0.5:  # nor is one that is no number
        return None
    matrix = np.eye(4)
    matrix[:3, :3] = rotation.normalized().toRotationMatrix()
    matrix[:3, 3] = (place.x, place.y, place.z)
    return matrix
