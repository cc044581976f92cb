"""policy_node as a process, seen from outside: a camera and joint states go in, chunks come out."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
import rclpy
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from dit4dit_msgs.action import RunTask
from dit4dit_msgs.msg import ActionChunk, PolicyStatus, SafetyStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.action import ActionClient
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState

from g1_description import load_robot
from g1_ros.qos import COMMAND, SENSOR_DATA, STATUS

NODE = 'import sys; from dit4dit_policy.nodes.policy_node import main; sys.exit(main())'
DEADLINE = 60.0  # [s] far beyond what anything here takes, the start on a busy computer included
ROBOT = load_robot()


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f'waited {DEADLINE:g} s for {what}'
        time.sleep(0.01)


def seconds(stamp) -> float:
    return stamp.sec + stamp.nanosec * 1e-9


class Outside(Node):
    """Camera and joint states to the policy node, and what it says."""

    def __init__(self):
        super().__init__('outside')
        self.camera_on = True
        self.encoding = 'rgb8'
        self.joints = list(ROBOT.state_joints)
        self.image_stamps: set[tuple[int, int]] = set()
        self.chunks: list[ActionChunk] = []
        self.statuses: list[PolicyStatus] = []
        self.diagnostics: list[DiagnosticArray] = []
        self._images = self.create_publisher(Image, 'camera/camera/color/image_raw', SENSOR_DATA)
        self._joint_states = self.create_publisher(JointState, 'joint_states', SENSOR_DATA)
        self.create_subscription(ActionChunk, 'policy/action_chunk', self.chunks.append, COMMAND)
        self.create_subscription(PolicyStatus, 'policy/status', self.statuses.append, STATUS)
        self.create_subscription(DiagnosticArray, '/diagnostics', self.diagnostics.append, 10)
        self.control_mode = SafetyStatus.DISARMED
        self._safety = self.create_publisher(SafetyStatus, 'control/safety_status', STATUS)
        self.create_timer(0.1, lambda: self._safety.publish(SafetyStatus(mode=self.control_mode)))
        self.run_task = ActionClient(self, RunTask, 'policy/run_task')
        self.change_state = self.create_client(ChangeState, 'policy_node/change_state')
        self._pixels = np.random.default_rng(0).integers(0, 255, 640 * 480 * 3, np.uint8).tobytes()
        self.create_timer(1 / 15, self._publish_image)
        self.create_timer(1 / 100, self._publish_joint_state)

    def _publish_image(self):
        if self.camera_on:
            image = Image(height=480, width=640, step=1920, encoding=self.encoding)
            image.header.stamp = self.get_clock().now().to_msg()
            image.data = self._pixels
            self.image_stamps.add((image.header.stamp.sec, image.header.stamp.nanosec))
            self._images.publish(image)

    def _publish_joint_state(self):
        state = JointState(name=self.joints, position=[0.0] * len(self.joints))
        state.header.stamp = self.get_clock().now().to_msg()
        self._joint_states.publish(state)

    def status(self) -> PolicyStatus:
        return self.statuses[-1] if self.statuses else PolicyStatus()

    def goal(self, task, time_limit=DEADLINE):
        """Sends a goal; returns its handle once it is accepted."""
        future = self.run_task.send_goal_async(RunTask.Goal(task=task, time_limit=time_limit))
        until(future.done, 'the goal response')
        assert future.result().accepted
        return future.result()

    def result(self, handle):
        future = handle.get_result_async()
        until(future.done, 'the result of the goal')
        return future.result()

    def transition(self, number) -> bool:
        request = ChangeState.Request(transition=Transition(id=number))
        future = self.change_state.call_async(request)
        until(future.done, f'lifecycle transition {number}')
        return future.result().success


@pytest.fixture(scope='module')
def outside(ros_domain):
    rclpy.init()
    node = Outside()
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin():
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin)
    thread.start()
    yield node
    rclpy.shutdown()
    thread.join()


def start(*parameters):
    options = [word for p in parameters for word in ('-p', p)]
    return subprocess.Popen([sys.executable, '-c', NODE, '--ros-args', *options])


@pytest.fixture(scope='module')
def process(outside):
    """One node for all tests of this module, idle: no task given."""
    process = start()
    assert outside.run_task.wait_for_server(timeout_sec=DEADLINE)
    until(lambda: outside.statuses, 'the first status')
    yield process
    process.kill()
    process.wait()


@pytest.fixture(autouse=True)
def normal(outside):
    outside.camera_on, outside.encoding = True, 'rgb8'
    outside.joints = list(ROBOT.state_joints)
    outside.control_mode = SafetyStatus.DISARMED


def test_a_free_instruction_runs_to_its_limit(outside, process):
    until(lambda: outside.status().text == 'waiting for a task', 'the node to be active')
    outside.chunks.clear()
    result = outside.result(outside.goal('wave at the camera', 1.5))
    assert result.status == GoalStatus.STATUS_SUCCEEDED
    assert result.result.error_code == RunTask.Result.NONE
    assert result.result.chunks >= 1
    assert result.result.duration >= 1.5
    until(lambda: len(outside.chunks) >= result.result.chunks, 'all chunks')
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
    until(lambda: outside.status().state == PolicyStatus.IDLE, 'idling after the task')
    until(lambda: outside.diagnostics, 'diagnostics')
    keys = {pair.key for pair in outside.diagnostics[-1].status[0].values}
    assert {'chunk_rate', 'latency_p50', 'latency_p95', 'image_age', 'joint_state_age'} <= keys


def test_a_stale_camera_stops_the_chunks_and_the_status_says_so(outside, process):
    handle = outside.goal('arrange_flower')
    until(lambda: outside.status().state == PolicyStatus.RUNNING, 'running')
    until(lambda: outside.status().chunks, 'chunks')
    outside.camera_on = False
    until(lambda: outside.status().state == PolicyStatus.WAITING, 'waiting for the camera')
    assert 'camera image is' in outside.status().text
    until(lambda: outside.status().image_age > 1.0, 'the inference under way to end')
    count = len(outside.chunks)
    until(lambda: outside.status().image_age > 1.5, 'another half second')
    assert len(outside.chunks) == count
    outside.camera_on = True
    until(lambda: len(outside.chunks) > count, 'chunks from the camera that is back')
    cancel = handle.cancel_goal_async()
    until(cancel.done, 'the cancel response')
    result = outside.result(handle)
    assert result.status == GoalStatus.STATUS_CANCELED
    assert result.result.error_code == RunTask.Result.CANCELED


def test_missing_joints_are_named_and_end_the_goal(outside, process):
    outside.joints.remove('left_gripper_joint')
    until(lambda: outside.status().joint_state_age > 0.5, 'the complete joint state to be old')
    result = outside.result(outside.goal('arrange_flower', 0.3)).result
    assert result.error_code == RunTask.Result.NO_OBSERVATION
    assert result.error_msg == 'joint states lack left_gripper_joint'


def test_another_image_encoding_is_refused_in_words(outside, process):
    outside.encoding = 'mono8'
    result = outside.result(outside.goal('arrange_flower')).result
    assert result.error_code == RunTask.Result.INFERENCE_FAILED
    assert "'mono8', expected rgb8 or bgr8" in result.error_msg


@pytest.mark.parametrize(
    ('task', 'time_limit', 'text'),
    [
        ('arrange_flowers', 5.0, 'expected one of arrange_flower, pick_and_place'),
        ('', 5.0, 'expected one of arrange_flower'),
        ('arrange_flower', 0.0, 'expected a positive number of seconds, got 0'),
        ('arrange_flower', float('nan'), 'expected a positive number of seconds, got nan'),
    ],
)
def test_an_invalid_goal_is_refused_in_words(outside, process, task, time_limit, text):
    result = outside.result(outside.goal(task, time_limit))
    assert result.status == GoalStatus.STATUS_ABORTED
    assert result.result.error_code == RunTask.Result.INVALID_GOAL
    assert text in result.result.error_msg


def test_the_newest_goal_takes_over(outside, process):
    first = outside.goal('arrange_flower')
    second = outside.goal('pick_and_place')
    assert outside.result(first).result.error_code == RunTask.Result.PREEMPTED
    until(lambda: outside.status().task == 'pick_and_place', 'the second task')
    until(second.cancel_goal_async().done, 'the cancel response')
    assert outside.result(second).result.error_code == RunTask.Result.CANCELED


def test_deactivated_it_refuses_goals_and_activated_it_works_again(outside, process):
    handle = outside.goal('arrange_flower')
    assert outside.transition(Transition.TRANSITION_DEACTIVATE)
    assert outside.result(handle).result.error_code == RunTask.Result.DEACTIVATED
    refused = outside.result(outside.goal('arrange_flower'))
    assert refused.result.error_code == RunTask.Result.DEACTIVATED
    assert outside.transition(Transition.TRANSITION_CLEANUP)
    assert outside.transition(Transition.TRANSITION_CONFIGURE)
    assert outside.transition(Transition.TRANSITION_ACTIVATE)
    assert outside.result(outside.goal('arrange_flower', 1.5)).result.chunks >= 1


def test_sigint_ends_the_goal_and_the_process(outside, process):
    handle = outside.goal('arrange_flower')
    result = handle.get_result_async()
    until(lambda: outside.status().state == PolicyStatus.RUNNING, 'running')
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=DEADLINE) == 0
    until(result.done, 'the result of the goal')
    assert result.result().result.error_code == RunTask.Result.DEACTIVATED


def test_a_bad_checkpoint_is_said_and_the_node_stays(outside):
    """It is started by a launch file that ends with its nodes, or starts them again and again."""
    outside.statuses.clear()
    process = start('checkpoint:=/nonexistent')
    try:
        until(lambda: outside.status().state == PolicyStatus.ERROR, 'the status to tell')
        assert 'expected a folder written by `dit4dit train`' in outside.status().text
        assert outside.run_task.wait_for_server(timeout_sec=DEADLINE)
        refused = outside.result(outside.goal('arrange_flower')).result
        assert refused.error_code == RunTask.Result.DEACTIVATED
        assert '/nonexistent' in refused.error_msg
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=DEADLINE) == 0
    finally:
        process.kill()


def test_a_chunk_continues_the_one_the_robot_is_executing(outside):
    process = start('real_time_chunking:=true')
    try:
        assert outside.run_task.wait_for_server(timeout_sec=DEADLINE)
        until(lambda: outside.status().text == 'waiting for a task', 'the node to be active')
        outside.chunks.clear()
        handle = outside.goal('arrange_flower')
        until(lambda: len(outside.chunks) > 2, 'chunks while nobody follows them')
        assert all(chunk.frozen_steps == 0 for chunk in outside.chunks)
        outside.control_mode = SafetyStatus.ACTIVE
        until(lambda: outside.chunks[-1].frozen_steps, 'a chunk that continues')
        last, before = outside.chunks[-1], outside.chunks[-2]
        offset = (seconds(last.header.stamp) - seconds(before.header.stamp)) / 0.1
        first, old = (
            np.array([point.positions for point in chunk.trajectory.points])
            for chunk in (last, before)
        )
        for k in range(last.frozen_steps):
            expected = [np.interp(k + offset, np.arange(16), column) for column in old.T]
            assert first[k] == pytest.approx(expected, abs=1e-5)
        until(handle.cancel_goal_async().done, 'the cancel response')
    finally:
        process.kill()


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
