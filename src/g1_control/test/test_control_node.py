"""control_node as a process of its own, against a fake robot that speaks the wire."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dit4dit_msgs.msg import SafetyStatus
from sensor_msgs.msg import JointState
from unitree_hg.msg import LowCmd as LowCmdMessage
from unitree_hg.msg import LowState as LowStateMessage

from g1_control.unitree import ARM_MOTORS, LowCmd, LowState
from g1_control.watchdog import RAMP
from g1_ros.qos import COMMAND, NEWEST_SENSOR_DATA, STREAM
from g1_test_support.outside import Outside
from g1_test_support.processes import parameter_words, python
from g1_test_support.sdk_robot import PATIENT, ROBOT, Control, Operator, control_node, watchdog_node


class FakeRobot(Operator):
    """Publishes /lowstate too, follows /arm_sdk perfectly, keeps all it gets."""

    def __init__(self, domain: int) -> None:
        super().__init__(domain)
        self.state = LowState()
        self.state.mode_machine = 5
        self.state.q[ARM_MOTORS] = ROBOT.home[:14]
        self.commands: list[LowCmd] = []
        self.sent: list[float] = []  # when the commands were [s since 1970]
        self.gripper_commands: list[float] = []
        listen: Any = self.node.create_subscription
        listen(LowCmdMessage, 'arm_sdk', self._on_command, STREAM, raw=True)
        listen(
            JointState,
            'right_gripper/command',
            self._on_gripper_command,
            COMMAND,
        )
        self._lowstate = self.node.create_publisher(LowStateMessage, 'lowstate', NEWEST_SENSOR_DATA)
        self.node.create_timer(0.005, self._publish_lowstate)

    def arm(self) -> None:
        """Until the commands say so too: to a busy computer they come after the status."""
        super().arm()
        self.wait_for(lambda: self.commands[-1].weight == 1.0, 'commands of armed arms')

    def _publish_lowstate(self) -> None:
        self.state.tick += 5
        self._lowstate.publish(self.state.to_bytes())

    def _on_gripper_command(self, message: JointState) -> None:
        self.gripper_commands.append(message.position[0])

    def _on_command(self, data: bytes, info: dict[str, int]) -> None:
        command = LowCmd()
        command.load(data)
        self.commands.append(command)
        self.sent.append(info['source_timestamp'] * 1e-9)
        if command.weight == 1.0:
            self.state.q[ARM_MOTORS] = command.q[ARM_MOTORS]


@pytest.fixture
def robot(ros_domain: int) -> Iterator[FakeRobot]:
    robot = FakeRobot(ros_domain)
    yield robot
    robot.close()


@pytest.fixture
def control(ros_domain: int) -> Iterator[Control]:
    control = control_node(**PATIENT)
    yield control
    control.kill()


#: [s] by which a command may be sent later than it was due, where the computer is busy.
LATE = 0.15


def still(_time: float) -> np.ndarray:
    return ROBOT.home


def weights_since(robot: FakeRobot, moment: float) -> tuple[np.ndarray, np.ndarray]:
    """(N,) when commands were sent after `moment` [s], and (N,) their weights."""
    heard = zip(robot.sent, robot.commands, strict=False)  # the robot listens on
    found = sorted((at - moment, command.weight) for at, command in heard if at > moment)
    return np.array([at for at, _ in found]), np.array([weight for _, weight in found])


def assert_the_weight_only_ramped(robot: FakeRobot) -> None:
    sent, weights = weights_since(robot, 0.0)
    assert weights.max() == 1.0
    assert (np.abs(np.diff(weights)) <= (np.diff(sent) + LATE) / 1.5).all()


def test_it_arms_follows_refuses_a_bad_chunk_and_hands_back(robot, control):
    robot.wait_for(lambda: robot.joint_states, 'joint states')
    assert robot.joint_states[-1].name == list(ROBOT.state_joints)
    np.testing.assert_allclose(robot.joint_states[-1].position[15:29], ROBOT.home[:14], atol=1e-6)
    robot.send(still)
    robot.wait_for(lambda: robot.status.text and robot.status.watchdog_age >= 0, 'the watchdog')
    assert robot.control('arm').success
    robot.wait_for_mode(SafetyStatus.HOLD)
    assert robot.commands[0].weight < 0.05
    assert all(command.crc_ok for command in robot.commands)
    assert all(command.mode_machine == 5 for command in robot.commands)
    arms = np.array([command.q[ARM_MOTORS] for command in robot.commands])
    np.testing.assert_allclose(arms, np.tile(ROBOT.home[:14], (len(arms), 1)), atol=1e-6)
    assert not any(command.q[:15].any() or command.kp[:15].any() for command in robot.commands)

    start = robot.now()

    def lift(time: float) -> np.ndarray:
        s = np.clip(time - start, 0, 1)
        share = 10 * s**3 - 15 * s**4 + 6 * s**5
        return ROBOT.home + share * np.array([0.2] * 14 + [-0.02] * 2)

    goal = lift(start + 2)
    while robot.now() < start + 1.1:
        robot.send(lift)
        time.sleep(0.1)
    robot.wait_for(
        lambda: np.allclose(robot.state.q[ARM_MOTORS], goal[:14], atol=2e-3), 'the arms to lift'
    )
    robot.wait_for(
        lambda: np.isclose(robot.gripper_commands[-1], goal[15], atol=1e-3), 'a gripper to close'
    )
    step = np.diff([command.q[ARM_MOTORS] for command in robot.commands], axis=0)
    assert np.abs(step).max() <= 5 * 2.0 * 0.004 + 1e-6

    robot.send(lambda time: np.where(np.arange(16) == 3, np.nan, goal))
    robot.wait_for(lambda: robot.status.chunks_rejected == 1, 'a rejection')
    assert robot.status.rejection_reason == SafetyStatus.CHUNK_NOT_FINITE
    assert robot.status.limiting_joint == 'left_elbow_joint'
    assert 'left_elbow_joint' in robot.status.rejection_text

    assert robot.control('disarm').success
    robot.wait_for_mode(SafetyStatus.DISARMED)
    robot.wait_for(lambda: robot.commands[-1].weight == 0.0, 'weight 0')
    assert_the_weight_only_ramped(robot)


def test_stopped_while_armed_it_ramps_the_weight_down_first(robot, control):
    robot.arm()
    assert control.interrupt(timeout=6) == 0
    robot.wait_for(lambda: robot.commands[-1].weight == 0.0, 'weight 0')
    assert_the_weight_only_ramped(robot)


def test_a_corrupt_lowstate_is_as_good_as_none(robot, control):
    robot.arm()
    robot.state.to_bytes = lambda: bytes((0, 1, 0, 0)) + bytes(2088)
    robot.wait_for_mode(SafetyStatus.DISARMING)
    assert robot.status.reason == SafetyStatus.LOWSTATE_LOST
    robot.wait_for_mode(SafetyStatus.DISARMED)
    assert not robot.control('arm').success


def test_killed_while_armed_its_watchdog_hands_the_arms_back(robot, control):
    robot.arm()
    control.process.kill()
    killed = time.time()
    robot.wait_for(lambda: robot.commands[-1].weight == 0.0, 'weight 0')
    time.sleep(0.5)
    sent, weights = weights_since(robot, killed)
    assert (np.diff(weights) <= 0).all()
    assert (-np.diff(weights) <= (np.diff(sent) + LATE) / RAMP).all()  # a ramp, no jump
    zero = sent[weights == 0.0]
    assert zero[0] < 2.0  # 0.55 on a quiet computer
    assert zero[-1] - zero[0] < 0.2  # 50 ms of weight 0, then silence
    assert all(command.crc_ok for command in robot.commands)


def test_it_arms_only_with_a_watchdog_and_hands_back_when_it_dies(robot, control):
    robot.arm()
    assert 0.0 <= robot.status.watchdog_age < 0.5
    control.watchdog.kill()
    robot.wait_for_mode(SafetyStatus.DISARMING)
    assert robot.status.reason == SafetyStatus.WATCHDOG
    robot.wait_for_mode(SafetyStatus.DISARMED)
    answer = robot.control('arm')
    assert not answer.success
    assert 'watchdog' in answer.message
    control.watchdog = watchdog_node()
    robot.arm()


def test_after_a_standstill_it_goes_on_handing_back_where_the_watchdog_is(robot, control):
    robot.arm()
    control.process.send_signal(signal.SIGSTOP)
    robot.wait_for(lambda: robot.commands[-1].weight < 0.8, 'the watchdog to hand back')
    handed, continued = robot.commands[-1].weight, time.time()
    control.process.send_signal(signal.SIGCONT)
    robot.wait_for_mode(SafetyStatus.DISARMED)
    _, weights = weights_since(robot, continued)
    assert weights.max(initial=0.0) < handed + 0.02  # never up again


def test_control_and_its_watchdog_wait_for_no_lock_that_others_have(robot, control):
    """Shared memory has one for each reader: a program that a busy computer stops may hold it."""
    robot.arm()
    for program in (control, control.watchdog):
        maps = Path(f'/proc/{program.process.pid}/maps').read_text()
        assert '/dev/shm/fastrtps' not in maps
    assert '/dev/shm/fastrtps' in Path('/proc/self/maps').read_text()  # where others have it


#: control_node that once takes 0.4 s for a cycle, when the file named by its argument is there.
STALLING = """
import sys, time
from pathlib import Path
from g1_control.nodes import control_node

