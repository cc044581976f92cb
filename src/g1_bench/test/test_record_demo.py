"""Recording with the scripted operator, through every node from poses to the dataset."""

import subprocess

import pytest

from g1_data.dataset import Dataset
from g1_data.validate import validate
from g1_ros.config import load_tasks
from g1_test_support.processes import Program
from g1_test_support.waiting import DEADLINE

PATIENCE = 400.0  # [s]; a tenth of it on a computer that has nothing else to do


@pytest.mark.timeout(600)
def test_an_episode_teleoperated_by_the_scripted_operator_is_recorded(tmp_path):
    root = tmp_path / 'dataset'
    words = (
        *('g1', 'launch', 'teleop_record.launch.py', 'device:=scripted'),
        *('task:=pick_and_place', 'seed:=3', 'episodes:=1', f'dataset:={root}'),
    )
    with Program(words) as launched:
        launched.wait_for('that was the goal', PATIENCE)
        assert launched.interrupt() == 0
    assert validate(root) == []
    dataset = Dataset(root)
    (episode,) = dataset.episodes
    assert episode.task == load_tasks()['pick_and_place']
    assert episode.length > 5 * dataset.fps
    columns = dataset.read_episode(0)
    gripper = dataset.action_names.index('right_gripper_joint')
    openings = columns['action'][:, gripper]
    assert openings[0] > 0.035 and openings.min() < 0.02 and openings[-1] > 0.035
    assert columns['observation.state'][:, gripper].min() > openings.min() + 0.005  # round a can


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_demo_leaves_a_valid_dataset_and_its_picture(tmp_path):
    ran = subprocess.run(
        ['g1', 'record-demo', '--episodes', '2', '--out', str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (folder,) = tmp_path.iterdir()
    assert folder.name.endswith('-record-pick_and_place')
    assert {path.name for path in folder.iterdir()} == {'dataset', 'contact_sheet.png', 'log.txt'}
    assert validate(folder / 'dataset') == []
    assert len(Dataset(folder / 'dataset').episodes) == 2
    assert '1 on purpose' in ran.stdout


@pytest.mark.parametrize('words', [['--task', 'nonsense'], ['--seed', 'x'], ['--episodes', '1']])
def test_what_cannot_be_recorded_is_refused_before_anything_is_made(tmp_path, words):
    ran = subprocess.run(
        ['g1', 'record-demo', '--out', str(tmp_path / 'runs'), *words],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ran.returncode == 2
    assert words[1] in ran.stderr
    assert not (tmp_path / 'runs').exists()
