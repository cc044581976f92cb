"""A headset and its operator: both hands move forward at 5 cm/s, and do what a fault asks."""

from __future__ import annotations

import time

import numpy as np
from rclpy.node import Node

from g1_ros.operator import HandInput, OperatorInput, OperatorPublisher

_PERIOD = 1 / 90  # [s]
_SPEED = 0.05  # [m/s]


class Headset:
    """Measures 90 times a second when polled, as teleop_node hears it from a device.

    awake: whether it sends. tracked: whether it sees the controllers. grip: 0 to 1, of both.
    ahead: by how much both hands are further forward than they have moved [m].
    """

    def __init__(self, node: Node) -> None:
        self.awake = self.tracked = True
        self.grip = self.ahead = 0.0
        self._publisher = OperatorPublisher(node)
        self._due = self._began = time.monotonic()

    def poll(self) -> None:
        """Measures, when it is time to."""
        now = time.monotonic()
        if not self.awake or now < self._due:
            return
        self._due = max(self._due + _PERIOD, now - _PERIOD)
        left, right = (self._hand(now, side) for side in (0.2, -0.2))
        self._publisher.publish(OperatorInput(time.time_ns(), left, right))

    def _hand(self, now: float, y: float) -> HandInput:
        pose = np.eye(4)
        pose[:3, 3] = (self.ahead + _SPEED * (now - self._began), y, 0.0)
        return HandInput(pose if self.tracked else None, self.grip, 0.0)
