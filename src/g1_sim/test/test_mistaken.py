"""The expert that is mistaken, so that it can be shown how that is mended."""

import numpy as np
import pytest

from g1_sim.environment import G1Environment
from g1_sim.mistaken import Mistaken, astray
from g1_sim.simulation import Simulation
from g1_sim.take_over import TakeOver
from g1_sim.trajectory import Trajectory


@pytest.mark.parametrize('task', ['move_spoon', 'drawer_interaction'])
def test_things_are_elsewhere_for_as_long_as_it_thinks(task: str) -> None:
    simulation = Simulation(task, 1)
    scene = simulation.scene
    there = {thing: scene.pose(thing) for thing in scene.things}
    moved: set[str] = set()
    for seed in range(20):
        with astray(simulation, np.random.default_rng(seed)):
            for thing, pose in there.items():
                assert np.linalg.norm(scene.pose(thing)[:3, 3] - pose[:3, 3]) < 0.25
                if not np.allclose(scene.pose(thing), pose):
                    moved.add(thing)
        for thing, pose in there.items():
            np.testing.assert_array_equal(scene.pose(thing), pose)
    assert moved == set(there)


def test_what_lies_on_something_stays_on_it() -> None:
    simulation = Simulation('move_spoon', 1)
    for _ in range(200):
        simulation.step()  # the spoon comes to rest on its rest
    scene = simulation.scene
    seen = scene.seen_from('rest', 'spoon')
    for seed in range(10):
        with astray(simulation, np.random.default_rng(seed)):
            np.testing.assert_allclose(scene.seen_from('rest', 'spoon'), seen, atol=1e-6)


def test_some_lose_what_they_hold_and_go_on() -> None:
    posture = np.zeros(16)
    motion = TakeOver(Trajectory.between(posture, posture + 0.01, 10.0), 0.0)
    experts = [Mistaken(motion, 0.0, np.random.default_rng(seed)) for seed in range(40)]
    losing = [e for e in experts if max(e.target(t)[14] for t in np.arange(0, 10, 0.1)) > 0.03]
    assert 5 <= len(losing) <= 25
    assert all(e.target(9.9)[14] < 0.02 for e in experts)
    assert all(e.end == motion.end for e in experts)


def test_an_attempt_can_begin_with_it() -> None:
    environment = G1Environment((), 0.0)
    seen = environment.reset('pick_and_place', 3)
    expert = environment.mistaken(np.random.default_rng(0))
    chunk = expert(seen)
    assert chunk.shape == (16, 16) and np.isfinite(chunk).all()
    assert not environment.step(chunk).counts['refusals']
    environment.close()
