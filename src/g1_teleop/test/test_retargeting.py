"""The operator's hand and the robot's: what moves, by how much, and when nothing does."""

from dataclasses import replace
from typing import Any

import numpy as np
import pinocchio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g1_control.collision import SelfCollision
from g1_description import load_robot
from g1_description.differential_ik import DifferentialIK, NoStepError
from g1_description.kinematics import ArmKinematics
from g1_ros.operator import HandInput, OperatorInput
from g1_teleop.retargeting import DeviceWatchdog, Retargeting, RetargetingParameters
from g1_teleop.xrobotoolkit import robot_pose

ROBOT = load_robot()
COLLISION = SelfCollision(ROBOT)
STEP = 1 / 60
FREE = HandInput(np.eye(4), grip=0.0, trigger=0.0)


class Operator:
    """Two hands that a test moves; `run` lets time pass."""

    def __init__(self, **parameters: float) -> None:
        self.kinematics = ArmKinematics()
        self.parameters = RetargetingParameters(**parameters)
        self.retargeting = Retargeting(ROBOT, self.parameters)
        self.hands = {'left': FREE, 'right': FREE}
        self.measured = ROBOT.home.copy()
        self.now = 100.0

    def set(self, side: str, **changes: Any) -> None:
        self.hands[side] = replace(self.hands[side], **changes)

    def move(self, side: str, metres: tuple[float, float, float]) -> None:
        pose = self.hands[side].pose.copy()
        pose[:3, 3] += metres
        self.set(side, pose=pose)

    def run(self, seconds: float = STEP) -> np.ndarray | None:
        targets = None
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            targets = self.retargeting.update(
                OperatorInput(round(self.now * 1e9), self.hands['left'], self.hands['right']),
                self.measured,
                self.now,
            )
        return targets

    def hand(self, side: str, targets: np.ndarray) -> np.ndarray:
        return self.kinematics.forward(targets[:14])[side]


def test_nothing_moves_without_a_grip() -> None:
    operator = Operator()
    operator.move('left', (0.05, 0, 0))
    assert operator.run(0.5) is None


def test_engaging_never_jumps() -> None:
    operator = Operator()
    operator.set('left', pose=robot_pose([0.3, 1.2, -0.7, 0, 0.6, 0, 0.8]), grip=1.0)
    targets = operator.run()
    np.testing.assert_allclose(targets[:14], ROBOT.home[:14], atol=2e-3)


def test_the_hand_moves_as_far_as_the_operators() -> None:
    operator = Operator()
    operator.set('left', grip=1.0)
    start = operator.hand('left', operator.run())
    other = operator.hand('right', ROBOT.home)
    for _ in range(30):
        operator.move('left', (0.002, 0.001, -0.001))
        targets = operator.run()
    targets = operator.run(1.0)
    moved = operator.hand('left', targets)
    np.testing.assert_allclose(moved[:3, 3] - start[:3, 3], (0.06, 0.03, -0.03), atol=3e-3)
    np.testing.assert_allclose(moved[:3, :3], start[:3, :3], atol=0.03)
    np.testing.assert_allclose(operator.hand('right', targets), other, atol=1e-6)


def test_the_hand_turns_with_the_operators() -> None:
    operator = Operator()
    operator.set('right', pose=robot_pose([0, 1, 0, 0.5, 0.5, 0.5, 0.5]), grip=1.0)
    start = operator.hand('right', operator.run())
    angle = 0.2
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    pose = operator.hands['right'].pose.copy()
    pose[:3, :3] = turn @ pose[:3, :3]
    operator.set('right', pose=pose)
    turned = operator.hand('right', operator.run(1.0))
    np.testing.assert_allclose(turned[:3, :3], turn @ start[:3, :3], atol=0.03)


def test_scale_of_motion() -> None:
    operator = Operator(scale=0.5)
    operator.set('left', grip=1.0)
    start = operator.hand('left', operator.run())
    operator.move('left', (0.06, 0, 0))
    moved = operator.hand('left', operator.run(1.0))
    assert moved[0, 3] - start[0, 3] == pytest.approx(0.03, abs=3e-3)


def test_releasing_and_gripping_again_goes_on_from_where_the_robot_is() -> None:
    operator = Operator()
    operator.set('left', grip=1.0)
    operator.run()
    operator.move('left', (0.05, 0, 0))
    operator.measured = operator.run(1.0)
    operator.set('left', grip=0.0)
    for _ in range(10):
        operator.move('left', (-0.05, 0.02, 0))
        assert operator.run() is None
    operator.set('left', grip=1.0)
    np.testing.assert_allclose(operator.run(0.2), operator.measured, atol=2e-3)


