"""teleop_node: with hands that move, and with no headset at all."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from dit4dit_msgs.msg import SafetyStatus
from geometry_msgs.msg import PoseArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.serialization import serialize_message
from rclpy.time import Time
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from g1_data.raw_log import RawLog
from g1_description import load_robot
from g1_ros.qos import COMMAND, SENSOR_DATA, STATUS
from g1_teleop.devices import BUTTONS, HandInput, OperatorInput
from g1_teleop.messages import hands_message, inputs_message
from g1_teleop.nodes import teleop_node

ROBOT = load_robot()
DEADLINE = 20.0  # [s]
SERVICES = ('recorder/start', 'recorder/save', 'recorder/discard', 'control/estop')
NAMES = {
    SafetyStatus.DISARMED: 'DISARMED',
    SafetyStatus.HOLD: 'HOLD',
    SafetyStatus.ESTOP: 'ESTOP',
}


class FakeHeadset:
    """The left hand moves forward at 5 cm/s until `stopped`; grip and buttons as a test sets."""

    silence_help = 'plug it in'

    def __init__(self) -> None:
        self.stopped = False
        self.grip = 0.0
        self.buttons: frozenset[str] = frozenset()
        self.tracked = True
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
        left = HandInput(pose if self.tracked else None, self.grip, 0.0)
        return OperatorInput(now, left, HandInput(None, 0.0, 0.0), buttons=self.buttons)


class Robot:
    """Spins the node beside a robot: joint states, safety status, and the services it may call."""

    def __init__(self, services: tuple[str, ...] = SERVICES, **parameters: object) -> None:
        given = [f'{name}:={value}' for name, value in parameters.items()]
        rclpy.init(args=['--ros-args', *(text for one in given for text in ('-p', one))])
        self.node = teleop_node.TeleopNode()
        self.headset = self.node.device
        self.targets: list[JointTrajectory] = []
        self.hands: list[PoseArray] = []
        self.inputs: list[Joy] = []
        self.said: list[str] = []
        self.called: list[str] = []
        self.mode = SafetyStatus.HOLD
        self._robot = rclpy.create_node('robot')
        for kind, topic, heard, qos in (
            (JointTrajectory, 'teleop/joint_targets', self.targets.append, COMMAND),
            (PoseArray, 'teleop/hands', self.hands.append, SENSOR_DATA),
            (Joy, 'teleop/inputs', self.inputs.append, SENSOR_DATA),
            (String, 'teleop/status', lambda message: self.said.append(message.data), STATUS),
        ):
            self._robot.create_subscription(kind, topic, heard, qos)
        for name in services:
            self.serve(name)
        self._joints = self._robot.create_publisher(JointState, 'joint_states', SENSOR_DATA)
        self._safety = self._robot.create_publisher(SafetyStatus, 'control/safety_status', STATUS)
        self._robot.create_timer(0.02, self._publish)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._executor.add_node(self._robot)

    def serve(self, name: str) -> None:
        def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            self.called.append(name)
            response.success, response.message = True, f'{name} is done'
            return response

        self._robot.create_service(Trigger, name, answer)

    def _publish(self) -> None:
        names = list(ROBOT.action_joints)
        self._joints.publish(JointState(name=names, position=[float(v) for v in ROBOT.home]))
        self._safety.publish(SafetyStatus(mode=self.mode, text=NAMES[self.mode]))

    def press(self, button: str) -> None:
        """Presses a button and lets it go, as soon as the node has read each."""
        for pressed in (frozenset({button}), frozenset()):
            self.headset.buttons = pressed
            held = tuple(int(name in pressed) for name in BUTTONS)
            self.spin_until_read(lambda message, held=held: tuple(message.buttons) == held)

    def spin_until_read(self, condition: Callable[[Joy], bool]) -> None:
        self.inputs.clear()
        self.spin_until(lambda: any(map(condition, self.inputs)), 'a reading')

    def spin_until_said(self, text: str) -> None:
        self.spin_until(lambda: any(text in said for said in self.said), text)

    def move(self) -> None:
        """Presses the grip anew, until the arm moves."""
        self.targets.clear()
        self.move_until(lambda: len(self.targets) > 5, 'targets')

    def move_until(self, condition: Callable[[], bool], what: str) -> None:
        """Presses the grip anew until then, as where the computer is busy the node may let go."""
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, f'waited too long for {what!r}; last: {self.said[-3:]}'
            self.headset.grip = 0.0
            self.spin_until_read(lambda message: message.axes[0] == 0)
            self.spin_until(lambda: self.node._said.startswith('ready'), 'ready')
            self.headset.grip = 1.0
            patience = time.monotonic() + 2
            while not condition() and time.monotonic() < patience:
                self._executor.spin_once(timeout_sec=0.05)

    def assert_rests(self) -> None:
        """No target comes, though the grip is pressed."""
        self.spin_for(0.3)
        self.targets.clear()
        self.spin_for(0.4)
        assert self.headset.grip == 1.0
        assert self.targets == []

    def spin_until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, f'waited too long for {what!r}; last: {self.said[-3:]}'
            self._executor.spin_once(timeout_sec=0.05)

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
def make_robot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Robot]]:
    monkeypatch.setattr(teleop_node, 'XRoboToolkit', FakeHeadset)
    made: list[Robot] = []

    def make(*services: str, **parameters: object) -> Robot:
        made.append(Robot(services, **parameters))
        return made[0]

    yield make
    made[0].close()


@pytest.fixture
def robot(make_robot: Callable[..., Robot]) -> Robot:
    return make_robot(*SERVICES)


def test_the_device_is_closed_with_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teleop_node, 'XRoboToolkit', FakeHeadset)
    robot = Robot()
    robot.close()
    assert robot.headset.closed


def test_a_gripped_hand_sends_targets_that_start_where_the_robot_is(robot: Robot) -> None:
    robot.spin_for(0.5)
    assert robot.targets == []
    robot.move()
    first = robot.targets[0]
    assert list(first.joint_names) == list(ROBOT.action_joints)
    np.testing.assert_allclose(first.points[0].positions, ROBOT.home, atol=0.01)
    times = [p.time_from_start.sec + p.time_from_start.nanosec * 1e-9 for p in first.points]
    assert times == sorted(set(times))
    assert 0 < times[-1] < 0.15  # the newest target is due soon

    def moved(joints: slice) -> float:
        return float(
            np.abs(np.subtract(robot.targets[-1].points[-1].positions, ROBOT.home))[joints].max()
        )

    robot.move_until(lambda: moved(slice(0, 7)) > 0.02, 'motion of the left arm')
    assert moved(slice(7, 14)) < 1e-6


def test_every_measurement_goes_out_once_for_the_recorder(robot: Robot) -> None:
    robot.headset.grip = 0.3
    robot.spin_until(lambda: len(robot.inputs) > 20 and len(robot.hands) > 20, 'hands and inputs')
    hands, inputs = robot.hands[-1], robot.inputs[-1]
    head, left, right = hands.poses
    assert hands.header.stamp in [message.header.stamp for message in robot.inputs]
    assert left.position.x > 0
    assert left.orientation.w == pytest.approx(1)
    for lost in (head, right):
        assert lost.orientation.w == 0
    assert list(inputs.axes) == pytest.approx([0.3, 0, 0, 0])
    assert list(inputs.buttons) == [0] * len(BUTTONS)
    robot.headset.stopped = True
    robot.spin_for(0.2)
    count = len(robot.hands)
    robot.spin_for(0.2)
    assert len(robot.hands) == count


def test_a_device_that_stops_sending_stops_the_targets_until_the_grip_is_pressed_anew(
    robot: Robot,
) -> None:
    robot.move()
    robot.headset.stopped = True
    robot.assert_rests()
    assert 'nothing moves: device xrobotoolkit stopped sending; plug it in' in robot.said
    robot.headset.stopped = False
    robot.assert_rests()
    robot.move()


@pytest.mark.parametrize(
    ('mode', 'told'),
    [
        (SafetyStatus.DISARMED, 'control is DISARMED; arm with: g1 arm'),
        (SafetyStatus.ESTOP, 'control is ESTOP; when it is safe: g1 reset, then g1 arm'),
    ],
)
def test_hands_are_let_go_while_control_has_no_arms(robot: Robot, mode: int, told: str) -> None:
    robot.move()
    robot.mode = mode
    robot.spin_until_said(told)
    robot.mode = SafetyStatus.HOLD
    robot.assert_rests()
    robot.move()


def test_a_lost_controller_is_said_and_holds_until_a_new_grip(robot: Robot) -> None:
    robot.move()
    robot.headset.tracked = False
    lost = 'left controller is not tracked'
    robot.move_until(lambda: any(text.startswith(lost) for text in robot.said), lost)
    robot.headset.tracked = True
    robot.assert_rests()
    robot.move()


def test_a_control_that_holds_on_is_said(robot: Robot) -> None:
    robot.move_until(lambda: 'control does not follow: HOLD' in robot.said, 'what control does')


def test_pause_lets_go_until_the_next_press_and_a_new_grip(robot: Robot) -> None:
    robot.move()
    robot.press('Y')
    robot.spin_until_said('nothing moves: paused; press Y to go on')
    robot.assert_rests()
    robot.press('Y')
    robot.assert_rests()
    assert 'left hand waits; let go of its grip, then press it again' in robot.said
    robot.move()


def test_buttons_call_the_recorder_once_a_press_and_tell_its_answer(robot: Robot) -> None:
    robot.spin_until(lambda: robot.node._said.startswith('ready'), 'ready')
    robot.press('A')
    robot.spin_until_said('start: recorder/start is done')
    robot.press('B')
    robot.spin_until_said('save: recorder/save is done')
    robot.headset.buttons = frozenset({'X'})
    robot.spin_until_said('discard: recorder/discard is done')
    robot.spin_for(0.3)
    assert robot.called == ['recorder/start', 'recorder/save', 'recorder/discard']


def test_the_estop_needs_neither_tracking_nor_recorder_and_lets_go(
    make_robot: Callable[..., Robot],
) -> None:
    robot = make_robot('control/estop')
    robot.move()
    robot.headset.tracked = False
    robot.press('right_stick')
    robot.spin_until(lambda: robot.called == ['control/estop'], 'the e-stop')
    robot.spin_until_said('estop: control/estop is done')
    robot.headset.tracked = True
    robot.assert_rests()
    robot.press('A')
    robot.spin_until_said('cannot start: there is no recorder/start; is recorder_node running?')


def test_an_estop_without_control_is_said_and_goes_out_when_it_is_back(
    make_robot: Callable[..., Robot],
) -> None:
    robot = make_robot()
    robot.spin_until(lambda: robot.node._said.startswith('ready'), 'ready')
    robot.press('right_stick')
    robot.spin_until_said('E-STOP NOT DONE: there is no control/estop')
    robot.serve('control/estop')
    robot.spin_until(lambda: robot.called == ['control/estop'], 'the e-stop')


def test_a_recorded_operator_waits_for_the_arms_and_ends_in_a_hold(
    make_robot: Callable[..., Robot], tmp_path: Path
) -> None:
    kinds = {'/teleop/hands': hands_message, '/teleop/inputs': inputs_message}
    types = {
        '/teleop/hands': 'geometry_msgs/msg/PoseArray',
        '/teleop/inputs': 'sensor_msgs/msg/Joy',
    }
    with RawLog(tmp_path / 'raw', types, {}) as log:
        for k in range(360):  # 4 s; the grip is pressed anew twice a second
            pose = np.eye(4)
            pose[0, 3] = k / 3600
            left = HandInput(pose, float(k % 45 > 5), 0.0)
            operator = OperatorInput(k, left, HandInput(None, 0.0, 0.0))
            stamp = Time(nanoseconds=10**18 + k * 10**9 // 90)
            for topic, message in kinds.items():
                data = serialize_message(message(operator, stamp.to_msg()))
                log.add(topic, stamp.nanoseconds, data)

    robot = make_robot(device='replay', replay_file=tmp_path / 'raw')
    robot.mode = SafetyStatus.DISARMED
    robot.spin_until_said('control is DISARMED')
    assert robot.targets == []
    robot.mode = SafetyStatus.HOLD
    robot.spin_until(lambda: len(robot.targets) > 20, 'targets')
    robot.spin_until_said('device replay stopped sending; the recording is over')
    robot.spin_for(0.3)
    robot.targets.clear()
    robot.spin_for(0.3)
    assert robot.targets == []


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
        if 'nothing moves: device xrobotoolkit sends nothing; start the XRoboToolkit PC' in line:
            break
    else:
        pytest.fail('never said that there is no headset')
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE) == 0


@pytest.mark.parametrize(
    ('parameter', 'value', 'refusal'),
    [
        ('button_save', 'Q', 'button_save: expected str one of: A, B, X, Y, left_menu,'),
        ('button_save', 'A', 'button_start and button_save: expected a button each, got A'),
        ('device', 'kinect', 'device: expected str one of: xrobotoolkit,'),
    ],
)
def test_what_cannot_be_is_refused_at_start(parameter: str, value: str, refusal: str) -> None:
    done = subprocess.run(
        [
            *(sys.executable, '-m', 'g1_teleop.nodes.teleop_node'),
            *('--ros-args', '-p', f'{parameter}:={value}'),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert refusal in done.stderr
