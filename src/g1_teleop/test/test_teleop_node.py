"""teleop_node beside a device whose hands move, and beside none."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import rclpy
from dit4dit_msgs.msg import SafetyStatus
from geometry_msgs.msg import PoseArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from g1_description import load_robot
from g1_ros.operator import HandInput, OperatorInput, OperatorPublisher
from g1_ros.qos import EVERY_COMMAND, EVERY_STATUS, SENSOR_DATA, STATUS
from g1_teleop.nodes.teleop_node import TeleopNode
from g1_test_support.waiting import DEADLINE, wait_until

ROBOT = load_robot()

SERVICES = ('recorder/start', 'recorder/save', 'recorder/discard', 'control/estop')
NAMES = {
    SafetyStatus.DISARMED: 'DISARMED',
    SafetyStatus.HOLD: 'HOLD',
    SafetyStatus.ESTOP: 'ESTOP',
}


class Headset:
    """A device: the left hand moves forward at 5 cm/s, until `stopped`; the rest as a test sets."""

    def __init__(self, node: Node) -> None:
        self.stopped = False
        self.grip = 0.0
        self.buttons: frozenset[str] = frozenset()
        self.tracked = True
        self._publisher = OperatorPublisher(node)
        self._publisher.say('plug it in')
        self._node = node
        node.create_timer(1 / 90, self._measure)

    def _measure(self) -> None:
        if self.stopped:
            return
        pose = np.eye(4)
        pose[0, 3] = 0.05 * time.monotonic()
        left = HandInput(pose if self.tracked else None, self.grip, 0.0)
        stamp = self._node.get_clock().now().nanoseconds
        self._publisher.publish(
            OperatorInput(stamp, left, HandInput(None, 0.0, 0.0), buttons=self.buttons)
        )


class Robot:
    """Spins the node beside a robot and a headset, with the services that the node may call."""

    def __init__(self, services: tuple[str, ...] = SERVICES, headset: bool = True) -> None:
        rclpy.init()
        self.node = TeleopNode()
        self.targets: list[JointTrajectory] = []
        self.inputs: list[Joy] = []
        self.said: list[str] = []
        self.called: list[str] = []
        self.mode = SafetyStatus.HOLD
        self._robot = rclpy.create_node('robot')
        for kind, topic, heard, qos in (
            (JointTrajectory, 'teleop/joint_targets', self.targets.append, EVERY_COMMAND),
            (Joy, 'teleop/inputs', self.inputs.append, SENSOR_DATA),
            (String, 'teleop/status', lambda message: self.said.append(message.data), EVERY_STATUS),
        ):
            self._robot.create_subscription(kind, topic, heard, qos)
        for name in services:
            self.serve(name)
        self.headset = Headset(self._robot) if headset else None
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

    def publish_foreign_hands(self) -> None:
        """Hands without a head, again and again."""
        hands = self._robot.create_publisher(PoseArray, 'teleop/hands', SENSOR_DATA)
        inputs = self._robot.create_publisher(Joy, 'teleop/inputs', SENSOR_DATA)

        def publish() -> None:
            stamp = self._robot.get_clock().now().to_msg()
            for kind, publisher in ((PoseArray, hands), (Joy, inputs)):
                message = kind()
                message.header.stamp = stamp
                publisher.publish(message)

        self._robot.create_timer(0.02, publish)

    def publish_foreign_joint_states(self) -> None:
        """Names without positions, other joints, and nothing at all, again and again."""
        messages = (
            JointState(name=list(ROBOT.action_joints)),
            JointState(name=['wheel'], position=[1.0]),
            JointState(),
        )

        def publish() -> None:
            for message in messages:
                self._joints.publish(message)

        self._robot.create_timer(0.02, publish)

    def press(self, button: str, answer: str) -> None:
        """Holds a button until the node answers, as a busy one may miss a short press."""
        heard = len(self.said)
        self.headset.buttons = frozenset({button})
        self.spin_until(lambda: any(answer in said for said in self.said[heard:]), answer)
        self.headset.buttons = frozenset()
        self.spin_until_read(lambda message: not any(message.buttons))

    def spin_until_read(self, condition: Callable[[Joy], bool]) -> None:
        self.inputs.clear()
        self.spin_until(lambda: any(map(condition, self.inputs)), 'a reading')

    def spin_until_said(self, text: str) -> None:
        self.spin_until(lambda: any(text in said for said in self.said), text)

    def spin_until_ready(self) -> None:
        self.spin_until(lambda: bool(self.said) and self.said[-1].startswith('ready'), 'ready')

    def move(self) -> None:
        """Presses the grip anew, until the arm moves."""
        self.targets.clear()
        self.move_until(lambda: len(self.targets) > 5, 'targets')

    def move_until(self, condition: Callable[[], bool], what: str) -> None:
        """Presses the grip anew until then, as where the computer is busy the node may let go."""

        def press_anew() -> None:
            self.headset.grip = 0.0
            self.spin_until_read(lambda message: message.axes[0] == 0)
            self.spin_until_ready()
            self.headset.grip = 1.0
            patience = time.monotonic() + 2
            while not condition() and time.monotonic() < patience:
                self._executor.spin_once(timeout_sec=0.05)

        self._wait(condition, what, press_anew)

    def spin_until_rest(self) -> None:
        """Until no more targets come; on a busy computer some are still on their way."""

        def still() -> bool:
            self.targets.clear()
            self.spin_for(0.4)
            return not self.targets

        self.spin_until(still, 'no more targets')

    def assert_rests(self) -> None:
        """No target comes, though the grip is pressed."""
        self.spin_for(0.7)
        assert self.headset.grip == 1.0
        assert self.targets == []

    def spin_until(self, condition: Callable[[], bool], what: str) -> None:
        self._wait(condition, what, lambda: self._executor.spin_once(timeout_sec=0.05))

    def _wait(self, condition: Callable[[], bool], what: str, act: Callable[[], object]) -> None:
        wait_until(condition, lambda: f'{what!r}; last: {self.said[-3:]}', DEADLINE, act)

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
def make_robot() -> Iterator[Callable[..., Robot]]:
    made: list[Robot] = []

    def make(*services: str, headset: bool = True) -> Robot:
        made.append(Robot(services, headset))
        return made[0]

    yield make
    made[0].close()


@pytest.fixture
def robot(make_robot: Callable[..., Robot]) -> Robot:
    return make_robot(*SERVICES)


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


def test_a_device_that_stops_sending_stops_the_targets_until_the_grip_is_pressed_anew(
    robot: Robot,
) -> None:
    robot.move()
    robot.headset.stopped = True
    robot.spin_until_said('nothing moves: the device stopped sending; plug it in')
    robot.spin_until_rest()
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
    robot.spin_until_rest()
    robot.mode = SafetyStatus.HOLD
    robot.assert_rests()
    robot.move()


def test_a_lost_controller_is_said_and_holds_until_a_new_grip(robot: Robot) -> None:
    robot.move()
    robot.headset.tracked = False
    lost = 'left controller is not tracked'
    robot.move_until(lambda: robot.said[-1].startswith(lost), lost)  # of the newest grip
    robot.spin_until_rest()
    robot.headset.tracked = True
    robot.assert_rests()
    robot.move()


def test_a_control_that_holds_on_is_said(robot: Robot) -> None:
    robot.move_until(lambda: 'control does not follow: HOLD' in robot.said, 'what control does')


def test_pause_lets_go_until_the_next_press_and_a_new_grip(robot: Robot) -> None:
    robot.move()
    robot.press('Y', 'nothing moves: paused; press Y to go on')
    robot.spin_until_rest()
    robot.press('Y', 'left hand waits; let go of its grip, then press it again')
    robot.assert_rests()
    robot.move()


def test_buttons_call_the_recorder_once_a_press_and_tell_its_answer(robot: Robot) -> None:
    robot.spin_until_ready()
    robot.press('A', 'start: recorder/start is done')
    robot.press('B', 'save: recorder/save is done')
    robot.press('X', 'discard: recorder/discard is done')
    robot.spin_for(0.3)
    assert robot.called == ['recorder/start', 'recorder/save', 'recorder/discard']


def test_the_estop_needs_neither_tracking_nor_recorder_and_lets_go(
    make_robot: Callable[..., Robot],
) -> None:
    robot = make_robot('control/estop')
    robot.move()
    robot.headset.tracked = False
    robot.press('right_stick', 'estop: control/estop is done')
    assert robot.called == ['control/estop']
    robot.spin_until_rest()
    robot.headset.tracked = True
    robot.assert_rests()
    robot.press('A', 'cannot start: there is no recorder/start; is recorder_node running?')


def test_an_estop_without_control_is_said_and_goes_out_when_it_is_back(
    make_robot: Callable[..., Robot],
) -> None:
    robot = make_robot()
    robot.spin_until_ready()
    robot.press('right_stick', 'E-STOP NOT DONE: there is no control/estop')
    robot.serve('control/estop')
    robot.spin_until(lambda: robot.called == ['control/estop'], 'the e-stop')


def test_without_a_device_it_is_said_how_to_start_one(make_robot: Callable[..., Robot]) -> None:
    robot = make_robot(*SERVICES, headset=False)
    robot.spin_until_said('nothing moves: there is no device; start one, as with device:=')


def test_messages_that_are_of_no_operator_are_said_and_move_nothing(
    make_robot: Callable[..., Robot],
) -> None:
    robot = make_robot(*SERVICES, headset=False)
    robot.publish_foreign_hands()
    robot.spin_until_said('teleop/hands and teleop/inputs are not those of an operator: expected 3')
    assert robot.targets == []


def test_foreign_joint_states_do_no_harm(robot: Robot) -> None:
    robot.publish_foreign_joint_states()
    robot.move()


@pytest.mark.parametrize(
    ('parameter', 'value', 'refusal'),
    [
        ('button_save', 'Q', 'button_save: expected str one of: A, B, X, Y, left_menu,'),
        ('button_save', 'A', 'button_start and button_save: expected a button each, got A'),
        ('rate', '10.0', 'rate: expected float from 100.0 to 250.0'),
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
