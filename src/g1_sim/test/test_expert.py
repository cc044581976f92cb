"""The scripted expert: it succeeds, moves within bounds, and what it records can be read."""

import signal
import subprocess
import sys
from dataclasses import replace
from time import monotonic, sleep

import numpy as np
import pytest

from dit4dit_policy.inference.chunk_policy import Observation
from g1_data import DatasetWriter
from g1_data.dataset import Dataset
from g1_description import load_robot
from g1_ros.config import load_tasks
from g1_sim.expert import Expert, demonstrate
from g1_sim.expert_command import main
from g1_sim.planner import Planner
from g1_sim.rollout import Rollout
from g1_sim.simulation import Simulation
from g1_sim.trajectory import MAX_JOINT_SPEED

TASKS = ('arrange_flower', 'pick_and_place')


@pytest.mark.parametrize('task', TASKS)
def test_the_expert_succeeds(task):
    simulation, planner = Simulation(task, 0), Planner()
    for seed in (1000, 1001):
        episode = demonstrate(simulation, planner, seed, None)
        assert episode.success, episode.text
        assert 5.0 < episode.duration < simulation.task.time_limit


@pytest.mark.parametrize('task', ['move_spoon', 'box_packing', 'drawer_interaction'])
def test_what_the_expert_does_forgives_being_a_centimetre_wrong(task):
    """As a policy is that sees by few pixels."""
    simulation, planner = Simulation(task, 0), Planner()
    seeds = range(1000, 1006)
    done = [demonstrate(simulation, planner, s, None, misjudging=0.008).success for s in seeds]
    assert sum(done) >= 4


def test_the_flap_is_left_alone_until_the_eggplant_is_in():
    simulation = Simulation('box_packing', 1000)
    expert = Expert.from_reset(simulation, Planner(), np.random.default_rng(0))
    rollout = Rollout(simulation, start=expert.start, time_limit=np.inf, linger=np.inf)
    while not simulation.scene.held('lid') and rollout.time < expert.end:
        rollout.step(expert(rollout.observation))
    assert simulation.scene.held('lid') and simulation.progress() == 'inside'


def test_once_misjudged_it_is_not_tried_again():
    simulation, planner = Simulation('pick_and_place', 0), Planner()
    episode = demonstrate(simulation, planner, 1000, None, misjudging=0.05)
    assert not episode.success and 5.0 < episode.duration < 10.0  # it moved, as long as one plan


class HalfWay(Planner):
    """Its plan for a new scene ends before anything is taken."""

    def plan(self, task, scene, start=None, velocity=None):
        if start is None:
            return super().plan(task, scene)
        return self.follow(next(iter(task.plan(scene)))[:2], start, scene.pelvis)


def test_where_a_plan_leads_only_a_part_of_the_way_the_next_one_goes_on():
    episode = demonstrate(Simulation('pick_and_place', 0), HalfWay(), 1000, None)
    assert episode.success, episode.text


def test_the_plan_is_smooth_and_no_faster_than_the_arms_may_go():
    simulation = Simulation('arrange_flower', 3)
    expert = Expert.from_reset(simulation, Planner(), np.random.default_rng(0))
    times = np.arange(0.0, expert.end + 1.0, 0.01)
    arms = np.array([expert.target(time)[:14] for time in times])
    assert np.abs(np.diff(arms, axis=0)).max() / 0.01 < 1.3 * MAX_JOINT_SPEED
    np.testing.assert_array_equal(arms[-1], arms[-50])  # at rest after the end
    robot = load_robot()
    assert (arms >= robot.action_lower[:14]).all() and (arms <= robot.action_upper[:14]).all()


@pytest.mark.parametrize('task', TASKS)
def test_the_plan_goes_on_without_lingering(task):
    """Not even where an object is reached and taken: a policy would learn to stay there."""
    simulation = Simulation(task, 3)
    expert = Expert.from_reset(simulation, Planner(), np.random.default_rng(0))
    for time in np.arange(0.3, expert.end - 0.4, 0.05):
        moved = np.abs(expert.target(time + 0.2) - expert.target(time))
        assert moved[:14].max() > 0.01 or moved[14:].max() > 0.001, f'stands at {time:.2f} s'


def test_the_same_seed_is_demonstrated_the_same_way():
    simulation = Simulation('pick_and_place', 0)
    chunks = []
    for _ in range(2):
        simulation.reset(4)
        expert = Expert.from_reset(simulation, Planner(), np.random.default_rng(4))
        chunks.append(expert(Observation({}, expert.start, '', 2.0)))
    np.testing.assert_array_equal(chunks[0], chunks[1])


