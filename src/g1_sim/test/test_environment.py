"""The simulated G1 as an environment: chunk by chunk, at the pace and latency asked for."""

import subprocess
import sys

import numpy as np
import pytest

from dit4dit_policy.inference.chunk_policy import Observation
from g1_description import load_robot
from g1_description.plugins import find_plugin
from g1_sim.rollout import Rollout
from g1_sim.simulation import Simulation

STILL = np.tile(load_robot().home, (16, 1))


def test_a_policy_that_stands_still_fails_and_is_asked_five_times_a_second():
    rollout = Rollout(Simulation('pick_and_place', 0), time_limit=2.0)
    asked = []
    while not rollout.done:
        asked.append(rollout.observation.stamp)
        rollout.step(STILL)
    assert not rollout.success and rollout.success_time is None
    np.testing.assert_allclose(asked, np.arange(10) * 0.2)
    assert rollout.status.chunks_accepted == 10 and rollout.status.chunks_rejected == 0


def test_it_is_found_by_name_and_shows_the_cameras_asked_for():
    environment = find_plugin('dit4dit.environments', 'g1')(('head', 'left_wrist'), 0.15)
    observation = environment.reset('pick_and_place', 7)
    assert set(observation.images) == {'head', 'left_wrist'}
    for image in observation.images.values():
        assert image.shape == (480, 640, 3) and image.dtype == np.uint8 and image.std() > 5
    assert observation.state.shape == (16,) and 'object' in observation.instruction
    step = environment.step(STILL)
    assert not step.done and not step.success
    assert step.observation.stamp == pytest.approx(0.2)
    assert step.stage == 'begun'
    assert step.counts == {'refusals': 0, 'holds': 0, 'clamped': 0}
    environment.close()


def test_a_late_chunk_moves_the_arms_later():
    reached = []
    for latency in (0.0, 0.15):
        environment = find_plugin('dit4dit.environments', 'g1')((), latency)
        start = environment.reset('pick_and_place', 7).state
        target = STILL + np.linspace(0.0, 0.15, 16)[:, None] * (np.arange(16) == 3)
        reached.append(abs(environment.step(target).observation.state - start).max())
    assert reached[0] > reached[1]


def test_wrong_names_are_refused_with_those_there_are():
    make = find_plugin('dit4dit.environments', 'g1')
    with pytest.raises(ValueError, match='head, left_wrist, right_wrist'):
        make(('front',), 0.0)
    with pytest.raises(ValueError, match='arrange_flower'):
        make((), 0.0).reset('dance', 0)
    with pytest.raises(ValueError, match='variant'):
        make((), 0.0).reset('arrange_flower', 0, 'upside_down')


def test_the_simulator_loads_no_torch():
    code = 'import sys, g1_sim.environment; print("torch" in sys.modules)'
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert result.stdout == 'False\n'


def test_the_expert_takes_over_at_pace_and_every_observation_is_shown():
    environment = find_plugin('dit4dit.environments', 'g1')((), 0.15)
    seen: list[Observation] = []
    environment.watch(seen.append, (48, 64))
    observation = environment.reset('pick_and_place', 7)
    for _ in range(5):
        observation = environment.step(STILL).observation
    stamps = np.array([s.stamp for s in seen])
    np.testing.assert_allclose(stamps, np.arange(11) * 0.1, atol=1e-6)
    expert = environment.expert()
    assert expert.end > observation.stamp + 3.0
    moves = np.abs(expert(observation) - observation.state).max(axis=1)
    assert moves[3] > 0.03 and np.abs(np.diff(expert(observation), axis=0)).max() < 0.3
    np.testing.assert_allclose(expert(observation)[2], expert.target(observation.stamp + 0.2))
    while observation.stamp < expert.end + 2.0:
        step = environment.step(expert(observation))
        observation = step.observation
        if step.done:
            break
    assert step.success
