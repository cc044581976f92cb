"""The real XRoboToolkit SDK, beside a stand-in for the PC service and its headset."""

import json
import math
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from dit4dit_msgs.msg import SafetyStatus
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from g1_description import load_robot
from g1_fakes.xr_service import Measurement, XrService
from g1_ros.config import config_path
from g1_ros.operator import BUTTONS
from g1_ros.parameters import load
from g1_ros.qos import COMMAND, SENSOR_DATA, STATUS
from g1_ros.stamps import seconds
from g1_teleop.retargeting import RetargetingParameters
from g1_test_support.waiting import DEADLINE, wait_until

pytest.importorskip('xrobotoolkit_sdk')

ROBOT = load_robot()
LOOKAHEAD = load(RetargetingParameters, config_path('teleop.yaml')).lookahead
SILENCE = 1.0  # [s]; after a shorter one, of up to 0.5 s, the hands go on by themselves
#: Prints what the device reads, a JSON line for each stamp, as the SDK writes to stdout itself.
READER = """
import json, sys, time
from g1_teleop.xrobotoolkit import XRoboToolkit

def pose(values):
    return None if values is None else values.tolist()

device, stamp = XRoboToolkit(), 0
while True:
    read = device.read()
    if read.stamp != stamp:
        stamp = read.stamp
        content = {
            'stamp': read.stamp,
            'poses': [pose(p) for p in (read.head, read.left.pose, read.right.pose)],
            'values': [read.left.grip, read.left.trigger, read.right.grip, read.right.trigger],
            'buttons': sorted(read.buttons),
        }
        print(json.dumps(content), file=sys.stderr, flush=True)
    time.sleep(0.002)
"""


class Headset:
    """What somebody does with it; everything trembles a little, as tracking does.

    Attributes:
        measurement: without the tremble.
        frozen: the left controller is only repeated.
    """

    def __init__(self) -> None:
        turn = (0.0, math.sin(0.3), 0.0, math.cos(0.3))  # 0.6 rad to the left
        self.measurement = Measurement(
            head=(0.0, 1.5, 0.0, 0.0, 0.0, 0.0, 1.0),
            left=(-0.2, 1.0, -0.3, *turn),
            right=(0.25, 1.1, -0.35, 0.0, 0.0, 0.0, 1.0),
        )
        self.frozen = False

    def change(self, **changes: Any) -> None:
        self.measurement = replace(self.measurement, **changes)

    def measure(self, seconds: float) -> Measurement:
        tremble = 1e-5 * math.sin(40 * seconds)
        now = self.measurement
        return replace(
            now,
            head=(now.head[0] + tremble, *now.head[1:]),
            left=now.left if self.frozen else (now.left[0] + tremble, *now.left[1:]),
            right=(now.right[0] + tremble, *now.right[1:]),
        )


@pytest.fixture
def headset() -> Headset:
    return Headset()


