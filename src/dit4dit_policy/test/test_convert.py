"""A released checkpoint is made here: its three files, with the sizes of the toy model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_models as toy
import yaml

from dit4dit_policy import cli
from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.model import checkpoint, presets, released
from dit4dit_policy.model.dit4dit import DiT4DiT
from g1_description import load_embodiment

LIMBS = {'left_arm': 7, 'right_arm': 7, 'left_gripper': 1, 'right_gripper': 1}


@pytest.fixture(autouse=True)
def tiny_presets(monkeypatch):
    """`released` and `g1` in toy size: the same code, another width and heads of DiT-B."""
    config = toy.with_qwen()
    action = replace(config.action, future_tokens=0, state_dim=40, action_dim=20)
    config = replace(config, action=action, state_encoding='sin_cos')
    monkeypatch.setitem(presets.PRESETS, 'released', config)
    monkeypatch.setitem(presets.PRESETS, 'g1', config)
    monkeypatch.setitem(released._ACTION_DITS, 'DiT-B', (action.width, action.heads))
    return config


@pytest.fixture(scope='module')
def cosmos_folder(tmp_path_factory):
    return toy.cosmos(tmp_path_factory.mktemp('cosmos'))


@pytest.fixture
def settings(tiny_presets):
    """What a `config.yaml` says; it lists only entries that the authors' training read."""
    action = tiny_presets.action
    return {
        'framework': {
            'cosmos25': {'extract_layer': 2, 'training': 'joint'},
            'action_model': {
                'action_model_type': 'DiT-B', 'hidden_size': action.hidden_dim, 'action_dim': 20,
                'state_dim': 40, 'num_target_vision_tokens': 32,
                'diffusion_model_cfg': {'cross_attention_dim': action.feature_dim, 'num_layers': 2},
            },
        },
        'datasets': {
            'vla_data': {
                'video_delta_indices': list(range(9)), 'action_video_freq_ratio': 8,
                'image_size': [32, 48],
            }
        },
    }  # fmt: skip


@pytest.fixture
def file(tmp_path, settings, tiny_presets, cosmos_folder):
    """`run/checkpoints/steps_1_pytorch_model.pt`, its VAE that of the Cosmos folder."""
    run = tmp_path / 'run'
    (run / 'checkpoints').mkdir(parents=True)
    _write(run, settings)
    bounds = {'min': [-1.0] * 16, 'max': [1.0] * 15 + [-1.0], 'q01': [0.0] * 16}
    statistics = {'state': bounds, 'action': bounds, 'num_trajectories': 5, 'num_transitions': 700}
    (run / 'dataset_statistics.json').write_text(json.dumps({'new_embodiment': statistics}))
    torch.manual_seed(3)
    model: Any = DiT4DiT(tiny_presets)
    cosmos: Any = checkpoint.from_pretrained(cosmos_folder, tiny_presets)
    model.backbone.vae.load_state_dict(cosmos.backbone.vae.state_dict())
    back = {ours: theirs for theirs, ours in released.PREFIXES.items()}
    weights = {}
    for name, tensor in model.state_dict().items():
        prefix = next(p for p in back if name.startswith(p))
        weights[back[prefix] + name.removeprefix(prefix)] = tensor.bfloat16()
    for layer in range(toy.QWEN.layers):
        name = f'model.language_model.layers.{layer}.input_layernorm.weight'
        weights[released.TEXT_ENCODER + name] = torch.ones(toy.QWEN.hidden)
    path = run / 'checkpoints' / 'steps_1_pytorch_model.pt'
    torch.save(weights, path)
    return path


def _write(run, settings):
    (run / 'config.yaml').write_text(yaml.safe_dump(settings))


def _convert(file, *more):
    out = file.parents[1] / 'ours'
    return cli.main(['convert', '--released', str(file), '--out', str(out), *map(str, more)]), out


