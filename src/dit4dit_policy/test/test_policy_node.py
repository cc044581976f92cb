"""policy_node as a process, seen from outside: a camera and joint states go in, chunks come out."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from dit4dit_msgs.action import RunTask
from dit4dit_msgs.msg import PolicyStatus, SafetyStatus
from lifecycle_msgs.msg import Transition
from policy_client import NODE, ROBOT, start
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Bool

from g1_ros.compressed import pixels_of
from g1_ros.qos import SENSOR_DATA
from g1_ros.stamps import nanoseconds, seconds
from g1_test_support.waiting import DEADLINE, wait_until


@pytest.fixture(scope='module')
def process(outside):
    """One node for all tests of this module, idle: it waits to be asked for its task."""
    process = start('task:=arrange_flower', 'run:=false')
    assert outside.run_task.wait_for_server(timeout_sec=DEADLINE)
    wait_until(lambda: outside.statuses, 'the first status')
    yield process
    process.kill()
    process.wait()


@pytest.fixture(autouse=True)
def normal(outside):
    outside.camera_on, outside.wrist_on, outside.encoding = True, False, 'rgb8'
    outside.setback = 0.0
    outside.joints = list(ROBOT.state_joints)
    outside.control_mode = SafetyStatus.DISARMED


def test_a_free_instruction_runs_to_its_limit(outside, process):
    wait_until(lambda: outside.status().text == 'waiting for a task', 'the node to be active')
    outside.chunks.clear()
    result = outside.result(outside.goal('wave at the camera', 1.5))
    assert result.status == GoalStatus.STATUS_SUCCEEDED
    assert result.result.error_code == RunTask.Result.NONE
    assert result.result.chunks >= 1
    assert result.result.duration >= 1.5
    wait_until(lambda: len(outside.chunks) >= result.result.chunks, 'all chunks')
    for chunk in outside.chunks:
        assert (chunk.header.stamp.sec, chunk.header.stamp.nanosec) in outside.image_stamps
        assert chunk.task == 'wave at the camera'
        assert chunk.trajectory.joint_names == list(ROBOT.action_joints)
        points = chunk.trajectory.points
        assert len(points) == 16
        times = [p.time_from_start.sec + p.time_from_start.nanosec * 1e-9 for p in points]
        assert times == pytest.approx(np.arange(16) * 0.1)
        assert all(len(p.positions) == 16 and np.isfinite(p.positions).all() for p in points)
        assert chunk.model_id == outside.status().model_id
        assert chunk.inference_time.sec + chunk.inference_time.nanosec > 0
    numbers = [chunk.chunk_id for chunk in outside.chunks]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    wait_until(lambda: outside.status().state == PolicyStatus.IDLE, 'idling after the task')
    wait_until(lambda: outside.diagnostics, 'diagnostics')
    keys = {pair.key for pair in outside.diagnostics[-1].status[0].values}
    assert {'chunk_rate', 'latency_p50', 'latency_p95', 'image_age', 'joint_state_age'} <= keys


def test_a_stale_camera_stops_the_chunks_and_the_status_says_so(outside, process):
    handle = outside.goal('arrange_flower')
    wait_until(lambda: outside.status().state == PolicyStatus.RUNNING, 'running')
    wait_until(lambda: outside.status().chunks, 'chunks')
    outside.camera_on = False
    wait_until(lambda: outside.status().state == PolicyStatus.WAITING, 'waiting for the camera')
    assert 'newest image of camera head is' in outside.status().text
    wait_until(lambda: outside.status().image_age > 1.0, 'the inference under way to end')
    count = len(outside.chunks)
    wait_until(lambda: outside.status().image_age > 1.5, 'another half second')
    assert len(outside.chunks) == count
    outside.camera_on = True
    wait_until(lambda: len(outside.chunks) > count, 'chunks from the camera that is back')
    cancel = handle.cancel_goal_async()
    wait_until(cancel.done, 'the cancel response')
    result = outside.result(handle)
    assert result.status == GoalStatus.STATUS_CANCELED
    assert result.result.error_code == RunTask.Result.CANCELED


def test_a_goal_ends_when_the_task_is_done_if_that_is_asked_for(outside, process):
    handle = outside.goal('arrange_flower', until_done=True)
    wait_until(lambda: outside.status().state == PolicyStatus.RUNNING, 'running')
    outside.success.publish(Bool(data=True))
    result = outside.result(handle).result
    assert (result.error_code, result.done) == (RunTask.Result.NONE, True)
    assert result.duration < DEADLINE / 2
    patient = outside.result(outside.goal('arrange_flower', 1.5)).result
    assert patient.duration >= 1.5 and patient.done
    outside.success.publish(Bool(data=False))
    assert not outside.result(outside.goal('arrange_flower', 1.0, until_done=True)).result.done


def test_missing_joints_are_named_and_end_the_goal(outside, process):
    outside.joints.remove('left_gripper_joint')
    wait_until(lambda: outside.status().joint_state_age > 0.5, 'the complete joint state to be old')

    def problem() -> str:
        result = outside.result(outside.goal('arrange_flower', 0.3)).result
        assert result.error_code == RunTask.Result.NO_OBSERVATION
        return str(result.error_msg)

    # On a busy computer the images of this test may come late too.
    wait_until(lambda: problem() == 'joint states lack left_gripper_joint', 'the missing joint')


def test_another_image_encoding_is_refused_in_words(outside, process):
    outside.encoding = 'mono8'
    result = outside.result(outside.goal('arrange_flower')).result
    assert result.error_code == RunTask.Result.INFERENCE_FAILED
    assert "'mono8', expected rgb8 or bgr8" in result.error_msg


def test_a_camera_by_another_clock_is_told_from_an_old_image(outside, process):
    outside.setback = 1e9
    result = outside.result(outside.goal('arrange_flower', 0.5)).result
    assert result.error_code == RunTask.Result.NO_OBSERVATION
    assert 'camera head are stamped by another clock, 1000000000 s behind' in result.error_msg


@pytest.mark.parametrize(
    ('task', 'time_limit', 'text'),
    [
        ('arrange_flowers', 5.0, 'expected one of arrange_flower, pick_and_place'),
        ('', 5.0, 'expected one of arrange_flower'),
        ('arrange_flower', 0.0, 'expected a positive number of seconds, got 0'),
        ('arrange_flower', float('nan'), 'expected a positive number of seconds, got nan'),
    ],
)
def test_an_invalid_goal_is_rejected_in_words(outside, process, task, time_limit, text):
    assert text in outside.rejected(task, time_limit)


def test_an_instruction_in_any_language_is_one(outside, process):
    handle = outside.goal('拿起花，放进花瓶。')
    wait_until(lambda: outside.status().task == '拿起花，放进花瓶。', 'the status to tell')
    assert 'rejected' not in outside.status().text  # the text about an old goal has gone
    wait_until(handle.cancel_goal_async().done, 'the cancel response')
    assert outside.result(handle).result.error_code == RunTask.Result.CANCELED


def test_the_newest_goal_takes_over(outside, process):
    first = outside.goal('arrange_flower')
    second = outside.goal('pick_and_place')
    assert outside.result(first).result.error_code == RunTask.Result.PREEMPTED
    wait_until(lambda: outside.status().task == 'pick_and_place', 'the second task')
    wait_until(second.cancel_goal_async().done, 'the cancel response')
    assert outside.result(second).result.error_code == RunTask.Result.CANCELED


def test_what_it_expects_to_see_is_published_for_its_moment_while_somebody_looks(outside, process):
    handle = outside.goal('arrange_flower')
    pictures: list[CompressedImage] = []
    looking = outside.create_subscription(
        CompressedImage, 'policy/imagined', pictures.append, SENSOR_DATA
    )
    wait_until(lambda: len(pictures) >= 2, 'two pictures')
    outside.destroy_subscription(looking)
    wait_until(handle.cancel_goal_async().done, 'the cancel response')
    taken = {sec * 1_000_000_000 + nanosec for sec, nanosec in outside.image_stamps}
    for picture in pictures:
        assert nanoseconds(picture.header.stamp) - 800_000_000 in taken
        assert pixels_of(picture).shape == (128, 160, 3)


def test_stop_ends_whatever_is_run(outside, process):
    handle = outside.goal('arrange_flower')
    wait_until(lambda: outside.status().state == PolicyStatus.RUNNING, 'running')
    assert outside.stop() == (True, 'stopped: arrange_flower')
    result = outside.result(handle)
    assert result.status == GoalStatus.STATUS_ABORTED
    assert result.result.error_code == RunTask.Result.CANCELED
    wait_until(lambda: outside.status().state == PolicyStatus.IDLE, 'the status to tell')
    assert outside.stop() == (False, 'no task to stop')


def test_deactivated_it_refuses_goals_and_activated_it_works_again(outside, process):
    handle = outside.goal('arrange_flower')
    assert outside.transition(Transition.TRANSITION_DEACTIVATE)
    assert outside.result(handle).result.error_code == RunTask.Result.DEACTIVATED
    assert 'not active; activate it first' in outside.rejected('arrange_flower')
    assert outside.transition(Transition.TRANSITION_CLEANUP)
    assert outside.transition(Transition.TRANSITION_CONFIGURE)
    assert outside.transition(Transition.TRANSITION_ACTIVATE)
    assert outside.result(outside.goal('arrange_flower', 1.5)).result.chunks >= 1


def test_sigint_ends_the_goal_and_the_process(outside, process):
    handle = outside.goal('arrange_flower')
    result = handle.get_result_async()
    wait_until(lambda: outside.status().state == PolicyStatus.RUNNING, 'running')
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=DEADLINE) == 0
    wait_until(result.done, 'the result of the goal')
    assert result.result().result.error_code == RunTask.Result.DEACTIVATED


def test_a_bad_checkpoint_is_said_and_the_node_stays(outside):
    """It is started by a launch file that ends with its nodes, or starts them again and again."""
    outside.statuses.clear()
    process = start('checkpoint:=/nonexistent')
    try:
        wait_until(lambda: outside.status().state == PolicyStatus.ERROR, 'the status to tell')
        assert "policy 'dit4dit' and checkpoint '/nonexistent'" in outside.status().text
        assert outside.run_task.wait_for_server(timeout_sec=DEADLINE)
        assert '/nonexistent' in outside.rejected('arrange_flower')
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=DEADLINE) == 0
    finally:
        process.kill()


def test_a_chunk_continues_the_one_the_robot_is_executing(outside):
    process = start('real_time_chunking:=true')
    try:
        assert outside.run_task.wait_for_server(timeout_sec=DEADLINE)
        wait_until(lambda: outside.status().text == 'waiting for a task', 'the node to be active')
        outside.chunks.clear()
        handle = outside.goal('arrange_flower')
        wait_until(lambda: len(outside.chunks) > 2, 'chunks while nobody follows them')
        outside.control_mode = SafetyStatus.ACTIVE
        wait_until(
            lambda: _continues(outside.chunks[-1], outside.chunks[-2]), 'a chunk that continues'
        )
        wait_until(handle.cancel_goal_async().done, 'the cancel response')
    finally:
        process.kill()


def _positions(chunk):
    return np.array([point.positions for point in chunk.trajectory.points])


def _continues(chunk, before):
    """Whether a chunk begins with the targets that the one before has for these moments."""
    offset = (seconds(chunk.header.stamp) - seconds(before.header.stamp)) / 0.1
    expected = [np.interp(offset, np.arange(16), column) for column in _positions(before).T]
    return np.allclose(_positions(chunk)[0], expected, atol=1e-5)


def test_an_unknown_task_is_one_line(ros_domain):
    result = subprocess.run(
        [sys.executable, '-c', NODE, '--ros-args', '-p', 'task:=arrange_flowers'],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert result.returncode == 2
    assert 'expected one of arrange_flower, pick_and_place' in result.stderr
    assert result.stderr.count('\n') == 1
