"""`dit4dit export --authors`: a published client finds what it reads, and undoes the scaling."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from dit4dit_policy.cli import main
from dit4dit_policy.inference.processor import Processor, seen_by
from dit4dit_policy.model.presets import preset
from dit4dit_policy.serving.export import export
from g1_description import load_embodiment

CONFIG = preset('libero_nano')


@pytest.fixture
def processor():
    robot = load_embodiment('libero_panda')
    return Processor(
        embodiment=seen_by(robot, robot.model_cameras),
        state_lower=(-1.0,) * 8,
        state_upper=(1.0,) * 8,
        action_lower=(-0.9, -0.8, -0.7, -0.3, -0.2, -0.1, 0.0),
        action_upper=(0.9, 0.8, 0.7, 0.3, 0.2, 0.1, 1.0),
        image=CONFIG.backbone.image,
        state_dim=CONFIG.action.state_dim,
        action_dim=CONFIG.action.action_dim,
        tasks={},
    )


def client_actions(normalized, statistics):
    """What becomes of (K, 7) in the client for LIBERO, by its description in words."""
    bounds = next(iter(statistics.values()))['action']
    low, high = np.array(bounds['min']), np.array(bounds['max'])
    cut = np.clip(normalized, -1, 1)
    cut[:, 6] = cut[:, 6] >= 0.5
    return np.where(bounds['mask'], low + (cut + 1) / 2 * (high - low), cut)


def test_a_client_reads_two_folders_above_the_weights_and_undoes_the_scaling(processor, tmp_path):
    weights = export(CONFIG, processor, tmp_path / 'run')
    assert weights.is_file() and weights.suffix == '.pt'
    run = weights.parents[1]
    model = yaml.safe_load((run / 'config.yaml').read_text())['framework']['action_model']
    assert (model['future_action_window_size'] + 1, model['state_dim']) == (8, 16)
    statistics = json.loads((run / 'dataset_statistics.json').read_text())
    assert list(statistics) == ['franka']  # one, so that none has to be named
    normalized = np.random.default_rng(0).uniform(-1.2, 1.2, (8, 7))
    ours = processor.decode_action(torch.from_numpy(normalized))
    np.testing.assert_allclose(client_actions(normalized, statistics), ours, atol=1e-9)


def test_relative_actions_and_a_folder_that_is_full_are_refused(processor, tmp_path):
    robot = processor.embodiment
    arm = replace(robot.groups[0], relative=True)
    moved = replace(robot, groups=(arm, *robot.groups[1:]))
    with pytest.raises(ValueError, match='actions of arm are relative to the state'):
        export(CONFIG, replace(processor, embodiment=moved), tmp_path / 'run')
    (tmp_path / 'note').touch()
    with pytest.raises(ValueError, match='expected a new folder'):
        export(CONFIG, processor, tmp_path)


def test_of_a_checkpoint_by_its_name(tmp_path, capsys):
    assert main(['export', '--checkpoint', 'nano', '--authors', str(tmp_path / 'run')]) == 0
    assert '--embodiment g1_aloha' in capsys.readouterr().out
    statistics = json.loads((tmp_path / 'run' / 'dataset_statistics.json').read_text())
    assert len(statistics['g1_body29_aloha_arms_only']['action']['min']) == 16