def test_a_released_checkpoint_becomes_ours_and_infers(file, cosmos_folder, capsys):
    code, out = _convert(file, '--step', 0.05, '--cosmos', cosmos_folder)
    assert code == 0
    table = capsys.readouterr().out
    assert f'text encoder (not copied) │       {toy.QWEN.layers}' in table
    policy = DiT4DiTPolicy.load(out, load_embodiment())
    assert policy.step == 0.05
    groups = policy.processor.embodiment.groups
    assert [len(group.state) for group in groups] == [7, 7, 1, 1]
    assert {group.state_encoding for group in groups} == {'sin_cos'}
    assert policy.processor.dataset['frames'] == 700
    assert policy.trained
    observation = Observation({'head': np.zeros((32, 48, 3), np.uint8)}, np.zeros(16), 'Do it.')
    chunk = policy.infer(observation)
    assert chunk.shape == (16, 16)
    assert np.abs(chunk[:, 15] + 1).max() < 1e-5  # the last joint never moved
    weights = torch.load(file, weights_only=True)
    for theirs, ours in released.PREFIXES.items():
        for name, tensor in policy.model.state_dict().items():
            if name.startswith(ours):
                expected = weights[theirs + name.removeprefix(ours)]
                assert torch.equal(tensor.bfloat16(), expected), name
    assert cli.main(['info', str(out)]) == 0
    assert 'steps_1_pytorch_model.pt' in capsys.readouterr().out


def test_one_for_libero_keeps_the_pairs_of_its_states_and_its_gripper_as_it_is(file):
    """The training interleaves sine and cosine of each number there."""
    bounds = {'min': [-0.5] * 6 + [0.0], 'max': [0.5] * 6 + [1.0]}
    states = {'min': [-1.0] * 8, 'max': [1.0] * 8}
    path = file.parents[1] / 'dataset_statistics.json'
    path.write_text(json.dumps({'franka': {'state': states, 'action': bounds}}))
    code, out = _convert(file, '--step', 0.05, '--robot', 'libero_panda')
    assert code == 0
    policy = DiT4DiTPolicy.load(out, load_embodiment('libero_panda'))
    assert policy.cameras == ('agentview', 'wrist')
    encoded = policy.processor.encode_state(np.arange(8.0))
    np.testing.assert_allclose(encoded[:16:2], np.sin(np.arange(8.0)), atol=1e-6)
    np.testing.assert_allclose(encoded[1:16:2], np.cos(np.arange(8.0)), atol=1e-6)
    action = policy.processor.decode_action(torch.tensor([0.0, 2.0, -1.0, 0.0, 0.0, 0.0, 0.6]))
    np.testing.assert_allclose(action, [0.0, 0.5, -0.5, 0.0, 0.0, 0.0, 1.0])


def test_without_a_cosmos_folder_the_vae_is_included(file):
    code, out = _convert(file, '--step', 0.05)
    assert code == 0
    assert checkpoint.read_config(out).frozen is None
    assert any(name.startswith('backbone.vae.') for name in checkpoint.stored_weights(out))
    model, _ = checkpoint.load(out, None)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_its_yaml_says_what_the_model_is(file, settings):
    model: Any = released.read(file).model
    assert model.backbone.feature_layer == 2
    assert model.backbone.frame_step == 8
    assert model.backbone.latent_frames == 2
    assert model.backbone.image == (32, 48)
    assert model.action.layers == 2


@pytest.mark.parametrize(
    ('entry', 'value', 'message'),
    [
        ('cosmos25.training', 'video', 'there is no action head'),
        ('cosmos25.extract_layer', 9, r'feature_layer: expected a block from 0 to 2 .* got 9'),
        ('cosmos25.future_loss_type', 'pixel_l1', 'is pixel_l1, only flow_matching can be'),
        ('cosmos25.flow_matching.high_sigma_ratio', 0.5, 'is 0.5, only 0.05 can be represented'),
        ('action_model.action_model_type', 'DiT-X', 'is DiT-X, expected DiT-B or DiT-L'),
        ('action_model.noise_s', 0.9, 'noise_s is 0.9, only 0.999 can be represented'),
        ('action_model.diffusion_model_cfg.norm_type', 'layer_norm', 'only ada_norm can be'),
    ],
)
def test_a_yaml_of_another_model_is_refused(file, settings, entry, value, message):
    at = settings['framework']
    *path, last = entry.split('.')
    for part in path:
        at = at.setdefault(part, {})
    at[last] = value
    _write(file.parents[1], settings)
    with pytest.raises(ValueError, match=message):
        released.read(file)


