"""The demonstrator as the suite sees a person: poses, grips, triggers and buttons, no ROS."""

from typing import Any

import numpy as np
import pytest
from demonstrator_world import World

from g1_description.kinematics import ArmKinematics
from g1_sim.simulation import Simulation


@pytest.fixture
def world():
    world = World()
    yield world
    world.person.close()


def engaged(inputs) -> np.ndarray:
    return np.array([given.right.grip > 0.5 for given in inputs], int)


def test_a_demonstration_is_the_plan_by_clutched_hands_that_wait_where_the_gripper_works(world):
    world.run(lambda: 'B' in world.events)
    assert world.events == ['control/arm', 'A', 'B']
    forward = ArmKinematics().forward
    hands = [forward(pose[:14])['right'] for pose in world.poses]
    controllers = [given.right.pose for given in world.inputs]

    # The controller has a place and an orientation of its own; it does not move as a grip closes.
    grips = engaged(world.inputs)
    to_start, start = np.flatnonzero(np.diff(grips, prepend=0) > 0)
    assert to_start == 0
    assert np.linalg.norm(controllers[start][:3, 3] - hands[start][:3, 3]) > 0.1
    assert np.trace(controllers[start][:3, :3] @ hands[start][:3, :3].T) < 2.9
    np.testing.assert_allclose(controllers[start], controllers[start - 1], atol=1e-9)
    np.testing.assert_allclose(controllers[start], controllers[start + 5], atol=1e-3)

    # The hand was at the object when the gripper closed, and at rest.
    simulation = Simulation('pick_and_place', 7)
    plan: Any = next(simulation.task.plan(simulation.scene))
    pelvis = simulation.scene.pelvis
    triggers = np.array([given.right.trigger for given in world.inputs])
    closed = start + np.flatnonzero(np.diff(triggers[start:]) > 0.01)[0]
    np.testing.assert_allclose(hands[closed][:3, 3], plan[1].pose[:3, 3] - pelvis, atol=0.006)
    assert np.linalg.norm(hands[closed][:3, 3] - hands[closed - 9][:3, 3]) < 0.002
    np.testing.assert_allclose(hands[-1][:3, 3], plan[-1].pose[:3, 3] - pelvis, atol=0.006)


def test_the_second_attempt_is_discarded_and_every_scene_is_new(world):
    world.run(lambda: world.view.saved == 2)
    arm, *rest = world.events
    assert arm == 'control/arm'
    assert rest == ['A', 'B', 'sim/reset', 'A', 'X', 'sim/reset', 'A', 'B']
    for _ in range(90):
        world.step()
    assert not engaged(world.inputs[-45:]).any()
    assert world.events[-1] == 'B'


def test_what_did_not_succeed_is_discarded(world):
    world.outcome = False
    world.run(lambda: 'X' in world.events)
    assert world.events == ['control/arm', 'A', 'X']


def test_hands_let_go_when_control_hands_the_arms_back_and_begin_again(world):
    world.run(lambda: 'A' in world.events and world.inputs[-1].right.grip > 0.5)
    world.view.armed = False
    world.step()
    world.step()
    assert not engaged(world.inputs[-1:]).any()
    world.run(lambda: world.events.count('A') == 2)
    assert world.events == ['control/arm', 'A', 'X', 'control/arm', 'sim/reset', 'A']


def test_a_hand_that_was_let_go_on_the_way_is_gripped_anew(world):
    world.run(lambda: 'A' in world.events and world.inputs[-1].right.grip > 0.5)
    begun = len(world.inputs)
    for _ in range(120):
        world.step()
    world.retargeting.release()  # as teleop_node does when something was late
    world.run(lambda: 'B' in world.events)
    assert world.events == ['control/arm', 'A', 'B']
    grips = engaged(world.inputs[begun:])
    assert (np.diff(grips) > 0).sum() == 1


def test_hands_that_never_come_along_end_the_attempt(world):
    world.run(lambda: 'A' in world.events)
    world.stuck = True
    world.run(lambda: 'X' in world.events)
    assert world.events == ['control/arm', 'A', 'X']
