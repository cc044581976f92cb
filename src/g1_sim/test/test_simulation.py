"""The simulated scene: the same seed the same scene, and images of it afterwards."""

import numpy as np
import pytest

from g1_description import load_robot
from g1_sim import replay
from g1_sim.simulation import Simulation

ROBOT = load_robot()


@pytest.fixture(scope='module')
def simulation():
    simulation = Simulation('arrange_flower', 0)
    yield simulation
    simulation.close()


def test_an_unknown_task_names_those_there_are():
    with pytest.raises(ValueError, match='arrange_flower'):
        Simulation('nonsense', 0)


def test_the_same_seed_is_the_same_motion_and_another_seed_another_scene(simulation):
    states = []
    for seed in (3, 4, 3):
        simulation.reset(seed)
        for _ in range(50):
            simulation.step()
        states.append(simulation.data.qpos.copy())
    np.testing.assert_array_equal(states[0], states[2])
    assert not np.allclose(states[0], states[1])


def test_the_robot_stands_still_at_home(simulation):
    simulation.reset(0)
    for _ in range(500):
        simulation.step()
    home = np.array([joint.home for joint in ROBOT.joints])
    np.testing.assert_allclose(simulation.positions[:29], home, atol=0.08)
    assert np.abs(simulation.velocities).max() < 0.05


def test_grippers_go_where_they_are_sent_within_their_stroke(simulation):
    simulation.reset(0)
    simulation.set_grippers(0.01, 1.0)
    for _ in range(500):
        simulation.step()
    np.testing.assert_allclose(simulation.positions[-2:], (0.01, 0.041), atol=0.002)


def test_a_new_scene_can_leave_the_robot_as_it_is(simulation):
    simulation.reset(0)
    simulation.set_grippers(0.0, 0.0)
    for _ in range(200):
        simulation.step()
    before, time = simulation.positions.copy(), simulation.time
    flower = simulation.data.body('flower').xpos.copy()
    simulation.reset(1, keep_robot=True)
    np.testing.assert_array_equal(simulation.positions, before)
    assert simulation.time == time
    assert not np.allclose(simulation.data.body('flower').xpos, flower)


def test_a_log_is_drawn_afterwards_as_it_was_seen(simulation, tmp_path):
    path = tmp_path / 'run' / 'motion.npz'
    log = replay.Log('arrange_flower', path)
    seen = []
    for index, seed in enumerate((5, 5, 6)):
        simulation.reset(seed)
        seen.append(simulation.render('head', 64, 48))
        log.add(simulation.data.qpos, index * 100_000_000, seed)
    log.save()
    frames = list(replay.render(path, 'head', fps=20.0, width=64, height=48))
    assert len(frames) == 4  # 0.2 s, the end not included
    np.testing.assert_array_equal(frames[0], seen[0])
    assert len(list(replay.render(path, 'overview', 20.0, start=100_000_000))) == 2
    assert not np.array_equal(seen[1], seen[2])
