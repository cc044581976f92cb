"""A policy that learns from the scripted operator who helps it."""

import json
import subprocess

import pytest
import yaml

from g1_data.dataset import Dataset
from g1_data.validate import validate
from g1_ros.config import config_path
from g1_test_support.waiting import DEADLINE


def dagger(*words, patience=DEADLINE):
    return subprocess.run(
        ['g1', 'dagger', *map(str, words)],
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )


@pytest.mark.parametrize(
    'words',
    [
        ['--task', 'nonsense'],
        ['--rounds', '0'],
        ['--config', 'none.yaml'],
        ['--demonstrations', '3'],
    ],
)
def test_what_cannot_be_learnt_is_refused_before_anything_is_made(tmp_path, words):
    ran = dagger('--out', tmp_path / 'runs', *words)
    assert ran.returncode == 2
    assert words[1] in ran.stderr
    assert not (tmp_path / 'runs').exists()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_round_is_recorded_trained_on_and_compared_and_done_only_once(tmp_path):
    config = yaml.safe_load(config_path('train_teleop.yaml').read_text())
    config |= {'rounds': {'steps': 2}, 'val_fraction': 0.5}
    recipe, out = tmp_path / 'recipe.yaml', tmp_path / 'out'
    recipe.write_text(yaml.safe_dump(config | {'batch_size': 4, 'evaluate_every': 1}))
    counts = ('--episodes', 2, '--demonstrations', 6, '--evaluated', 2)
    words = ('--config', recipe, '--out', out, *counts)
    ran = dagger(*words, patience=1000)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert 'only B' in ran.stdout
    rollouts = out / 'round-1' / 'dataset'
    assert validate(rollouts) == []
    assert len(Dataset(rollouts).episodes) == 2
    assert 'in_control' in Dataset(rollouts).read_episode(0)
    results = [out / 'before', out / 'round-1' / 'after']
    before, after = (json.loads((folder / 'results.json').read_text()) for folder in results)
    assert before['checkpoint'] != after['checkpoint']
    again = dagger(*words, patience=200)
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(Dataset(rollouts).episodes) == 2
