"""An operator takes the arms from a policy that is moving them, and gives them back."""

from collections.abc import Iterator

import numpy as np
import pytest
from dit4dit_msgs.msg import SafetyStatus
from sensor_msgs.msg import JointState
from teleop_robot import ROBOT, SERVICES, Robot

from g1_ros.operator import HandInput, OperatorInput
from g1_ros.qos import COMMAND
from g1_teleop.retargeting import Retargeting, RetargetingParameters, resting_place

WATCH = 2.0  # [s], twice as long as grips are open before arms are given back


@pytest.fixture
def robot() -> Iterator[Robot]:
    robot = Robot(SERVICES)
    yield robot
    robot.close()


def operated(robot: Robot) -> None:
    """The operator has moved the arms, and control says so."""
    robot.source = SafetyStatus.CONTROL_POLICY
    robot.spin_until_said('the policy has the arms')
    robot.move()
    robot.source = SafetyStatus.CONTROL_OPERATOR
    robot.spin_for(0.2)


def given_back(robot: Robot) -> bool:
    return 'control/give_back' in robot.called


def test_grips_that_stay_open_give_the_arms_back(robot: Robot) -> None:
    operated(robot)
    robot.spin_for(WATCH)
    assert not given_back(robot)  # a grip is pressed
    assert robot.headset is not None
    robot.headset.grip = 0.0
    robot.spin_until(lambda: given_back(robot), 'control/give_back')
    robot.source = SafetyStatus.CONTROL_NOBODY
    robot.called.clear()
    robot.spin_for(WATCH)
    assert not given_back(robot)  # nobody has them


@pytest.mark.parametrize('lost', ['asleep', 'not tracked', 'paused'])
def test_who_is_not_seen_to_let_go_keeps_the_arms(robot: Robot, lost: str) -> None:
    operated(robot)
    headset = robot.headset
    assert headset is not None
    if lost == 'paused':
        robot.press('Y', 'paused')
    headset.stopped, headset.tracked = lost == 'asleep', lost != 'not tracked'
    headset.grip = 0.0
    robot.spin_for(WATCH)
    assert not given_back(robot)
    if lost == 'paused':
        robot.press('Y', 'ready')
    headset.stopped, headset.tracked = False, True
    robot.spin_until(lambda: given_back(robot), 'control/give_back')


def test_a_button_gives_the_arms_back_at_once_and_lets_go(robot: Robot) -> None:
    operated(robot)
    robot.press('left_stick', 'control/give_back is done')
    robot.spin_until_rest()


def test_arms_taken_in_motion_are_where_they_come_to_rest_and_grippers_as_commanded(
    robot: Robot,
) -> None:
    robot.speed, robot.source = 1.2, SafetyStatus.CONTROL_POLICY
    commands = robot.node.create_publisher(JointState, 'right_gripper/command', COMMAND)
    closing = JointState(name=['right_gripper_joint'], position=[0.004])
    robot.spin_until(lambda: commands.get_subscription_count() > 0, 'the subscription')
    commands.publish(closing)
    robot.spin_for(0.2)
    robot.move()
    first = np.array(robot.targets[0].points[0].positions)
    assert first[15] == pytest.approx(0.004)
    velocity = np.array([1.2] * 14 + [0.0] * 2)
    expected = resting_place(ROBOT.home, velocity)
    assert 0.1 < np.abs(expected - ROBOT.home)[:14].min() < 0.13  # 1.2^2 / (2 6)
    inside = np.clip(expected, ROBOT.action_lower, ROBOT.action_upper)
    np.testing.assert_allclose(first[:14], inside[:14], atol=0.04)  # with room to every limit


def test_a_gripper_stays_until_its_trigger_asks_for_what_it_is_at() -> None:
    retargeting = Retargeting(ROBOT, RetargetingParameters())
    start = ROBOT.home.copy()
    start[14:] = 0.01
    now = 100.0

    def run(trigger: float, seconds: float = 0.3, grip: float = 1.0) -> float:
        nonlocal now
        hand = HandInput(np.eye(4), grip, trigger)
        for _ in range(round(seconds / 0.01)):
            now += 0.01
            targets = retargeting.update(OperatorInput(round(now * 1e9), hand, hand), start, now)
        return float('nan') if targets is None else float(targets[14])

    retargeting.take_over()
    assert run(trigger=0.0) == pytest.approx(0.01)  # what it holds is not dropped
    run(trigger=0.0, grip=0.0)
    assert run(trigger=0.1) == pytest.approx(0.01)  # nor by gripping anew
    assert run(trigger=1.0) == pytest.approx(0.0, abs=1e-6)
    assert run(trigger=0.0) > 0.02  # from then on it follows
