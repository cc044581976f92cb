"""In place of grippers that are not mounted: fingers that stand wherever they are told to.

Control, recorder and policy find the two states they wait for, and the arms can be tried alone.
"""

from __future__ import annotations

import math
import sys

from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from g1_description import SIDES, Side, load_robot
from g1_ros.conversions import JointReader
from g1_ros.main import run
from g1_ros.qos import COMMAND, STATUS
from g1_ros.timers import steady_timer

_PERIOD = 1 / 60  # [s], that of gripper_node


class NoGrippers(Node):
    """Publishes {left,right}_gripper/state, the newest command, and an empty fault."""

    def __init__(self) -> None:
        super().__init__('no_grippers')
        self._sides = [_Side(self, side) for side in SIDES]
        steady_timer(self, _PERIOD, self._publish)
        self.get_logger().warning('gripper:=none: the states of both grippers are made up')

    def _publish(self) -> None:
        for side in self._sides:
            side.publish()


class _Side:
    """One gripper's topics."""

    def __init__(self, node: Node, side: Side) -> None:
        robot = load_robot()
        self._node, self._name = node, robot.gripper_joints[SIDES.index(side)]
        self._reader, self._opening = JointReader((self._name,)), robot.gripper_home
        node.create_subscription(JointState, f'{side}_gripper/command', self._on_command, COMMAND)
        self._state_publisher = node.create_publisher(JointState, f'{side}_gripper/state', COMMAND)
        node.create_publisher(String, f'{side}_gripper/fault', STATUS).publish(String(data=''))

    def _on_command(self, message: JointState) -> None:
        read = self._reader.positions(message)
        if read is not None and math.isfinite(read[0]):
            self._opening = float(read[0])

    def publish(self) -> None:
        """The fingers at rest, where they were told to be last."""
        state = JointState(
            name=[self._name], position=[self._opening], velocity=[0.0], effort=[0.0]
        )
        state.header.stamp = self._node.get_clock().now().to_msg()
        self._state_publisher.publish(state)


def main() -> int:
    """Runs the node."""
    return run(NoGrippers)


if __name__ == '__main__':
    sys.exit(main())
