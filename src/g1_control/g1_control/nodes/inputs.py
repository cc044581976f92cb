"""What control_node is told by others: chunks, an operator's targets, how the grippers are.

All of it is taken by the control thread itself, just before the command that it is for. Through an
executor it would wait for that thread and for Python's interpreter, and disturb the cycle.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from dit4dit_msgs.msg import ActionChunk
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from g1_control.chunk_buffer import Chunk
from g1_control.messages import to_chunk
from g1_description import SIDES, Robot
from g1_description.control_source import ControlSource
from g1_ros.conversions import JointReader
from g1_ros.polling import PolledSubscription
from g1_ros.qos import COMMAND, STATUS
from g1_ros.stamps import seconds


class _Topic:
    """Messages of one topic, as they came; those that can't be deserialised are left out."""

    def __init__(self, node: Node, kind: Any, topic: str, qos: Any) -> None:
        self._node, self._kind, self._topic = node, kind, topic
        self._subscription = PolledSubscription(node, kind, topic, qos)

    @property
    def has_publisher(self) -> bool:
        return self._node.count_publishers(self._node.resolve_topic_name(self._topic)) > 0

    def take(self) -> Iterator[Any]:
        for data, _ in self._subscription.take():
            try:
                yield deserialize_message(data, self._kind)
            except RuntimeError as error:
                self._node.get_logger().error(
                    f'{self._topic}: no {self._kind.__name__}: {error}', throttle_duration_sec=5.0
                )


class ChunkInputs:
    """The policy's chunks and an operator's targets."""

    def __init__(self, node: Node) -> None:
        self._chunks = _Topic(node, ActionChunk, 'policy/action_chunk', COMMAND)
        self._targets = _Topic(node, JointTrajectory, 'teleop/joint_targets', COMMAND)

    def take(self, now: float) -> Iterator[Chunk]:
        """What came since the last call; targets without a stamp count from `now` [s]."""
        for message in self._chunks.take():
            yield to_chunk(message.trajectory, seconds(message.header.stamp), message.chunk_id)
        for message in self._targets.take():
            stamp = seconds(message.header.stamp) or now
            yield to_chunk(message, stamp, source=ControlSource.OPERATOR)


class GripperInputs:
    """Both grippers as last heard: opening (2,) [m], NaN before the first; velocity (2,) [m/s].

    faults: what is wrong with the left and right one, empty if nothing; it ends with its publisher,
    whose states then grow old. A message on their topics
    that does not name the gripper's joint, or has no position, is somebody else's.
    """

    def __init__(self, node: Node, robot: Robot) -> None:
        self.opening, self.velocity = np.full(2, np.nan), np.zeros(2)
        self.faults = ('', '')
        self._heard = np.zeros(2)  # monotonic clock [s]
        self._readers = [JointReader([name]) for name in robot.gripper_joints]
        self._states = [
            _Topic(node, JointState, f'{side}_gripper/state', COMMAND) for side in SIDES
        ]
        self._faults = [_Topic(node, String, f'{side}_gripper/fault', STATUS) for side in SIDES]

    @property
    def age(self) -> np.ndarray:
        """(2,) of what is known [s]."""
        return time.monotonic() - self._heard

    def take(self) -> None:
        """Takes what came since the last call."""
        for k, (states, reader) in enumerate(zip(self._states, self._readers, strict=True)):
            for message in states.take():
                opening = reader.positions(message)
                if opening is None:
                    continue
                velocity = reader.velocities(message)
                self.opening[k] = opening[0]
                self.velocity[k] = 0.0 if velocity is None else velocity[0]
                self._heard[k] = time.monotonic()
        left, right = self.faults
        for message in self._faults[0].take():
            left = message.data
        for message in self._faults[1].take():
            right = message.data
        self.faults = (
            left if left and self._faults[0].has_publisher else '',
            right if right and self._faults[1].has_publisher else '',
        )
