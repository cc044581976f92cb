import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import toy_models as toy

from dit4dit_policy import cli
from dit4dit_policy.inference.chunk_policy import Observation, keyframe_of
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.inference.processor import Processor
from dit4dit_policy.inference.shipped import checkpoint_folder, described
from dit4dit_policy.model import checkpoint
from dit4dit_policy.model.dit4dit import DiT4DiT
from dit4dit_policy.nodes.policy_parameters import PolicyParameters
from g1_description import Camera, load_embodiment
from g1_description.plugins import find_plugin
from g1_ros.config import load_tasks

WRIST = {'wrist': Camera('wrist', 'observation.images.wrist', width=64, height=48)}


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    config = toy.tiny()
    checkpoint.save(DiT4DiT(config), tmp_path, {'trained': True, 'steps': 3})
    toy.processor(config).save(tmp_path / 'processor.json')
    return tmp_path


def _observation(seed=0):
    rng = np.random.default_rng(seed)
    image = toy.scene(rng.uniform(size=2), 0.5, (480, 640))
    return Observation({'head': image}, rng.uniform(-1, 1, size=16), toy.INSTRUCTION)


def test_a_chunk_has_sixteen_targets_within_the_demonstrated_range(folder):
    policy = DiT4DiTPolicy.load(folder, toy.embodiment())
    chunk = policy.infer(_observation())
    assert chunk.shape == (16, 16)
    assert chunk.dtype == np.float64
    assert chunk.min() >= -0.5
    assert chunk.max() <= 1.5
    assert policy.trained
    assert policy.step == 0.1
    assert policy.tasks == {'touch': toy.INSTRUCTION}
    assert set(policy.durations) == {'image', 'backbone', 'action_dit', 'rest'}


def test_the_same_observation_gives_the_same_chunk_and_another_one_another(folder):
    policy, again = DiT4DiTPolicy.load(folder), DiT4DiTPolicy.load(folder)
    first = policy.infer(_observation())
    policy.infer(_observation(1))
    assert np.array_equal(policy.infer(_observation()), first)
    assert np.array_equal(again.infer(_observation()), first)
    assert not np.array_equal(policy.infer(_observation(1)), first)


def test_a_warm_up_changes_nothing(folder):
    policy, warm = DiT4DiTPolicy.load(folder), DiT4DiTPolicy.load(folder)
    warm.warm_up()
    assert warm.durations
    assert np.array_equal(warm.infer(_observation()), policy.infer(_observation()))
    DiT4DiTPolicy.untrained('nano').warm_up()  # knows no task to be warmed up with


def test_a_policy_says_where_a_gripper_will_move_if_it_was_taught_to(folder):
    policy = DiT4DiTPolicy.load(folder)
    policy.infer(_observation())
    assert keyframe_of(policy) is None
    torch.manual_seed(0)
    config = toy.with_keyframe()
    checkpoint.save(DiT4DiT(config), folder, {'trained': True})
    policy = DiT4DiTPolicy.load(folder)
    policy.infer(_observation())
    first, told = keyframe_of(policy), policy.processor.encode_state(keyframe_of(policy))
    assert first.shape == (16,)
    policy.infer(_observation(1))
    other = policy.processor.encode_state(keyframe_of(policy))
    assert 0 < (told - other).abs().max() < 2


def test_an_instruction_is_embedded_once(folder, monkeypatch):
    policy = DiT4DiTPolicy.load(folder)
    policy.infer(_observation())

    def embed(_prompts):
        raise AssertionError('embedded again')

    monkeypatch.setattr(policy.model.backbone, 'embed', embed)
    policy.infer(_observation(1))


def test_untrained_nano_moves_near_the_robots_home():
    from g1_description import load_robot

    robot, policy = load_robot(), DiT4DiTPolicy.untrained('nano')
    assert not policy.trained
    assert policy.embodiment.action_names == tuple(robot.action_joints)
    chunk = policy.infer(Observation(_observation().images, robot.home, 'Do something.'))
    assert np.abs(chunk - robot.home).max() <= 0.05 + 1e-9
    assert np.array_equal(
        chunk, DiT4DiTPolicy.untrained('nano').infer(
            Observation(_observation().images, robot.home, 'Do something.')
        ),
    )  # fmt: skip


