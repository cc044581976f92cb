"""What an operator sees in rviz: the hands' planned paths and the mode."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from dit4dit_msgs.msg import ActionChunk, SafetyStatus
from trajectory_msgs.msg import JointTrajectoryPoint
from visualization_msgs.msg import Marker, MarkerArray

from g1_console.plan_view import hand_paths, mode_colour
from g1_description import load_robot
from g1_description.kinematics import ArmKinematics
from g1_ros import qos

ROBOT = load_robot()


def test_paths_follow_the_grasp_frames_whatever_the_order_of_joints():
    kinematics = ArmKinematics()
    postures = np.linspace(ROBOT.home, ROBOT.home + 0.1, 16)
    order = np.random.default_rng(0).permutation(len(ROBOT.action_joints))
    names = [ROBOT.action_joints[i] for i in order]

    paths = hand_paths(names, postures[:, order], kinematics)

    assert paths['left'].shape == (16, 3)
    for side in ('left', 'right'):
        expected = [kinematics.forward(q[:14])[side][:3, 3] for q in postures]
        np.testing.assert_allclose(paths[side], expected)


def test_a_chunk_without_an_arm_joint_is_named():
    with pytest.raises(ValueError, match='left_elbow_joint'):
        hand_paths(['right_elbow_joint'], [[0.0]], ArmKinematics())


def test_a_chunk_that_is_not_finite_is_refused():
    positions = np.full((2, 16), np.nan)
    with pytest.raises(ValueError, match='not finite'):
        hand_paths(ROBOT.action_joints, positions, ArmKinematics())


def test_every_mode_has_a_colour_of_its_own_kind():
    red, green, _ = mode_colour(SafetyStatus.ESTOP)
    assert red > green
    red, green, _ = mode_colour(SafetyStatus.ACTIVE)
    assert green > red


@pytest.fixture
def markers_process(ros_domain):
    process = subprocess.Popen([sys.executable, '-m', 'g1_console.nodes.plan_markers'])
    yield process
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=5.0) == 0


def test_markers_of_a_chunk_and_of_the_mode_arrive(markers_process):
    import rclpy

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('operator', context=context)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    seen: dict[str, Marker] = {}
    node.create_subscription(
        MarkerArray,
        'control/plan_markers',
        lambda message: seen.update({marker.ns: marker for marker in message.markers}),
        10,
    )
    chunks = node.create_publisher(ActionChunk, 'policy/action_chunk', qos.COMMAND)
    statuses = node.create_publisher(SafetyStatus, 'control/safety_status', qos.STATUS)
    statuses.publish(SafetyStatus(mode=SafetyStatus.ACTIVE, text='active'))
    chunk = ActionChunk()
    chunk.trajectory.joint_names = list(ROBOT.action_joints)
    chunk.trajectory.points = [JointTrajectoryPoint(positions=ROBOT.home.tolist())] * 16
    try:
        deadline = time.monotonic() + 20.0
        while len(seen) < 3 and time.monotonic() < deadline:
            chunks.publish(chunk)
            executor.spin_once(timeout_sec=0.1)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)
    assert set(seen) == {'left_hand', 'right_hand', 'safety'}
    assert seen['safety'].text == 'active'
    assert len(seen['left_hand'].points) == 16
    assert seen['left_hand'].header.frame_id == 'pelvis'
