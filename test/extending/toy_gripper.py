"""A driver of two grippers that open 8 cm, as a node: the fingers follow at 10 cm/s."""

from __future__ import annotations

from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from g1_description import SIDES, Side, load_robot
from g1_ros.main import run
from g1_ros.qos import COMMAND, STATUS

PERIOD, VELOCITY = 0.02, 0.1  # [s], [m/s]


class Finger:
    """One gripper: told an opening [m], it says how far it has come."""

    def __init__(self, node: Node, side: Side) -> None:
        robot = load_robot()
        self._joint = robot.gripper_joints[SIDES.index(side)]
        self._opening = self._goal = robot.gripper_home
        node.create_subscription(JointState, f'{side}_gripper/command', self._take, COMMAND)
        self._state = node.create_publisher(JointState, f'{side}_gripper/state', COMMAND)
        # Empty: nothing is wrong. A driver without faults of its own says so once.
        node.create_publisher(String, f'{side}_gripper/fault', STATUS).publish(String())

    def _take(self, message: JointState) -> None:
        self._goal = message.position[0]

    def move(self) -> None:
        way = self._goal - self._opening
        self._opening += max(-VELOCITY * PERIOD, min(VELOCITY * PERIOD, way))
        self._state.publish(
            JointState(name=[self._joint], position=[self._opening], velocity=[0.0])
        )


class ToyGripper(Node):
    def __init__(self) -> None:
        super().__init__('toy_gripper')
        self._fingers = [Finger(self, side) for side in SIDES]
        self.create_timer(PERIOD, self._move)

    def _move(self) -> None:
        for finger in self._fingers:
            finger.move()


def main() -> int:
    return run(ToyGripper)
