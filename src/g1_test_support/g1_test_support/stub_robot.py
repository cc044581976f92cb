"""A robot for tests, as a program: /lowstate, grippers and camera; its arms go where they are told.

Prints a line of JSON whenever the mode of control_node changes: mode, reason, and when [s since
1970]. Runs until it is ended.
"""

import json
import sys
import time

from dit4dit_msgs.msg import SafetyStatus
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, JointState
from unitree_hg.msg import LowCmd as LowCmdMessage
from unitree_hg.msg import LowState as LowStateMessage

from g1_control.unitree import ARM_MOTORS, LowCmd, LowState
from g1_description import SIDES, load_robot
from g1_ros.main import run
from g1_ros.qos import COMMAND, NEWEST_SENSOR_DATA, SENSOR_DATA, STATUS
from g1_ros.real_time import ask_for_real_time

ROBOT = load_robot()
CAMERA = 'camera/camera/color'


class StubRobot(Node):
    """Its state, its camera, and arms that are where they were told to be."""

    def __init__(self) -> None:
        super().__init__('stub_robot')
        self.state, self.command = LowState(), LowCmd()
        self.state.mode_machine = 5
        self.state.q[ARM_MOTORS] = ROBOT.home[:14]
        self.mode = None
        self.create_subscription(LowCmdMessage, 'arm_sdk', self.on_command, COMMAND, raw=True)
        self.create_subscription(SafetyStatus, 'control/safety_status', self.on_status, STATUS)
        self.lowstate = self.create_publisher(LowStateMessage, 'lowstate', NEWEST_SENSOR_DATA)
        self.grippers = [
            self.create_publisher(JointState, f'{side}_gripper/state', COMMAND) for side in SIDES
        ]
        self.images = self.create_publisher(Image, f'{CAMERA}/image_raw', SENSOR_DATA)
        self.infos = self.create_publisher(CameraInfo, f'{CAMERA}/camera_info', SENSOR_DATA)
        self.image = Image(width=640, height=480, encoding='rgb8', step=1920)
        self.image.data = bytes(640 * 480 * 3)
        self.create_timer(0.005, self.publish_state)
        self.create_timer(0.02, self.publish_grippers)
        self.create_timer(0.1, self.publish_image)

    def publish_state(self) -> None:
        """/lowstate."""
        self.state.tick += 5
        self.lowstate.publish(self.state.to_bytes())

    def publish_grippers(self) -> None:
        """Both are well and half open."""
        for publisher, name in zip(self.grippers, ROBOT.gripper_joints, strict=True):
            publisher.publish(JointState(name=[name], position=[0.02], velocity=[0.0]))

    def publish_image(self) -> None:
        """Black, and its camera_info."""
        self.image.header.stamp = self.get_clock().now().to_msg()
        self.infos.publish(CameraInfo(header=self.image.header, width=640, height=480))
        self.images.publish(self.image)

    def on_command(self, data: bytes) -> None:
        """Follows while there is weight."""
        self.command.load(data)
        if self.command.weight > 0.0:
            self.state.q[ARM_MOTORS] = self.command.q[ARM_MOTORS]

    def on_status(self, status: SafetyStatus) -> None:
        """Prints changes of the mode."""
        if status.mode != self.mode:
            self.mode = status.mode
            print(
                json.dumps({'mode': status.mode, 'reason': status.reason, 'time': time.time()}),
                flush=True,
            )


def main() -> int:
    """Runs the node."""
    ask_for_real_time()
    return run(StubRobot)


if __name__ == '__main__':
    sys.exit(main())
