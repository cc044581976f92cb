"""control_node between Unitree's SDK and a test: the processes, and the operator's end of ROS."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from dit4dit_msgs.msg import ActionChunk, SafetyStatus
from sensor_msgs.msg import Imu, JointState
from std_srvs.srv import Trigger

from g1_description import SIDES, load_robot
from g1_ros.config import config_path
from g1_ros.conversions import joint_trajectory
from g1_ros.qos import COMMAND, SENSOR_DATA, STATUS
from g1_ros.stamps import time_message_of
from g1_test_support.outside import Outside
from g1_test_support.processes import Program, module, node, parameter_words
from g1_test_support.waiting import DEADLINE

ROBOT = load_robot()
#: Parameters of control for a busy machine: that robot and control stutter ends in no reaction.
PATIENT: dict[str, Any] = {'missed_deadlines': 250, 'lowstate_stale': 0.5, 'lowstate_lost': 1.0}
_STEPS, _STEP = 16, 0.1  # targets a chunk, [s]


def sdk_robot(domain: int, *arguments: str) -> Program:
    """The robot of Unitree's SDK, ready; asked and answering in lines of JSON."""
    return answering('g1_fakes.sdk_robot', '--domain', str(domain), *arguments)


def answering(name: str, *arguments: str) -> Program:
    """A module that is asked and answers in lines of JSON, ready."""
    program = Program(module(name, *arguments))
    program.answer('ready')
    return program


class Control(Program):
    """control_node with its watchdog, which ends with it."""

    def __init__(self, words: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
        self.watchdog = watchdog_node()
        super().__init__(words, variables=variables)

    def end(self) -> None:
        """As Ctrl-C would."""
        super().end()
        self.watchdog.end()

    def kill(self) -> None:
        """At once; the watchdog hands the arms back before it ends."""
        super().kill()
        self.watchdog.end()


def watchdog_node() -> Program:
    """The watchdog of /arm_sdk, without which control_node does not arm."""
    return Program(node('g1_control.nodes.watchdog:main'))


def control_node(variables: Mapping[str, str] | None = None, **changes: object) -> Control:
    """control_node as its parameter files have it; `changes` are parameters.

    variables: of its environment, beside those of the test.
    """
    files = [str(config_path(name)) for name in ('control.yaml', 'safety.yaml', 'sim_world.yaml')]
    return Control(
        node(
            'g1_control.nodes.control_node:main',
            '--ros-args',
            *(word for file in files for word in ('--params-file', file)),
            *('-p', 'table_height:=-0.5'),  # the SDK's robot stands alone
            *parameter_words(changes),
        ),
        variables=variables,
    )


class Operator(Outside):
    """Grippers that are well, chunks on request, and what control_node says.

    grippers: False where a node of the test's drives them.
    """

    def __init__(self, domain: int | None = None, grippers: bool = True) -> None:
        super().__init__('operator', domain)
        self.statuses: list[SafetyStatus] = [SafetyStatus()]
        self.joint_states: list[JointState] = []
        self.imus: list[Imu] = []
        listen = self.node.create_subscription
        listen(SafetyStatus, 'control/safety_status', self.statuses.append, STATUS)
        listen(JointState, 'joint_states', self.joint_states.append, SENSOR_DATA)
        listen(Imu, 'imu', self.imus.append, SENSOR_DATA)
        self._chunks = self.node.create_publisher(ActionChunk, 'policy/action_chunk', COMMAND)
        self._grippers = [
            self.node.create_publisher(JointState, f'{side}_gripper/state', COMMAND)
            for side in SIDES
        ]
        if grippers:
            self.node.create_timer(0.02, self._publish_grippers)

    @property
    def status(self) -> SafetyStatus:
        """The newest one; an empty one before the first."""
        return self.statuses[-1]

    def context_of_failure(self) -> str:
        """What control said last."""
        return f'; {self.status}'

    def control(self, name: str) -> Trigger.Response:
        """Calls control/NAME."""
        return self.call(f'control/{name}')

    def arm(self) -> None:
        """Until the arms hold, armed; again where a busy computer has had them disarmed."""
        self.wait_for(lambda: self.joint_states, 'joint states', 1.5 * DEADLINE)

        def held() -> bool:
            if self.status.mode == SafetyStatus.DISARMED:
                self.control('arm')
            return bool(self.status.mode == SafetyStatus.HOLD)

        self.wait_for(held, 'the arms to be armed')

    def disarm(self) -> None:
        """Until they are."""
        assert self.control('disarm').success
        self.wait_for_mode(SafetyStatus.DISARMED)

    def send(self, motion: Callable[[float], np.ndarray]) -> None:
        """A chunk from now on; `motion` gives the targets (16,) at a time [s]."""
        now = self.now()
        times = _STEP * np.arange(_STEPS)
        trajectory = joint_trajectory(
            time_message_of(now), ROBOT.action_joints, [motion(now + t) for t in times], times
        )
        self._chunks.publish(ActionChunk(header=trajectory.header, trajectory=trajectory))

    def wait_for_reason(self, reason: int) -> None:
        """Until control gives this reason."""
        self.wait_for(lambda: self.status.reason == reason, f'reason {reason}')

    def wait_for_mode(self, mode: int) -> None:
        """Until control is in this mode."""
        self.wait_for(lambda: self.status.mode == mode, f'mode {mode}')

    def _publish_grippers(self) -> None:
        for publisher, name in zip(self._grippers, ROBOT.gripper_joints, strict=True):
            publisher.publish(JointState(name=[name], position=[0.02], velocity=[0.0]))
