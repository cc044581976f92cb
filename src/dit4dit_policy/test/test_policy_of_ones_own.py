"""policy_node with a policy that is not ours: what it looks at, and what it says when it fails."""

import numpy as np
import pytest
from dit4dit_msgs.action import RunTask
from dit4dit_msgs.msg import PolicyStatus
from policy_client import ROBOT, start
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from g1_ros.qos import COMMAND
from g1_ros.stamps import seconds
from g1_test_support.waiting import wait_until


@pytest.fixture(autouse=True)
def normal(outside):
    outside.camera_on, outside.wrist_on, outside.encoding = True, False, 'rgb8'


def _positions(chunk):
    return np.array([point.positions for point in chunk.trajectory.points])


def test_a_policy_of_ones_own_sees_the_cameras_it_looks_at(outside):
    process = start('policy:=toy_policies:Looker', 'task:=wave at the camera')
    try:
        wait_until(lambda: outside.status().model_id == 'looker', 'the policy to be loaded')
        missing = 'no image of camera left_wrist has come yet'
        wait_until(lambda: outside.status().text == missing, 'the missing camera to be named')
        assert outside.status().state == PolicyStatus.WAITING
        outside.chunks.clear()
        keyframes: list[JointState] = []
        outside.create_subscription(JointState, 'policy/keyframe', keyframes.append, COMMAND)
        outside.wrist_on = True
        wait_until(lambda: outside.chunks and keyframes, 'a chunk, and where a gripper moves next')
        chunk = outside.chunks[-1]
        times = [seconds(point.time_from_start) for point in chunk.trajectory.points]
        assert times == pytest.approx([0.0, 0.05, 0.1])
        head, wrist = _positions(chunk)[0, :2]
        assert head == pytest.approx(np.frombuffer(outside.pixels, np.uint8).mean())
        assert wrist == 200
        keyframe = keyframes[-1]
        assert list(keyframe.name) == list(ROBOT.action_joints)
        assert keyframe.position[2:] == pytest.approx(2 * _positions(chunk)[0, 2:])
        assert keyframe.header.stamp in [chunk.header.stamp for chunk in outside.chunks]
    finally:
        process.kill()
        process.wait()


def test_a_task_is_asked_for_in_the_words_of_the_scene(outside):
    outside.wrist_on = True
    process = start('policy:=toy_policies:Looker', 'task:=pick_by_colour')
    try:
        wait_until(lambda: 'of the colour asked for' in outside.status().text, "the task's words")
        outside.scene.publish(String(data='Take the red can.'))
        wait_until(lambda: 'Take the red can.' in outside.status().text, "the scene's words")
        outside.goal('pick_by_colour')
        wait_until(lambda: 'Take the red can.' in outside.status().text, 'the same of a goal')
        outside.scene.publish(String(data='Take the blue can.'))
        wait_until(lambda: 'Take the blue can.' in outside.status().text, 'those of a new scene')
    finally:
        process.kill()
        process.wait()


def test_a_server_that_does_not_answer_does_not_end_the_task_for_good(outside):
    process = start('policy:=toy_policies:Looker', 'task:=nobody answers')
    outside.wrist_on = True
    try:
        wait_until(lambda: outside.status().state == PolicyStatus.ERROR, 'the failure')
        assert outside.status().text == 'the server does not answer'
        result = outside.result(outside.goal('nobody answers', 4.0)).result
        assert result.error_code == RunTask.Result.INFERENCE_FAILED
        assert result.error_msg == 'the server does not answer'
        assert outside.result(outside.goal('wave at the camera', 4.0)).result.chunks >= 1
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ('parameters', 'text'),
    [
        (['checkpoint:=nonsense'], "checkpoint 'nonsense': expected a folder, got 'nonsense'"),
        (['server:=ws://localhost:1', 'checkpoint:=x'], 'expected one of the parameters server'),
        (['cameras:=[head]'], 'looks at head, left_wrist, got head; add left_wrist'),
        (['policy:=toy_policies:Nobody'], "policy 'toy_policies:Nobody'"),
    ],
)
def test_a_policy_that_does_not_load_says_why(outside, parameters, text):
    outside.statuses.clear()
    process = start('policy:=toy_policies:Looker', *parameters)
    try:
        wait_until(lambda: outside.status().state == PolicyStatus.ERROR, 'the status to tell')
        assert text in outside.status().text
    finally:
        process.kill()
        process.wait()