def test_it_strays_as_far_as_it_is_told_while_its_targets_keep_to_the_plan():
    simulation = Simulation('pick_and_place', 4)
    seen = Observation({}, simulation.positions[15:31], '', 2.0)
    off = []
    for straying in (0.0, 1.0, 2.0):
        rng = np.random.default_rng(4)
        expert = Expert.from_reset(simulation, Planner(), rng, straying)
        plan = np.stack([expert.target(2.0 + 0.1 * k) for k in range(16)])
        off.append(np.abs(expert(seen) - plan).max())
    assert off[0] == 0.0
    assert 0.004 < off[1] < 0.04
    assert off[2] == pytest.approx(2 * off[1])


def test_a_recorded_dataset_can_be_read(tmp_path, capsys):
    out = tmp_path / 'flowers'
    assert main(['arrange_flower', '--episodes', '2', '--out', str(out)]) == 0
    dataset = Dataset(out)
    assert len(dataset.episodes) == 2 and dataset.fps == 10
    assert dataset.episodes[0].task == load_tasks()['arrange_flower']
    columns = dataset.read_episode(0)
    length = dataset.episodes[0].length
    assert columns['action'].shape == columns['observation.state'].shape == (length, 16)
    assert np.abs(columns['action'] - columns['observation.state'])[:, :14].max() < 0.15
    images = list(dataset.frames(1))
    assert len(images) == dataset.episodes[1].length
    assert images[0].shape == (240, 320, 3) and images[0].std() > 10
    assert list(tmp_path.iterdir()) == [out]  # nothing else stays behind
    assert '100.0 %' in capsys.readouterr().out


def test_interrupted_it_keeps_what_it_has_recorded(tmp_path, capsys, monkeypatch):
    def interrupted(make, seeds, workers):
        yield make(0)(seeds[0])
        raise KeyboardInterrupt

    monkeypatch.setattr('g1_sim.expert_command.EachSeed', interrupted)
    out = tmp_path / 'objects'
    assert main(['pick_and_place', '--episodes', '5', '--out', str(out)]) == 130
    assert len(Dataset(out).episodes) == 1
    assert list(tmp_path.iterdir()) == [out]
    assert '1 episode(s) until then' in ' '.join(capsys.readouterr().out.split())


@pytest.mark.parametrize('ends', [signal.SIGINT, signal.SIGTERM])
def test_in_the_background_of_a_shell_it_is_interrupted_too(tmp_path, ends):
    """There SIGINT is ignored, as a child finds it."""
    out = tmp_path / 'objects'
    words = ['pick_and_place', '--episodes', '500', '--workers', '1', '--out', str(out)]
    expert = subprocess.Popen(
        [sys.executable, '-m', 'g1_sim.expert_command', *words],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = monotonic() + 120.0
    while not any(len(p.read_text()) for p in tmp_path.glob('.expert-*/*/meta/episodes.jsonl')):
        assert expert.poll() is None and monotonic() < deadline
        sleep(0.05)
    expert.send_signal(ends)
    said, _ = expert.communicate(timeout=60.0)
    assert expert.returncode == 130 and 'episode(s) until then' in ' '.join(said.split())
    assert len(Dataset(out).episodes) >= 1
    assert list(tmp_path.iterdir()) == [out]


def test_worlds_of_evaluation_are_recorded_into_sets_of_their_own(tmp_path):
    out = tmp_path / 'mugs'
    words = ['pick_and_place', '--episodes', '1', '--variant', 'object', '--workers', '1']
    assert main([*words, '--out', str(out)]) == 0
    dataset = Dataset(out)
    assert dataset.schema.variant == 'object'
    with pytest.raises(ValueError, match=r'variant object, which cannot take .* variant none'):
        DatasetWriter.create(out, replace(dataset.schema, variant=''))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['dance', '--dry-run'], 'arrange_flower'),
        (['arrange_flower'], '--out DIR or --dry-run or --from-anywhere'),
        (['arrange_flower', '--dry-run', '--from-anywhere'], 'expected one of'),
        (['arrange_flower', '--from-anywhere', '--straying', '0'], 'without --cameras'),
        (['arrange_flower', '--from-anywhere', '--cameras', 'left_wrist'], 'without --cameras'),
        (['arrange_flower', '--out', '.'], 'exists'),
        (['arrange_flower', '--dry-run', '--episodes', '0'], 'at least 1'),
        (['arrange_flower', '--dry-run', '--straying', '-1'], 'expected 0 to 3'),
        (['arrange_flower', '--dry-run', '--misjudging', '-1'], 'expected 0 to 100 mm'),
        (['arrange_flower', '--dry-run', '--misjudging', 'far'], 'expected 0 to 100 mm, got far'),
        (['arrange_flower', '--from-anywhere', '--misjudging', '9'], 'with --dry-run'),
    ],
)
def test_wrong_arguments_are_refused_with_what_is_expected(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err
