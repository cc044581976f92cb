"""Hands keep off the things that they are not about to take."""

import pytest

from g1_sim.obstacles import Obstacles, TouchError
from g1_sim.planner import Planner
from g1_sim.scenery import TABLE_TOP
from g1_sim.simulation import Simulation
from g1_sim.waypoints import Waypoint, direction, hand_pose


@pytest.fixture(scope='module')
def planner():
    return Planner()


@pytest.mark.parametrize('task', ['arrange_flower', 'insert_plate', 'stack_cups'])
def test_the_expert_keeps_off_what_stands_about(task, planner):
    simulation = Simulation(task, 0)
    Obstacles(simulation.scene).check(planner.plan(simulation.task, simulation.scene))


def test_a_hand_that_would_knock_over_a_cup_is_told_which_and_when(planner):
    scene = Simulation('stack_cups', 0).scene
    cup = scene.position('cup_1')
    through = hand_pose((*cup[:2], TABLE_TOP + 0.05), 0.5, direction('right', cup))
    motion = planner.follow([Waypoint(through, 0.0, 2.0)], scene.posture, scene.pelvis)
    with pytest.raises(TouchError, match=r'right hand would knock against the cup_1 after 1\.\d s'):
        Obstacles(scene).check(motion)


def test_looking_changes_nothing_in_the_scene(planner):
    scene = Simulation('stack_cups', 0).scene
    before = scene.data.qpos.copy()
    Obstacles(scene).check(planner.plan(Simulation('stack_cups', 0).task, scene))
    assert (scene.data.qpos == before).all()
