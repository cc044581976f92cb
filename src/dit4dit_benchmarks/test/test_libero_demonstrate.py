"""The scripted expert and its recordings, on a table of kinematics; without LIBERO's simulator."""

import numpy as np
import pytest
from toy_libero import ToyLibero

from dit4dit_benchmarks.libero import demonstrate as command
from dit4dit_benchmarks.libero.demonstrate import demonstrate, main, record
from dit4dit_benchmarks.libero.expert import Disturbance, PickAndPlaceExpert
from g1_data import Dataset
from g1_data.schema import ACTION_KEY, STATE_KEY


def attempt(world, seed=0):
    return demonstrate(world, 'libero_spatial', 0, 3, np.random.default_rng(seed))


@pytest.mark.parametrize('seed', range(10))
def test_the_bowl_comes_onto_the_plate_whatever_disturbs_the_arm(seed):
    made = attempt(ToyLibero(), seed)
    assert made is not None and 30 < len(made.actions) < 120
    actions = np.array(made.actions)
    assert np.abs(actions[:, :6]).max() <= 1.0
    assert set(actions[:, 6]) == {0.0, 1.0} and actions[0, 6] == 1.0


def test_what_is_recorded_is_what_the_expert_wanted_and_not_the_disturbance():
    world = ToyLibero()
    made = attempt(world)
    done = [arguments['chunk'][0] for name, arguments in world.asked if name == 'step']
    apart = np.abs(np.array(done) - made.actions).max(axis=1)
    assert (apart > 0.05).mean() > 0.5
    np.testing.assert_array_equal(np.array(done)[:, 6], np.array(made.actions)[:, 6])
    shutting = np.flatnonzero(np.diff(np.array(made.actions)[:, 6]) < 0)[0] + 1
    assert apart[shutting] == 0.0  # nobody pushes it then


def test_demonstrations_differ():
    first, second = (attempt(ToyLibero(), seed) for seed in (0, 1))
    assert not np.array_equal(first.actions[5], second.actions[5])


def test_a_thing_that_slips_is_grasped_again():
    made = attempt(ToyLibero(slips=True))
    assert made is not None
    gripper = np.array(made.actions)[:, 6]
    assert (np.diff(gripper) < 0).sum() == 2


def test_the_hand_is_turned_back_to_point_down():
    made = attempt(ToyLibero())
    states = np.array([seen['state'] for seen in made.seen])
    down = np.array([np.pi, 0.0, 0.0])
    off = [np.linalg.norm(state[3:6] - down) for state in states]
    assert off[0] > 0.09 and np.mean(off[-10:]) < 0.05


def test_an_expert_that_does_not_know_a_thing_says_what_it_knows():
    with pytest.raises(ValueError, match=r'akita_black_bowl, butter.*got moka_pot'):
        PickAndPlaceExpert('moka_pot_1', 'plate_1', np.random.default_rng(0))


def test_a_disturbance_stays_within_what_the_controller_takes():
    disturbance = Disturbance(np.random.default_rng(0))
    done = np.array([disturbance.on(np.array([1.0, -1, 0, 0, 0, 0, 1])) for _ in range(300)])
    assert np.abs(done[:, :6]).max() <= 1.0 and (done[:, 6] == 1.0).all()


def test_a_dataset_has_the_published_keys_and_goes_into_no_other(tmp_path):
    out = tmp_path / 'libero_spatial-0'
    assert record(ToyLibero(), 'libero_spatial-0', range(2), 2, out) == (4, 4)
    dataset = Dataset(out)
    assert (dataset.fps, len(dataset.episodes)) == (20, 4)
    keys = {video.key for video in dataset.schema.videos.values()}
    assert keys == {'observation.images.image', 'observation.images.wrist_image'}
    assert dataset.tasks == ('do 0 of libero_spatial',)
    read = dataset.read_finite(0, (STATE_KEY, ACTION_KEY))
    assert (read[STATE_KEY].shape[1], read[ACTION_KEY].shape[1]) == (8, 7)
    with pytest.raises(ValueError, match='has 4 episodes; choose another folder'):
        record(ToyLibero(), 'libero_spatial-0', range(1), 1, out)


def test_the_command_records_a_folder_a_task(tmp_path, monkeypatch, capsys):
    world = ToyLibero()
    monkeypatch.setattr(command, 'simulator', lambda: lambda: world)
    few = ['--init-states', '1', '--rounds', '1', '--out', str(tmp_path)]
    assert main(['libero_spatial-0', 'libero_spatial-2', *few]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {'libero_spatial-0', 'libero_spatial-2'}
    assert 'libero_spatial-2: 1 demonstrations, of 1 attempts' in capsys.readouterr().out
    assert world.asked[-1][0] == 'close'
    assert main(['libero_spatial-10', *few]) == 2
    assert "expected a task as libero_spatial-0, got 'libero_spatial-10'" in capsys.readouterr().err
    assert main(['libero_spatial-0', '--rounds', '0', '--out', str(tmp_path)]) == 2
    assert '--rounds: expected at least 1, got 0' in capsys.readouterr().err