def test_the_trigger_closes_the_gripper_of_its_hand() -> None:
    operator = Operator()
    operator.set('left', grip=1.0, trigger=1.0)
    targets = operator.run(1.0)
    assert targets[14] == pytest.approx(0.0, abs=1e-4)
    assert targets[15] == ROBOT.home[15]
    operator.set('left', trigger=0.5)
    assert operator.run(1.0)[14] == pytest.approx(ROBOT.gripper_stroke / 2, abs=1e-4)


def test_targets_keep_to_their_velocity() -> None:
    operator = Operator(joint_velocity=0.5, filter_delay=0.01)
    operator.set('left', grip=1.0)
    before = operator.run()
    for _ in range(60):
        operator.move('left', (0.005, 0, 0))
        targets = operator.run()
        assert np.abs(targets - before)[:14].max() <= 0.5 * STEP + 1e-9
        before = targets


def test_a_tracking_jump_stops_the_hand_until_it_is_gripped_again() -> None:
    operator = Operator()
    operator.set('left', grip=1.0)
    operator.run(0.5)
    operator.move('left', (0.3, 0, 0))
    assert operator.run(0.5) is None
    operator.set('left', grip=0.0)
    operator.run()
    operator.set('left', grip=1.0)
    assert operator.run() is not None


@pytest.mark.parametrize('pose', [None, np.full((4, 4), np.nan)])
def test_a_controller_that_is_not_tracked_stops_the_hand_and_says_so(
    pose: np.ndarray | None,
) -> None:
    operator = Operator()
    operator.set('left', grip=1.0)
    operator.run(0.5)
    operator.set('left', pose=pose)
    assert operator.run() is None
    assert 'left controller is not tracked' in operator.retargeting.problems['left']
    operator.set('left', pose=np.eye(4))
    assert operator.run() is None
    assert 'press the grip again' in operator.retargeting.problems['left']
    operator.set('left', grip=0.0)
    operator.run()
    assert operator.retargeting.problems == {}


def test_a_hand_before_the_chest_is_held_and_the_operator_is_told_by_what() -> None:
    operator = Operator()
    operator.set('left', grip=1.0)
    operator.run()
    for _ in range(60):
        operator.move('left', (-0.004, -0.003, 0.002))
        targets = operator.run()
    targets = operator.run(1.0)
    problem = operator.retargeting.problems['left']
    assert problem.startswith('left hand is held back: left ')
    assert 'close to torso' in problem
    assert COLLISION.distances(targets[:14]).min() >= operator.parameters.self_collision_margin
    for _ in range(60):
        operator.move('left', (0.004, 0.003, -0.002))
        operator.run()
    operator.run(1.0)
    assert operator.retargeting.problems == {}


def test_a_hand_that_is_not_engaged_stays_exactly_whatever_comes_near() -> None:
    operator = Operator()
    operator.set('left', grip=1.0)
    before = operator.run()
    for _ in range(120):
        operator.move('left', (0.001, -0.004, 0.0))
        targets = operator.run()
        np.testing.assert_array_equal(targets[7:14], before[7:14])


def test_an_elbow_stands_still_with_its_hand_and_comes_back_with_it() -> None:
    operator = Operator()
    operator.set('left', grip=1.0)
    start = operator.run()
    np.testing.assert_allclose(operator.run(5.0), start, atol=1e-9)
    elbows = []
    for t in np.arange(0, 30, STEP):
        pose = np.eye(4)
        pose[:3, 3] = 0.05 * np.sin(2 * t), 0.05 * (1 - np.cos(2 * t)), 0.02 * np.sin(2 * t)
        operator.set('left', pose=pose)
        elbows.append(operator.run()[:7])
    turn = round(np.pi / STEP)
    np.testing.assert_allclose(elbows[-1], elbows[-1 - turn], atol=0.02)


def test_where_there_is_no_step_the_arms_stay_and_the_operator_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator = Operator()
    operator.set('left', grip=1.0)
    before = operator.run(0.2)

    def fails(*_: object) -> None:
        raise NoStepError('infeasible')

    with monkeypatch.context() as patch:
        patch.setattr(DifferentialIK, 'step', fails)
        operator.move('left', (0.05, 0, 0))
        np.testing.assert_array_equal(operator.run(0.2), before)
        assert 'no way to follow' in operator.retargeting.problems['left']
    operator.run(1.0)
    assert operator.retargeting.problems == {}


