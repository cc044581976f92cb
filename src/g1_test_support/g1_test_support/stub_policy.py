"""A policy for tests, as a program: five chunks a second, while images are newer than 0.2 s.

Each swings both elbows about home, stamped with its image. Prints a line of JSON for each: age of
the image [s], and when [s since 1970].
"""

import json
import sys
import time

import numpy as np
from dit4dit_msgs.msg import ActionChunk
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState

from g1_description import load_robot
from g1_ros.conversions import joint_trajectory
from g1_ros.main import run
from g1_ros.qos import COMMAND, NEWEST_SENSOR_DATA, SENSOR_DATA
from g1_ros.stamps import seconds, time_message_of

ROBOT = load_robot()


class StubPolicy(Node):
    """Images in, chunks out."""

    def __init__(self) -> None:
        super().__init__('stub_policy')
        self.stamp = self.last = 0.0
        self.joint_states = 0
        self.chunks = self.create_publisher(ActionChunk, 'policy/action_chunk', COMMAND)
        self.create_subscription(
            Image, 'camera/camera/color/image_raw', self.on_image, NEWEST_SENSOR_DATA
        )
        self.create_subscription(JointState, 'joint_states', self.on_joint_state, SENSOR_DATA)
        self.create_timer(0.2, self.infer)

    def on_image(self, message: Image) -> None:
        """Its stamp is what counts."""
        self.stamp = seconds(message.header.stamp)

    def on_joint_state(self, message: JointState) -> None:
        """They have to be there."""
        self.joint_states += 1

    def infer(self) -> None:
        """A chunk for the newest image, once."""
        age = time.time() - self.stamp
        if age > 0.2 or self.stamp == self.last or not self.joint_states:
            return
        self.last = self.stamp
        self.chunks.publish(chunk(self.stamp))
        print(json.dumps({'age': age, 'time': time.time()}), flush=True)


def chunk(stamp: float) -> ActionChunk:
    """16 targets, 0.1 s apart."""
    times = 0.1 * np.arange(16)
    positions = np.tile(ROBOT.home, (16, 1))
    positions[:, [3, 10]] += 0.1 * np.sin(2.0 * (stamp + times))[:, None]
    trajectory = joint_trajectory(time_message_of(stamp), ROBOT.action_joints, positions, times)
    return ActionChunk(header=trajectory.header, trajectory=trajectory)


def main() -> int:
    """Runs the node."""
    return run(StubPolicy)


if __name__ == '__main__':
    sys.exit(main())
