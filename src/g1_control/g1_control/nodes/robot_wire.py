"""The robot's end of control_node: /lowstate in; /arm_sdk, joint states and grippers out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Imu, JointState
from unitree_hg.msg import LowCmd as LowCmdMessage
from unitree_hg.msg import LowState as LowStateMessage

from g1_control.answers import Command
from g1_control.messages import ImuWriter, JointStateWriter, write_command
from g1_control.remote import parse
from g1_control.unitree import MOTORS, Freshness, LowCmd, LowState
from g1_description import SIDES, Robot
from g1_ros.polling import PolledSubscription
from g1_ros.qos import COMMAND, NEWEST_SENSOR_DATA, SENSOR_DATA
from g1_ros.rates import RateMeter

Array = NDArray[np.float64]


class RobotWire:
    """Takes what the robot says and sends what it is told, all on the thread that calls.

    state: as last taken; freshness: which states were refused; rate: of those that were not.
    """

    def __init__(self, node: Node, robot: Robot) -> None:
        self._node = node
        self.state, self.freshness, self.rate = LowState(), Freshness(), RateMeter()
        self._command = LowCmd()
        self._lowstate = PolledSubscription(node, LowStateMessage, 'lowstate', NEWEST_SENSOR_DATA)
        self._arm_sdk = node.create_publisher(LowCmdMessage, 'arm_sdk', COMMAND)
        self._joint_states = node.create_publisher(JointState, 'joint_states', SENSOR_DATA)
        self._joint_state_writer = JointStateWriter(robot.state_joints)
        self._imus = node.create_publisher(Imu, 'imu', SENSOR_DATA)
        self._imu_writer = ImuWriter()
        self._grippers = [
            node.create_publisher(JointState, f'{side}_gripper/command', COMMAND) for side in SIDES
        ]
        self._gripper_writers = [JointStateWriter([name]) for name in robot.gripper_joints]

    def take_lowstate(self) -> bool:
        """Reads what came since the last call; whether something good did."""
        good = False
        for data, _ in self._lowstate.take():
            try:
                self.state.load(data)
            except ValueError as error:
                self._node.get_logger().error(f'/lowstate: {error}', throttle_duration_sec=5.0)
                continue
            if self.freshness.accept(self.state):
                self.rate.tick()
                good = True
        return good

    def buttons(self) -> frozenset[str]:
        """Held on the robot's own remote control."""
        return parse(self.state.wireless_remote.tobytes()).buttons

    def send(self, command: Command) -> None:
        """The command on /arm_sdk; the robot's variant is echoed."""
        self._arm_sdk.publish(write_command(command, self.state.mode_machine, self._command))

    def send_grippers(self, now: float, command: Command) -> None:
        """The openings [m] of `command`, stamped `now` [s]."""
        for publisher, writer, opening in zip(
            self._grippers, self._gripper_writers, command.gripper, strict=True
        ):
            publisher.publish(writer.write(now, opening, np.zeros(1), np.zeros(1)))

    def publish_joint_states(self, now: float, opening: Array, velocity: Array) -> None:
        """/imu and, once both grippers are heard, /joint_states; (2,) each, in m and m/s."""
        self._imus.publish(self._imu_writer.write(now, self.state))
        if np.isnan(opening).any():
            return
        state = self.state
        self._joint_states.publish(
            self._joint_state_writer.write(
                now,
                np.concatenate((state.q[:MOTORS], opening)),
                np.concatenate((state.dq[:MOTORS], velocity)),
                np.concatenate((state.tau_est[:MOTORS], (0.0, 0.0))),
            )
        )