def _weights(file, change):
    weights = torch.load(file, weights_only=True)
    change(weights)
    torch.save(weights, file)


TABLE = 'action_model.position_embedding.weight'


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (lambda f: f.unlink(), 'expected the .pt file'),
        (lambda f: (f.parents[1] / 'config.yaml').unlink(), r'no config\.yaml in .* comes with it'),
        (lambda f: (f.parents[1] / 'config.yaml').write_text('a: ['), 'not YAML'),
        (lambda f: (f.parents[1] / 'dataset_statistics.json').unlink(), r'no dataset_statistics'),
        (
            lambda f: (f.parents[1] / 'dataset_statistics.json').write_text('{"a": {}, "b": {}}'),
            'choose one embodiment of a, b, got None',
        ),
        (
            lambda f: (f.parents[1] / 'dataset_statistics.json').write_text('{"a": {"state": {}}}'),
            'a has no min of its state values',
        ),
        (lambda f: f.write_bytes(f.read_bytes()[:-4000]), 'expected a state dict .* cut short'),
        (lambda f: torch.save([1], f), 'expected a state dict, tensors by name, got'),
        (lambda f: torch.save({'x': Path('/')}, f), 'expected a state dict of tensors'),
        (lambda f: _weights(f, lambda w: w.update(head=torch.ones(1))), 'unknown weight head'),
        (lambda f: _weights(f, lambda w: w.pop(TABLE)), 'first is action.position_embedding'),
        (
            lambda f: _weights(f, lambda w: w.update({'action_model.x': torch.ones(1)})),
            r'are unknown, the first is action\.x',
        ),
        (
            lambda f: _weights(f, lambda w: w[TABLE].view(-1)[0].fill_(float('inf'))),
            f'{TABLE} is not finite',
        ),
        (
            lambda f: _weights(f, lambda w: w.update({TABLE: torch.ones(2, 32)})),
            rf'{TABLE} should be \(16, 32\) by the configuration, is \(2, 32\)',
        ),
        (
            lambda f: _weights(f, lambda w: w.pop(list(w)[-1])),
            r'expected a text encoder of 3 layers of 32, got 2 of \[32\]',
        ),
    ],
)
def test_a_damaged_released_checkpoint_is_refused_with_what_is_wrong(file, spoil, message):
    spoil(file)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        released.read(file).load()


def test_conversion_says_what_it_needs(file, cosmos_folder, tmp_path, capsys):
    assert _convert(file)[0] == 2
    assert '--released needs --step' in capsys.readouterr().err
    robot = toy.embodiment_file(tmp_path / 'robot.yaml', toy.JOINTS[:15])
    assert _convert(file, '--step', 0.1, '--robot', robot)[0] == 2
    assert 'statistics are of 16 state values, toy has 15' in capsys.readouterr().err
    _weights(file, lambda w: w['backbone_interface.extractor.vae.encoder.conv_in.bias'].add_(1))
    assert _convert(file, '--step', 0.1, '--cosmos', cosmos_folder)[0] == 2
    assert '(encoder.conv_in.bias differs); convert without --cosmos' in capsys.readouterr().err


def test_cosmos_becomes_the_start_of_a_training(cosmos_folder, tmp_path, capsys):
    out = tmp_path / 'start'
    assert cli.main(['convert', '--cosmos', str(cosmos_folder), '--out', str(out)]) == 0
    policy = DiT4DiTPolicy.load(out, load_embodiment())
    assert not policy.trained
    assert policy.model.backbone.frozen_folder == cosmos_folder
    observation = Observation({'head': np.zeros((32, 48, 3), np.uint8)}, np.zeros(16), 'Do it.')
    assert policy.infer(observation).shape == (16, 16)
    assert cli.main(['convert', '--out', str(out)]) == 2
    assert 'expected --released FILE or --cosmos DIR' in capsys.readouterr().err