poses = st.tuples(*[st.floats(-1.0, 1.0)] * 3, *[st.floats(-3.0, 3.0)] * 3)


@settings(max_examples=25, deadline=None)
@given(
    ways=st.lists(st.tuples(poses, poses, st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=4)
)
def test_whatever_hands_come_in_targets_are_safe(ways: list[tuple]) -> None:
    """Hands fly to poses anywhere, in a quarter of a second each."""
    operator = Operator(tracking_jump=1.0)
    for side in ('left', 'right'):
        operator.set(side, grip=1.0)
    before, parameters = operator.run(), operator.parameters
    for left, right, grip, trigger in ways:
        operator.set('left', grip=max(grip, 0.45), trigger=trigger)
        ends = {'left': left, 'right': right}
        starts = {side: operator.hands[side].pose for side in ends}
        for share in np.linspace(0, 1, 15):
            for side, end in ends.items():
                pose = starts[side].copy()
                pose[:3, 3] += share * (np.array(end[:3]) - pose[:3, 3])
                pose[:3, :3] = pinocchio.exp3(share * np.array(end[3:]))
                operator.set(side, pose=pose)
            targets = operator.run()
            assert targets is not None
            assert np.isfinite(targets).all()
            assert (targets >= ROBOT.action_lower).all()
            assert (targets <= ROBOT.action_upper).all()
            step = np.abs(targets - before)
            assert step[:14].max() <= parameters.joint_velocity * STEP + 1e-9
            assert step[14:].max() <= parameters.gripper_velocity * STEP + 1e-9
            nearest = COLLISION.distances(targets[:14]).min()
            assert nearest >= parameters.self_collision_margin - 1e-9
            before = targets


def test_out_of_reach_the_arm_stretches_and_the_operator_is_told() -> None:
    operator = Operator()
    operator.set('left', grip=1.0)
    operator.run()
    for _ in range(30):
        operator.move('left', (0.05, 0, 0))
        targets = operator.run()
    assert 'left hand cannot follow' in operator.retargeting.problems['left']
    assert operator.hand('left', targets)[0, 3] < 1.0
    assert (targets >= ROBOT.action_lower - 1e-9).all()
    assert (targets <= ROBOT.action_upper + 1e-9).all()


def test_after_a_stale_device_the_grip_has_to_be_pressed_again() -> None:
    operator = Operator()
    operator.set('right', grip=1.0)
    assert operator.run() is not None
    operator.retargeting.release()
    assert operator.run(0.2) is None
    operator.set('right', grip=0.0)
    operator.run()
    operator.set('right', grip=1.0)
    assert operator.run() is not None


def test_after_a_hiccup_a_grip_that_is_still_pressed_goes_on_from_where_the_hand_is() -> None:
    operator = Operator()
    operator.set('right', grip=1.0)
    assert operator.run() is not None
    operator.retargeting.release(until_grips_open=False)
    operator.move('right', (0.05, 0.0, 0.0))  # meanwhile
    targets = operator.run()
    assert targets is not None
    np.testing.assert_allclose(targets, ROBOT.home, atol=1e-3)


def test_a_hiccup_does_not_spare_a_grip_that_has_to_open_first() -> None:
    operator = Operator()
    operator.set('right', grip=1.0)
    assert operator.run() is not None
    operator.retargeting.release()
    assert operator.run(0.2) is None
    operator.retargeting.release(until_grips_open=False)
    assert operator.run(0.2) is None


def test_the_watchdog_follows_the_stamp() -> None:
    watchdog = DeviceWatchdog(stale_after=0.1)
    assert watchdog.silence(10.0) == np.inf
    assert not watchdog.alive(0, 10.0)
    assert not watchdog.ever_alive
    assert watchdog.alive(5, 10.1)
    assert watchdog.alive(5, 10.15)
    assert not watchdog.alive(5, 10.25)
    assert watchdog.silence(10.25) == pytest.approx(0.15)
    assert watchdog.alive(6, 10.3)


def test_axes_of_the_headset_become_those_of_the_robot() -> None:
    pose = robot_pose([1.0, 2.0, 3.0, 0, 0, 0, 1])
    np.testing.assert_allclose(pose[:3, 3], (-3.0, -1.0, 2.0))  # forward, left, up
    np.testing.assert_allclose(pose[:3, :3], np.eye(3))
    yaw = robot_pose([0, 0, 0, 0, np.sin(0.25), 0, np.cos(0.25)])  # about the headset's up axis
    assert np.arctan2(yaw[1, 0], yaw[0, 0]) == pytest.approx(0.5)
    assert robot_pose([0.0] * 7) is None
