"""shadow_node as a process: it reports what the policy would have done, and commands nothing."""

import signal
import subprocess
import sys
import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from dit4dit_msgs.msg import ActionChunk
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectoryPoint

from g1_description import load_robot
from g1_ros.qos import COMMAND, SENSOR_DATA
from g1_ros.stamps import time_message_of

ROBOT = load_robot()
OFF = 'left_elbow_joint'  # the policy would hold this joint 0.1 rad away


@pytest.fixture
def shadow_node(ros_domain):
    process = subprocess.Popen(
        [sys.executable, '-c', 'from g1_console.nodes.shadow_node import main; main()'],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    process.kill()
    process.wait()


def test_a_standing_robot_and_a_policy_that_would_move_one_joint(shadow_node, ros_domain):
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=ros_domain)
    node = rclpy.create_node('robot', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    chunks = node.create_publisher(ActionChunk, 'shadow/action_chunk', COMMAND)
    states = node.create_publisher(JointState, 'joint_states', SENSOR_DATA)
    reports = []
    node.create_subscription(
        DiagnosticArray,
        '/diagnostics',
        lambda m: reports.extend({v.key: v.value for v in s.values} for s in m.status),
        10,
    )
    position = dict.fromkeys(ROBOT.state_joints, 0.0)

    def publish_state():
        stamp = node.get_clock().now().to_msg()
        message = JointState(name=list(position), position=list(position.values()))
        message.header.stamp = stamp
        states.publish(message)

    def publish_chunk():
        now = node.get_clock().now().nanoseconds * 1e-9
        message = ActionChunk()
        message.header.stamp = time_message_of(now)
        message.trajectory.joint_names = list(ROBOT.action_joints)
        for k in range(16):
            point = JointTrajectoryPoint(
                positions=[0.1 if name == OFF else 0.0 for name in ROBOT.action_joints]
            )
            point.time_from_start.sec, point.time_from_start.nanosec = divmod(k * 10**8, 10**9)
            message.trajectory.points.append(point)
        chunks.publish(message)

    node.create_timer(0.02, publish_state)
    node.create_timer(0.3, publish_chunk)
    try:
        deadline = time.monotonic() + 30
        while not (reports and int(reports[-1]['targets']) > 20):
            assert time.monotonic() < deadline, f'no difference was reported: {reports[-1:]}'
            executor.spin_once(timeout_sec=0.1)
        assert {p.node_name for p in node.get_publishers_info_by_topic('/arm_sdk')} == set()
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)
    assert float(reports[-1][OFF]) == pytest.approx(0.1, abs=1e-3)
    assert float(reports[-1]['right_elbow_joint']) == pytest.approx(0.0, abs=1e-6)

    shadow_node.send_signal(signal.SIGINT)
    output, _ = shadow_node.communicate(timeout=20)
    row = next(line for line in output.splitlines() if OFF in line)
    assert '0.100 rad' in row
    assert shadow_node.returncode == 0
