"""Both arms after moving hand poses: where they get to, what they keep away from."""

from dataclasses import replace

import numpy as np
import pytest

from g1_description import load_robot
from g1_description.capsules import capsule_models
from g1_description.differential_ik import DifferentialIK, NoStepError
from g1_description.kinematics import ArmKinematics

ROBOT = load_robot()
HOME = ROBOT.home[:14]
STEP, VELOCITY, MARGIN = 0.01, 1.5, 0.02


@pytest.fixture(scope='module')
def ik():
    return DifferentialIK(ROBOT, VELOCITY, range_margin=0.03, collision_margin=MARGIN)


def towards(ik, targets, seconds):
    q = HOME
    for _ in range(round(seconds / STEP)):
        q = ik.step(targets, STEP)
    return q


def moved(pose, *metres):
    target = pose.copy()
    target[:3, 3] += metres
    return target


def test_both_hands_reach_their_targets_together(ik):
    ik.start(HOME)
    targets = {
        'left': moved(ik.hand('left'), 0.08, 0.03, 0.05),
        'right': moved(ik.hand('right'), 0.1, 0.02, 0.08),
    }
    reached = ArmKinematics().forward(towards(ik, targets, 1.5))
    for side, target in targets.items():
        np.testing.assert_allclose(reached[side], target, atol=2e-3)
        assert ik.error(side) == pytest.approx((0, 0), abs=2e-3)


def test_out_of_reach_a_hand_comes_as_near_as_it_can_and_rests(ik):
    ik.start(HOME)
    far = {'left': moved(ik.hand('left'), 0.6, 0.1, 0.1)}
    q = towards(ik, far, 6.0)
    assert np.abs(towards(ik, far, 0.5) - q).max() < 0.02
    assert q[3] < 1.3  # the elbow did not go through straight
    pull = far['left'][:3, 3] - ik.hand('left')[:3, 3]
    shoulder = np.array([0.0, 0.1, 0.25])
    reach = ik.hand('left')[:3, 3] - shoulder
    assert pull @ reach > 0.8 * np.linalg.norm(pull) * np.linalg.norm(reach)


def test_a_start_within_the_margin_moves_nothing_and_leads_away_only(ik):
    close = HOME.copy()
    while ik.start(close) is not None and ik.nearest('left').distance > MARGIN / 2:
        close[2] -= 0.01
    nearest = ik.nearest('left')
    assert nearest.first.startswith('left_')
    assert nearest.second == 'torso_link'
    here = ik.hand('left')
    np.testing.assert_allclose(towards(ik, {'left': here}, 0.3), close, atol=1e-6)
    towards(ik, {'left': moved(here, 0.0, -0.1, 0.0)}, 0.5)
    assert ik.nearest('left').distance >= nearest.distance - 1e-9
    towards(ik, {'left': moved(here, 0.1, 0.1, 0.0)}, 1.0)
    assert ik.nearest('left').distance > MARGIN


def test_a_target_that_is_no_pose_leaves_the_arms_as_they_are(ik):
    ik.start(HOME)
    with pytest.raises(NoStepError):
        ik.step({'left': np.full((4, 4), np.nan)}, STEP)
    np.testing.assert_array_equal(ik.step({}, STEP), HOME)


def test_a_capsule_of_an_unknown_link_is_named():
    strange = replace(ROBOT.capsules[0], link='tail_link')
    with pytest.raises(ValueError, match='the robot has no link tail_link'):
        capsule_models((strange,))
