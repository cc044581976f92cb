"""Forward, inverse and gravity of the arms, against MuJoCo and against themselves."""

import mujoco
import numpy as np
import pytest

from g1_description import load_embodiment, load_robot
from g1_description.kinematics import ArmKinematics, UnreachableError
from g1_sim.robot_model import mujoco_spec

ROBOT = load_robot()


@pytest.fixture(scope='module')
def kinematics():
    return ArmKinematics()


@pytest.fixture(scope='module')
def simulated():
    model = mujoco_spec().compile()
    return model, mujoco.MjData(model)


def random_postures(count):
    rng = np.random.default_rng(0)
    return rng.uniform(ROBOT.action_lower[:14], ROBOT.action_upper[:14], (count, 14))


def reachable_postures(count):
    """Postures round home, upper arms off the trunk."""
    rng = np.random.default_rng(1)
    q = ROBOT.home[:14] + rng.uniform(-0.4, 0.4, (count, 14))
    q[:, 1], q[:, 8] = np.abs(q[:, 1]) + 0.1, -np.abs(q[:, 8]) - 0.1
    return np.clip(q, ROBOT.action_lower[:14] + 0.02, ROBOT.action_upper[:14] - 0.02)


def test_grasp_frames_are_where_mujoco_has_them(kinematics, simulated):
    model, data = simulated
    for q in random_postures(50):
        for name, value in zip(ROBOT.arm_joints, q, strict=True):
            data.joint(name).qpos[0] = value
        mujoco.mj_kinematics(model, data)
        for side, pose in kinematics.forward(q).items():
            site = data.site(f'{side}_grasp')
            expected = site.xpos - [0, 0, ROBOT.pelvis_height]
            np.testing.assert_allclose(pose[:3, 3], expected, atol=1e-6)
            np.testing.assert_allclose(pose[:3, :3], site.xmat.reshape(3, 3), atol=1e-6)


def test_the_embodiment_says_where_the_hands_are_in_each_state(kinematics):
    robot = load_embodiment('g1_aloha')
    states = np.stack([robot.home(robot.state_names)] * 3)
    states[1, 3] += 0.2
    pose = kinematics.forward(states[1, :14])
    found = robot.hand_positions(states)
    np.testing.assert_allclose(found[1], [pose['left'][:3, 3], pose['right'][:3, 3]])
    assert found.shape == (3, 2, 3)


def test_both_hands_mirror_each_other_at_home(kinematics):
    hands = kinematics.forward(ROBOT.home[:14])
    mirrored = hands['right'][:3, 3] * [1, -1, 1]
    np.testing.assert_allclose(hands['left'][:3, 3], mirrored, atol=2e-3)


@pytest.mark.parametrize('side', ['left', 'right'])
def test_inverse_reaches_what_forward_gave(kinematics, side):
    own, other = (slice(0, 7), slice(7, 14)) if side == 'left' else (slice(7, 14), slice(0, 7))
    start = ROBOT.home[:14]
    for q in reachable_postures(40):
        target = kinematics.forward(q)[side]
        found = kinematics.inverse(side, target, start)
        reached = kinematics.forward(found)[side]
        np.testing.assert_allclose(reached[:3, 3], target[:3, 3], atol=1e-3)
        np.testing.assert_allclose(reached[:3, :3], target[:3, :3], atol=1e-2)
        assert np.all(found[own] >= ROBOT.action_lower[:14][own])
        assert np.all(found[own] <= ROBOT.action_upper[:14][own])
        np.testing.assert_array_equal(found[other], start[other])


def test_a_hand_that_moves_in_small_steps_gets_small_joint_steps(kinematics):
    q = ROBOT.home[:14]
    target = kinematics.forward(q)['left']
    q = kinematics.inverse('left', target, q)
    for _ in range(20):
        target[:3, 3] += [0.004, -0.002, 0.002]
        following = kinematics.inverse('left', target, q)
        assert np.abs(following - q).max() < 0.15
        q = following


def test_hands_are_moved_and_not_turned(kinematics):
    rng = np.random.default_rng(2)
    for q in reachable_postures(20):
        offsets = rng.uniform(-0.03, 0.03, (2, 3))
        if (found := kinematics.moved(q, offsets)) is None:
            continue
        before, after = kinematics.forward(q), kinematics.forward(found)
        for side, offset in zip(('left', 'right'), offsets, strict=True):
            way = after[side][:3, 3] - before[side][:3, 3]
            np.testing.assert_allclose(way, offset, atol=1e-3)
            np.testing.assert_allclose(after[side][:3, :3], before[side][:3, :3], atol=2e-2)


def test_hands_are_not_moved_out_of_reach(kinematics):
    stretched = ROBOT.home[:14].copy()
    stretched[[3, 10]] = 1.2
    assert kinematics.moved(stretched, np.zeros((2, 3))) is not None
    assert kinematics.moved(stretched, np.full((2, 3), 0.2)) is None


def test_a_pose_out_of_reach_is_refused_with_what_is_left(kinematics):
    target = np.eye(4)
    target[:3, 3] = 1.0, 0.2, 0.2
    with pytest.raises(
        UnreachableError, match=r'left hand cannot reach x 1\.000.* mm and '
    ) as raised:
        kinematics.inverse('left', target, ROBOT.home[:14])
    assert raised.value.position > 0.3


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('middle', np.eye(4), np.zeros(14)), "expected one of left, right, got 'middle'"),
        (('left', np.eye(3), np.zeros(14)), r'expected a finite \(4, 4\) pose.*\(3, 3\)'),
        (('left', np.full((4, 4), np.nan), np.zeros(14)), 'expected a finite'),
        (
            ('left', np.eye(4), np.zeros(16)),
            r'expected the 14 arm joints \(14,\), got shape \(16,\)',
        ),
    ],
)
def test_wrong_arguments_are_named(kinematics, arguments, message):
    with pytest.raises(ValueError, match=message):
        kinematics.inverse(*arguments)


def test_gravity_torques_are_those_of_mujoco(kinematics, simulated):
    model, data = simulated
    for name in ROBOT.gripper_joints:
        for joint in (name, name.replace('gripper', 'gripper_mirror')):
            data.joint(joint).qpos[0] = ROBOT.gripper_stroke / 2
    dofs = [model.joint(name).dofadr[0] for name in ROBOT.arm_joints]
    for q in random_postures(10):
        for name, value in zip(ROBOT.arm_joints, q, strict=True):
            data.joint(name).qpos[0] = value
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(kinematics.gravity(q), data.qfrc_bias[dofs], atol=1e-3)
