"""teleop_node beside a robot and a headset that a test moves."""

import time
from collections.abc import Callable

import numpy as np
import rclpy
from dit4dit_msgs.msg import EpisodeStatus, SafetyStatus
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

_READY = ('ready', 'the policy has the arms')
_SILENT = 'nothing moves: the device stopped sending'
SERVICES = (
    'recorder/start',
    'recorder/save',
    'recorder/discard',
    'recorder/pause',
    'recorder/resume',
    'recorder/keep',
    'control/estop',
    'control/give_back',
)
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
        self.source = SafetyStatus.CONTROL_NOBODY
        self.speed = 0.0  # [rad/s] of every joint of the arms
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
        self._recorder = self._robot.create_publisher(EpisodeStatus, 'recorder/status', STATUS)
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

    def say_recording(self) -> None:
        """From now on an episode is being recorded."""
        self._recorder.publish(EpisodeStatus(state=EpisodeStatus.RECORDING))

    def _publish(self) -> None:
        names = list(ROBOT.action_joints)
        velocity = [self.speed] * 14 + [0.0] * 2
        self._joints.publish(
            JointState(name=names, position=ROBOT.home.tolist(), velocity=velocity)
        )
        status = SafetyStatus(mode=self.mode, text=NAMES[self.mode], control_source=self.source)
        self._safety.publish(status)

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
        """Holds a button until the node answers, as a busy one may miss a short press.

        Presses it anew where the node meanwhile heard nothing and so forgot what is held.
        """
        began, calls = len(self.said), len(self.called)

        def told(text: str, since: int) -> bool:
            return any(text in said for said in self.said[since:])

        def forgotten(heard: int) -> bool:
            return told(_SILENT, heard) and len(self.called) == calls

        def press_anew() -> None:
            heard = len(self.said)
            self.headset.buttons = frozenset({button})
            self.spin_until(lambda: told(answer, began) or forgotten(heard), answer)
            self.headset.buttons = frozenset()
            self.spin_until_read(lambda message: not any(message.buttons))

        self._wait(lambda: told(answer, began), answer, press_anew)

    def spin_until_read(self, condition: Callable[[Joy], bool]) -> None:
        self.inputs.clear()
        self.spin_until(lambda: any(map(condition, self.inputs)), 'a reading')

    def spin_until_said(self, text: str) -> None:
        self.spin_until(lambda: any(text in said for said in self.said), text)

    def spin_until_ready(self) -> None:
        self.spin_until(lambda: bool(self.said) and self.said[-1].startswith(_READY), 'ready')

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
