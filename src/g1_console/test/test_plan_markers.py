"""What an operator sees in rviz: the hands' planned paths and the mode."""

import numpy as np
import pytest
from dit4dit_msgs.msg import ActionChunk, SafetyStatus
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectoryPoint
from visualization_msgs.msg import Marker, MarkerArray

from g1_console.plan_view import hand_paths, mode_colour
from g1_description import load_robot
from g1_description.kinematics import ArmKinematics
from g1_ros import qos
from g1_test_support.outside import Outside
from g1_test_support.processes import Program, module

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


def test_markers_of_a_chunk_and_of_the_mode_arrive(ros_domain):
    chunk = ActionChunk()
    chunk.trajectory.joint_names = list(ROBOT.action_joints)
    chunk.trajectory.points = [JointTrajectoryPoint(positions=ROBOT.home.tolist())] * 16
    seen: dict[str, Marker] = {}

    def see(message: MarkerArray) -> None:
        seen.update({marker.ns: marker for marker in message.markers})

    with Program(module('g1_console.nodes.plan_markers')) as plan_markers, Outside() as operator:
        operator.node.create_subscription(MarkerArray, 'control/plan_markers', see, 10)
        publish = operator.node.create_publisher
        chunks = publish(ActionChunk, 'policy/action_chunk', qos.COMMAND)
        statuses = publish(SafetyStatus, 'control/safety_status', qos.STATUS)
        statuses.publish(SafetyStatus(mode=SafetyStatus.ACTIVE, text='active'))
        keyframes = publish(JointState, 'policy/keyframe', qos.COMMAND)
        keyframe = JointState(name=ROBOT.action_joints, position=ROBOT.home)
        operator.node.create_timer(0.1, lambda: chunks.publish(chunk))
        operator.node.create_timer(0.1, lambda: keyframes.publish(keyframe))
        operator.wait_for(lambda: len(seen) == 5, 'five markers')
        assert plan_markers.interrupt() == 0
    balls = {'left_keyframe', 'right_keyframe'}
    assert set(seen) == {'left_hand', 'right_hand', 'safety'} | balls
    hand = ArmKinematics().forward(ROBOT.home[:14])['left'][:3, 3]
    place = seen['left_keyframe'].pose.position
    np.testing.assert_allclose((place.x, place.y, place.z), hand)
    assert seen['safety'].text == 'active'
    assert len(seen['left_hand'].points) == 16
    assert seen['left_hand'].header.frame_id == 'pelvis'