def _json(folder, name, **changes):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ('spoil', 'error', 'message'),
    [
        (lambda f: (f / 'processor.json').unlink(), FileNotFoundError, r'no processor\.json in'),
        (lambda f: _json(f, 'processor.json', image=[64, 64]), ValueError, 'does not belong'),
    ],
)
def test_a_processor_of_another_model_is_refused_with_what_is_wrong(folder, spoil, error, message):
    spoil(folder)
    with pytest.raises(error, match=message):
        DiT4DiTPolicy.load(folder)


def test_a_robot_with_other_joints_is_refused(folder):
    other = toy.embodiment((*toy.JOINTS[1:], toy.JOINTS[0]))
    with pytest.raises(ValueError, match=r'state: .* trained on joint_0, .*; toy has joint_1,'):
        DiT4DiTPolicy.load(folder, other)
    with pytest.raises(ValueError, match=r'sees head; toy has no head, it has wrist'):
        DiT4DiTPolicy.load(folder, replace(toy.embodiment(), cameras=WRIST))


def test_a_checkpoint_says_how_large_it_is(tmp_path):
    assert described('nano') == 'nano (3.6 M)'
    (tmp_path / 'model.safetensors').write_bytes(b'cut short')
    assert described(tmp_path) == str(tmp_path)


def test_where_no_checkpoint_is_given_one_is_taken_that_was_taught_every_task():
    taught = json.loads((checkpoint_folder() / 'processor.json').read_text())['tasks']
    said_by_the_scene = {'pick_by_colour'}
    assert set(taught) == set(load_tasks()) - said_by_the_scene
    assert PolicyParameters(task='box_packing').source == checkpoint_folder().name
    assert PolicyParameters(checkpoint='runs/mine').source == 'runs/mine'


def test_the_shipped_policy_is_found_by_name_for_a_robot():
    robot = load_embodiment('g1_aloha')
    policy = find_plugin('dit4dit.policies', 'dit4dit')('nano', robot)
    assert policy.embodiment == robot and policy.trained
    assert (policy.cameras, policy.step, policy.horizon) == (('head',), 0.1, 16)
    state = robot.home(robot.state_names)
    image = _observation().images['head']
    chunk = policy.infer(Observation({'head': image}, state, 'Pick up the flower.', stamp=3.0))
    assert chunk.shape == (16, len(robot.action_names))


def test_a_processor_of_version_0_1_is_converted_and_encodes_the_same(folder, capsys):
    """Without groups its sines stand before all cosines."""
    old = {
        'joint_names': list(toy.JOINTS), 'state_lower': [-1.0] * 16, 'state_upper': [1.0] * 16,
        'action_lower': [-0.5] * 16, 'action_upper': [1.5] * 16, 'image': [32, 48],
        'state_dim': 64, 'action_dim': 16, 'state_encoding': 'sin_cos', 'tasks': {'touch': 'Go.'},
        'cameras': ['head'], 'step': 0.05, 'lead': 1, 'noise': 0.5, 'state_groups': [],
        'dataset': None, 'format': 1,
    }  # fmt: skip
    path = folder / 'processor.json'
    path.write_text(json.dumps(old))
    with pytest.raises(ValueError, match=r'convert --upgrade'):
        DiT4DiTPolicy.load(folder)
    assert cli.main(['convert', '--upgrade', str(folder)]) == 0
    assert 'converted' in capsys.readouterr().out
    processor = Processor.load(path)
    assert (processor.action_shift, processor.initial_noise_std) == (1, 0.5)
    assert processor.step == pytest.approx(0.05) and processor.action_names == toy.JOINTS
    angles = np.arange(16) / 16
    expected = [*np.sin(angles), *np.cos(angles), *np.zeros(32)]
    np.testing.assert_allclose(processor.encode_state(angles), expected, atol=1e-6)
    assert cli.main(['convert', '--upgrade', str(folder)]) == 0
    assert 'of this version already' in capsys.readouterr().out
    path.write_text('{"format": 0}')
    assert cli.main(['convert', '--upgrade', str(folder)]) == 2
    assert 'expected format 1 or 2' in capsys.readouterr().err
