"""A device of the operator, as a node: the right hand goes up 5 cm a second, its grip pressed.

It lets go for half a second every three: where something stopped a hand, a grip is pressed anew."""

from __future__ import annotations

import sys

import numpy as np
from rclpy.node import Node

from g1_ros.main import run
from g1_ros.operator import HandInput, OperatorInput, OperatorPublisher


class ToyDevice(Node):
    def __init__(self) -> None:
        super().__init__('toy_device')
        self._operator = OperatorPublisher(self)
        self._begun = self.get_clock().now().nanoseconds
        self.create_timer(1 / 90, self._measure)

    def _measure(self) -> None:
        now = self.get_clock().now().nanoseconds
        seconds = (now - self._begun) * 1e-9
        pose = np.eye(4)
        pose[2, 3] = 1.0 + 0.05 * (seconds % 3.0)
        right = HandInput(pose, grip=1.0 if seconds % 3.0 > 0.5 else 0.0, trigger=0.0)
        self._operator.publish(
            OperatorInput(now, HandInput(np.eye(4), 0.0, 0.0), right, head=np.eye(4))
        )


if __name__ == '__main__':
    sys.exit(run(ToyDevice))