@pytest.fixture
def port() -> int:
    with socket.create_server(('127.0.0.1', 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def folder(tmp_path: Path, port: int) -> Path:
    """A working folder in which the SDK finds the service at `port`."""
    (tmp_path / 'PXREASetting.ini').write_text(f'[Client]\nconnectPort={port}\n')
    return tmp_path


@pytest.fixture
def readings(folder: Path, port: int, headset: Headset) -> Iterator[Iterator[dict]]:
    """What the device reads in a process of its own, where the SDK lives."""
    service = XrService(headset.measure, port)
    process = subprocess.Popen(
        [sys.executable, '-c', READER],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    alarm = threading.Timer(DEADLINE, process.kill)
    alarm.start()
    yield (json.loads(line) for line in process.stderr if line.startswith('{"'))
    alarm.cancel()
    process.kill()
    process.wait()
    service.close()


def presses(button: str, reading: dict) -> bool:
    return bool(reading['buttons'] == [button])


def first(readings: Iterator[dict], condition: Callable[[dict], bool]) -> dict:
    for reading in readings:
        if condition(reading):
            return reading
    pytest.fail('the reading that was waited for did not come')


def test_everything_the_headset_measures_arrives_in_the_axes_of_the_robot(
    headset: Headset, readings: Iterator[dict]
) -> None:
    headset.change(grips=(0.25, 0.75), triggers=(0.5, 1.0))
    before = time.time_ns()
    reading = first(readings, lambda r: r['values'] == [0.25, 0.5, 0.75, 1.0])
    assert abs(reading['stamp'] - before) < DEADLINE * 1e9
    head, left, right = (np.array(pose) for pose in reading['poses'])
    np.testing.assert_allclose(head[:3, 3], [0, 0, 1.5], atol=1e-4)
    np.testing.assert_allclose(left[:3, 3], [0.3, 0.2, 1.0], atol=1e-4)
    np.testing.assert_allclose(right[:3, 3], [0.35, -0.25, 1.1], atol=1e-4)
    np.testing.assert_allclose(right[:3, :3], np.eye(3), atol=1e-6)
    cosine, sine = math.cos(0.6), math.sin(0.6)
    np.testing.assert_allclose(left[:2, :2], [[cosine, -sine], [sine, cosine]], atol=1e-6)
    for button in BUTTONS:
        headset.change(buttons=frozenset({button}))
        first(readings, partial(presses, button))


def test_a_pose_that_is_lost_or_only_repeated_is_not_tracked(
    headset: Headset, readings: Iterator[dict]
) -> None:
    first(readings, lambda r: None not in r['poses'])
    headset.frozen = True
    first(readings, lambda r: r['poses'][1] is None and r['poses'][2] is not None)
    headset.frozen = False
    first(readings, lambda r: None not in r['poses'])
    headset.change(right=(0.0,) * 7)
    first(readings, lambda r: r['poses'][2] is None and r['poses'][1] is not None)


class Robot:
    """Joints and safety status as control_node publishes them, while an operator moves it."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self._node = rclpy.create_node('robot', context=self.context)
        self.targets: list[JointTrajectory] = []
        self.said: list[str] = []
        self.newest = ''
        self._node.create_subscription(
            JointTrajectory, 'teleop/joint_targets', self.targets.append, COMMAND
        )
        self._node.create_subscription(String, 'teleop/status', self._hear, STATUS)
        self._joints = self._node.create_publisher(JointState, 'joint_states', SENSOR_DATA)
        self._safety = self._node.create_publisher(SafetyStatus, 'control/safety_status', STATUS)
        self._node.create_timer(0.02, self._publish)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def _hear(self, message: String) -> None:
        self.said.append(message.data)
        self.newest = message.data

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join(DEADLINE)
        self._node.destroy_node()
        rclpy.shutdown(context=self.context)

    def _publish(self) -> None:
        names = list(ROBOT.action_joints)
        self._joints.publish(JointState(name=names, position=[float(v) for v in ROBOT.home]))
        self._safety.publish(
            SafetyStatus(
                mode=SafetyStatus.HOLD, text='HOLD', control_source=SafetyStatus.CONTROL_NOBODY
            )
        )

    def wait_until_said(self, text: str) -> float:
        """When it is heard [s, Unix], among what was said since the last such call."""
        wait_until(
            lambda: any(text in said for said in self.said),
            lambda: f'{text!r}; said: {self.said}',
        )
        self.said.clear()
        return time.time()

    def wait_until_ready(self) -> None:
        """Until teleop_node, with open grips, waits for one to be pressed."""
        wait_until(
            lambda: self.newest.startswith('ready'), lambda: f'ready; said last: {self.newest}'
        )

    def moved_since(self, moment: float) -> bool:
        """Whether targets were made after a moment [s, Unix], whenever they came."""
        return any(made(message) > moment for message in self.targets)


def made(message: JointTrajectory) -> float:
    """When teleop_node made the newest target of a message [s, Unix]."""
    return seconds(message.header.stamp) + seconds(message.points[-1].time_from_start) - LOOKAHEAD


@pytest.fixture
def robot() -> Iterator[Robot]:
    made = Robot()
    yield made
    made.close()


@pytest.fixture
def device(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The headset's node beside teleop_node; the SDK looks for the service in `folder`."""
    words = [sys.executable, '-m']
    teleop = subprocess.Popen([*words, 'g1_teleop.nodes.teleop_node'])
    process = subprocess.Popen(
        [*words, 'g1_teleop.nodes.xrobotoolkit_node'], cwd=folder, stdout=subprocess.DEVNULL
    )
    yield process
    for started in (process, teleop):
        started.kill()
        started.wait()


def test_the_robot_moves_only_while_a_headset_sends_and_after_silence_with_a_new_grip(
    device: subprocess.Popen[bytes], port: int, headset: Headset, robot: Robot
) -> None:
    def move(not_since: float = math.inf) -> None:
        """Presses the grip anew; until then nothing has moved since the moment named."""
        for _ in range(10):
            headset.change(grips=(0.0, 0.0))
            robot.wait_until_ready()
            assert not robot.moved_since(not_since)
            robot.targets.clear()
            headset.change(grips=(1.0, 0.0))
            end = time.monotonic() + DEADLINE / 10
            while len(robot.targets) < 10 and time.monotonic() < end:
                time.sleep(0.02)
            if len(robot.targets) >= 10:
                return
            not_since = math.inf
        pytest.fail(f'the arm does not move; said: {robot.said}')

    robot.wait_until_said(f'start the XRoboToolkit PC service: nobody answers at 127.0.0.1:{port}')
    service = XrService(headset.measure, port)
    service.asleep = True
    robot.wait_until_said('sends nothing; wake the headset')
    service.asleep = False
    robot.wait_until_said('ready')
    move()

    service.asleep = True
    stopped = robot.wait_until_said('stopped sending; wake the headset')
    time.sleep(SILENCE)
    service.asleep = False
    robot.wait_until_said('left hand waits; let go of its grip')
    move(not_since=stopped)

    service.close()
    stopped = robot.wait_until_said('stopped sending; start the XRoboToolkit PC service')
    time.sleep(SILENCE)
    service = XrService(headset.measure, port)
    robot.wait_until_said('left hand waits; let go of its grip')
    move(not_since=stopped)

    service.heartbeat = 1.0  # the SDK's own close never returns after such a one
    wait_until(lambda: service.late > 0, 'a heartbeat')
    device.send_signal(signal.SIGINT)
    assert device.wait(DEADLINE) == 0
    service.close()


def test_no_headset_is_said_and_ctrl_c_is_clean(
    device: subprocess.Popen[bytes], robot: Robot
) -> None:
    robot.wait_until_said('nothing moves: the device sends nothing; start the XRoboToolkit PC')
    device.send_signal(signal.SIGINT)
    assert device.wait(DEADLINE) == 0
    robot.wait_until_said('nothing moves: there is no device')
