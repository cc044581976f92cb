"""policy_node as a process, seen from outside: a camera and joint states go in, chunks come out."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

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
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, String

from g1_description import load_robot
from g1_ros.qos import COMMAND, SENSOR_DATA, STATUS
from g1_ros.stamps import seconds
from g1_test_support.waiting import DEADLINE, wait_until

NODE = 'import sys; from dit4dit_policy.nodes.policy_node import main; sys.exit(main())'
ROBOT = load_robot()


class PolicyClient(Node):
    """Cameras and joint states to the policy node, and what it says."""

    def __init__(self):
        super().__init__('outside')
        self.camera_on, self.wrist_on = True, False
        self.setback = 0.0  # of the cameras' clock [s]
        self.encoding = 'rgb8'
        self.joints = list(ROBOT.state_joints)
        self.image_stamps: set[tuple[int, int]] = set()
        self.chunks: list[ActionChunk] = []
        self.statuses: list[PolicyStatus] = []
        self.diagnostics: list[DiagnosticArray] = []
        self._images = self.create_publisher(Image, 'camera/camera/color/image_raw', SENSOR_DATA)
        self._wrist_images = self.create_publisher(
            Image, 'camera/left_wrist/color/image_raw', SENSOR_DATA
        )
        self._joint_states = self.create_publisher(JointState, 'joint_states', SENSOR_DATA)
        self.create_subscription(ActionChunk, 'policy/action_chunk', self.chunks.append, COMMAND)
        self.create_subscription(PolicyStatus, 'policy/status', self.statuses.append, STATUS)
        self.create_subscription(DiagnosticArray, '/diagnostics', self.diagnostics.append, 10)
        self.control_mode = SafetyStatus.DISARMED
        self._safety = self.create_publisher(SafetyStatus, 'control/safety_status', STATUS)
        self.create_timer(0.1, lambda: self._safety.publish(SafetyStatus(mode=self.control_mode)))
        self.success = self.create_publisher(Bool, 'sim/success', STATUS)
        self.scene = self.create_publisher(String, 'sim/instruction', STATUS)
        self.run_task = ActionClient(self, RunTask, 'policy/run_task')
        self.change_state = self.create_client(ChangeState, 'policy_node/change_state')
        self.pixels = np.random.default_rng(0).integers(0, 255, 640 * 480 * 3, np.uint8).tobytes()
        self.create_timer(1 / 15, self._publish_image)
        self.create_timer(1 / 100, self._publish_joint_state)

    def _publish_image(self):
        if self.camera_on:
            image = Image(height=480, width=640, step=1920, encoding=self.encoding)
            now = self.get_clock().now() - Duration(seconds=self.setback)
            image.header.stamp = now.to_msg()
            image.data = self.pixels
            self.image_stamps.add((image.header.stamp.sec, image.header.stamp.nanosec))
            self._images.publish(image)
            if self.wrist_on:
                image.data = bytes([200]) * len(self.pixels)
                self._wrist_images.publish(image)

    def _publish_joint_state(self):
        state = JointState(name=self.joints, position=[0.0] * len(self.joints))
        state.header.stamp = self.get_clock().now().to_msg()
        self._joint_states.publish(state)

    def status(self) -> PolicyStatus:
        return self.statuses[-1] if self.statuses else PolicyStatus()

    def goal(self, task, time_limit=DEADLINE, until_done=False):
        """Sends a goal; returns its handle once it is accepted."""
        handle = self._send(task, time_limit, until_done)
        assert handle.accepted
        return handle

    def _send(self, task, time_limit, until_done=False):
        """From the thread that hears the answer, or rclpy may hear it before it expects one."""
        goal = RunTask.Goal(task=task, time_limit=time_limit, until_done=until_done)
        sent = self.executor.create_task(self.run_task.send_goal_async, goal)
        wait_until(sent.done, 'the goal to be sent')
        wait_until(sent.result().done, 'the goal response')
        return sent.result().result()

    def rejected(self, task, time_limit=DEADLINE):
        """Sends a goal that is not accepted; returns what the status says of it."""
        assert not self._send(task, time_limit).accepted
        self.statuses.clear()
        wait_until(lambda: 'a goal was rejected: ' in self.status().text, 'the reason')
        return self.status().text.split('a goal was rejected: ')[1]

    def result(self, handle):
        future = handle.get_result_async()
        wait_until(future.done, 'the result of the goal')
        return future.result()

    def transition(self, number) -> bool:
        request = ChangeState.Request(transition=Transition(id=number))
        future = self.change_state.call_async(request)
        wait_until(future.done, f'lifecycle transition {number}')
        return future.result().success


@pytest.fixture(scope='module')
def outside(ros_domain):
    rclpy.init()
    node = PolicyClient()
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
    path = f'{Path(__file__).parent}:{os.environ.get("PYTHONPATH", "")}'  # of toy_policies.py
    return subprocess.Popen(
        [sys.executable, '-c', NODE, '--ros-args', *options], env={**os.environ, 'PYTHONPATH': path}
    )


@pytest.fixture(scope='module')
def process(outside):
    """One node for all tests of this module, idle: no task given."""
    process = start()
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


def test_a_policy_of_ones_own_sees_the_cameras_it_looks_at(outside):
    process = start('policy:=toy_policies:Looker', 'task:=wave at the camera')
    try:
        wait_until(lambda: outside.status().model_id == 'looker', 'the policy to be loaded')
        missing = 'no image of camera left_wrist has come yet'
        wait_until(lambda: outside.status().text == missing, 'the missing camera to be named')
        assert outside.status().state == PolicyStatus.WAITING
        outside.chunks.clear()
        outside.wrist_on = True
        wait_until(lambda: outside.chunks, 'a chunk')
        chunk = outside.chunks[-1]
        times = [seconds(point.time_from_start) for point in chunk.trajectory.points]
        assert times == pytest.approx([0.0, 0.05, 0.1])
        head, wrist = _positions(chunk)[0, :2]
        assert head == pytest.approx(np.frombuffer(outside.pixels, np.uint8).mean())
        assert wrist == 200
    finally:
        process.kill()
        process.wait()


def test_a_task_begun_at_once_is_asked_for_in_the_words_of_the_scene(outside):
    outside.wrist_on = True
    process = start('policy:=toy_policies:Looker', 'task:=pick_by_colour')
    try:
        wait_until(lambda: 'of the colour asked for' in outside.status().text, "the task's words")
        outside.scene.publish(String(data='Take the red can.'))
        wait_until(lambda: 'Take the red can.' in outside.status().text, "the scene's words")
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
        assert outside.result(outside.goal('wave at the camera', 1.0)).result.chunks >= 1
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