class Stalling(control_node.ArmKinematics):
    def gravity(self, q):
        flag = Path(sys.argv[1])
        if flag.exists():
            flag.unlink()
            time.sleep(0.4)
        return super().gravity(q)

control_node.ArmKinematics = Stalling
sys.exit(control_node.main())
"""


def test_a_command_that_took_too_long_is_not_sent_over_the_watchdogs(ros_domain, tmp_path):
    flag = tmp_path / 'stall'
    unguarded = 'world_off:=[table_height, workspace, hand_speed, contact_torque]'
    words = python(STALLING, str(flag), '--ros-args', *parameter_words(PATIENT), '-p', unguarded)
    robot = FakeRobot(ros_domain)
    with Control(words):
        try:
            robot.arm()
            stalled = time.time()
            flag.touch()
            robot.wait_for_mode(SafetyStatus.DISARMED)
            robot.wait_for(lambda: robot.commands[-1].weight == 0.0, 'the last command')
        finally:
            robot.close()
    _, weights = weights_since(robot, stalled)
    handed = int(np.argmax(weights < 0.8))
    assert weights[handed:].max() < 0.95  # it never takes back what the watchdog has handed back
    assert weights[-1] == 0.0


def test_the_log_says_what_is_awaited_and_has_a_line_for_each_change(ros_domain: int) -> None:
    with control_node(missed_deadlines=250, lowstate_stale=0.5) as control:
        control.wait_for('waiting: no /lowstate yet; is the robot on the network?')
        robot = FakeRobot(ros_domain)
        try:
            control.wait_for('all is there; ready: g1 arm')
            robot.arm()
            control.wait_for('HOLD: armed, waiting for a chunk')
            robot.send(still)
            control.wait_for('ACTIVE: following chunks')
            control.wait_for('HOLD: the last chunk ran out (CHUNK_EXPIRED)')
        finally:
            robot.close()
        control.wait_for('DISARMING: /lowstate is')


def test_a_second_robot_that_is_simulated_keeps_the_arms_from_being_armed(robot, control):
    robot.arm()
    with Outside('sim_node') as second:
        second.node.create_publisher(LowStateMessage, 'lowstate', NEWEST_SENSOR_DATA)
        robot.wait_for(
            lambda: robot.status.reason == SafetyStatus.SECOND_PUBLISHER, 'its being noticed'
        )
        robot.wait_for_mode(SafetyStatus.DISARMED)
        answer = robot.control('arm')
    assert not answer.success
    assert 'several robots publish /lowstate: operator, sim_node; end all systems' in answer.message
