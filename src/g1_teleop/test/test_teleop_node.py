"""teleop_node: with hands that move, and with no headset at all."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseArray
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState, Joy
from trajectory_msgs.msg import JointTrajectory

from g1_description import load_robot
from g1_node.qos import COMMAND, SENSOR_DATA
from g1_teleop.devices import BUTTONS, HandInput, OperatorInput
from g1_teleop.nodes import teleop_node

ROBOT = load_robot()
DEADLINE = 20.0  # [s]


class FakeHeadset:
    """The left hand moves forward at 5 cm/s with its grip pressed, until `stopped`."""

    silence_help = 'plug it in'

    def __init__(self) -> None:
        self.stopped = False
        self.grip = 0.0
        self.closed = False
        self._read = self._sample()

    def read(self) -> OperatorInput:
        if not self.stopped:
            self._read = self._sample()
        return self._read

    def close(self) -> None:
        self.closed = True

    def _sample(self) -> OperatorInput:
        now = time.monotonic_ns()
        pose = np.eye(4)
        pose[0, 3] = 0.05 * now * 1e-9
        return OperatorInput(
            now, HandInput(pose, getattr(self, 'grip', 0.0), 0.0), HandInput(None, 0.0, 0.0)
        )


class Robot:
    """Spins the node and a robot that publishes its joints and listens."""

    def __init__(self) -> None:
        rclpy.init()
        self.node = teleop_node.TeleopNode()
        self.messages: list[JointTrajectory] = []
        self._robot = rclpy.create_node('robot')
        self._robot.create_subscription(
            JointTrajectory, 'teleop/joint_targets', self.messages.append, COMMAND
        )
        self.hands: list[PoseArray] = []
        self.inputs: list[Joy] = []
        self._robot.create_subscription(PoseArray, 'teleop/hands', self.hands.append, SENSOR_DATA)
        self._robot.create_subscription(Joy, 'teleop/inputs', self.inputs.append, SENSOR_DATA)
        publisher = self._robot.create_publisher(JointState, 'joint_states', SENSOR_DATA)
        message = JointState(
            name=list(ROBOT.chunk_joints), position=[float(value) for value in ROBOT.home]
        )
        self._robot.create_timer(0.02, lambda: publisher.publish(message))
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._executor.add_node(self._robot)

    def spin_until(self, condition: object) -> None:
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, 'waited too long'
            self._executor.spin_once(timeout_sec=0.05)

    def grip(self) -> None:
        """Presses the left grip once joint states have come."""
        self.spin_until(lambda: self.node._said.startswith('ready'))
        self.node.device.grip = 1.0

    def spin_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.01)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self._robot.destroy_node()
        rclpy.shutdown()


@pytest.fixture
def robot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Robot]:
    monkeypatch.setattr(teleop_node, 'XRoboToolkit', FakeHeadset)
    spun = Robot()
    yield spun
    spun.close()
    assert spun.node.device.closed


def test_a_gripped_hand_sends_targets_that_start_where_the_robot_is(robot: Robot) -> None:
    robot.spin_for(0.5)
    assert robot.messages == []
    robot.grip()
    robot.spin_until(lambda: len(robot.messages) > 60)
    first, last = robot.messages[0], robot.messages[-1]
    assert list(first.joint_names) == list(ROBOT.chunk_joints)
    np.testing.assert_allclose(first.points[0].positions, ROBOT.home, atol=0.01)
    times = [p.time_from_start.sec + p.time_from_start.nanosec * 1e-9 for p in first.points]
    assert times == sorted(set(times))
    assert np.abs(np.subtract(last.points[-1].positions, ROBOT.home))[:7].max() > 0.02
    assert np.abs(np.subtract(last.points[-1].positions, ROBOT.home))[7:14].max() < 1e-6
    assert times[-1] == pytest.approx(0.1, abs=0.05)  # the newest target is due then


def test_every_measurement_goes_out_once_for_the_recorder(robot: Robot) -> None:
    robot.node.device.grip = 0.3
    robot.spin_until(lambda: len(robot.inputs) > 20 and len(robot.hands) > 20)
    hands, inputs = robot.hands[-1], robot.inputs[-1]
    head, left, right = hands.poses
    assert hands.header.stamp in [message.header.stamp for message in robot.inputs]
    assert left.position.x > 0
    assert left.orientation.w == pytest.approx(1)
    for lost in (head, right):
        assert lost.orientation.w == 0
    assert list(inputs.axes) == pytest.approx([0.3, 0, 0, 0])
    assert len(inputs.buttons) == len(BUTTONS)
    robot.node.device.stopped = True
    robot.spin_for(0.2)
    count = len(robot.hands)
    robot.spin_for(0.2)
    assert len(robot.hands) == count


def test_a_device_that_stops_sending_stops_the_targets(
    robot: Robot, capfd: pytest.CaptureFixture[str]
) -> None:
    robot.grip()
    robot.spin_until(lambda: len(robot.messages) > 10)
    robot.node.device.stopped = True
    robot.spin_for(0.5)
    robot.messages.clear()
    robot.spin_for(0.5)
    assert robot.messages == []
    output = ''.join(capfd.readouterr())
    assert output.count('the headset stopped sending, nothing moves; plug it in') == 1
    robot.node.device.stopped = False  # the grip is still pressed: it has to be let go first
    robot.spin_for(0.3)
    assert robot.messages == []


def test_no_headset_is_said_and_ctrl_c_is_clean() -> None:
    pytest.importorskip('xrobotoolkit_sdk')
    process = subprocess.Popen(
        [sys.executable, '-u', '-m', 'g1_teleop.nodes.teleop_node'],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if 'the headset sends nothing, nothing moves; start the XRoboToolkit PC service' in line:
            break
    else:
        pytest.fail('never said that there is no headset')
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE) == 0
