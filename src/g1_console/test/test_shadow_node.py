"""shadow_node as a process: it reports what the policy would have done, and commands nothing."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from dit4dit_msgs.msg import ActionChunk
from sensor_msgs.msg import JointState

from g1_description import load_robot
from g1_ros.conversions import joint_trajectory
from g1_ros.qos import COMMAND, SENSOR_DATA
from g1_test_support.outside import Outside
from g1_test_support.processes import Program, node

ROBOT = load_robot()
OFF = 'left_elbow_joint'  # the policy would hold this joint 0.1 rad away


def test_a_standing_robot_and_a_policy_that_would_move_one_joint(ros_domain):
    reports: list[dict[str, str]] = []

    def hear(message: DiagnosticArray) -> None:
        reports.extend({v.key: v.value for v in status.values} for status in message.status)

    with Program(node('g1_console.nodes.shadow_node:main')) as shadow, Outside('robot') as robot:
        robot.node.create_subscription(DiagnosticArray, '/diagnostics', hear, 10)
        stand_and_plan(robot)
        robot.wait_for(lambda: reports and int(reports[-1]['targets']) > 20, 'a difference')
        assert robot.node.get_publishers_info_by_topic('/arm_sdk') == []
        assert shadow.interrupt() == 0
    assert float(reports[-1][OFF]) == pytest.approx(0.1, abs=1e-3)
    assert float(reports[-1]['right_elbow_joint']) == pytest.approx(0.0, abs=1e-6)
    row = next(line for line in shadow.lines if OFF in line)
    assert '0.100 rad' in row


def stand_and_plan(robot):
    """Joint states of a robot that stands, and chunks that would move one joint."""
    chunks = robot.node.create_publisher(ActionChunk, 'shadow/action_chunk', COMMAND)
    states = robot.node.create_publisher(JointState, 'joint_states', SENSOR_DATA)
    standing = [0.0] * len(ROBOT.state_joints)
    planned = np.tile([0.1 if name == OFF else 0.0 for name in ROBOT.action_joints], (16, 1))

    def publish_state():
        message = JointState(name=list(ROBOT.state_joints), position=standing)
        message.header.stamp = robot.node.get_clock().now().to_msg()
        states.publish(message)

    def publish_chunk():
        now = robot.node.get_clock().now().to_msg()
        trajectory = joint_trajectory(now, ROBOT.action_joints, planned, 0.1 * np.arange(16))
        chunks.publish(ActionChunk(header=trajectory.header, trajectory=trajectory))

    robot.node.create_timer(0.02, publish_state)
    robot.node.create_timer(0.3, publish_chunk)
