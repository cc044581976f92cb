"""Step by step the numbers of the published evaluation client, on a recorded attempt.

`recorded/` is libero_spatial's task 0 from its initial state 0, made with LIBERO's simulator; what
the authors' client makes of it (pictures, states, commands for random outputs of a model) was noted
by running their functions.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dit4dit_benchmarks.libero import protocol
from dit4dit_policy.inference.processor import Processor, encoded_for, seen_by
from dit4dit_policy.model.cosmos.config import CosmosConfig
from dit4dit_policy.model.presets import preset
from g1_description import load_embodiment

RECORDED = Path(__file__).parent / 'recorded'


@pytest.fixture(scope='module')
def attempt():
    return np.load(RECORDED / 'libero_attempt.npz')


@pytest.fixture(scope='module')
def processor(attempt):
    """As a checkpoint for LIBERO has it, with the bounds of the recorded statistics."""
    config, robot = preset('libero'), load_embodiment('libero_panda')
    return Processor(
        embodiment=encoded_for(config, seen_by(robot, robot.model_cameras)),
        state_lower=(0.0,) * 8,
        state_upper=(1.0,) * 8,
        action_lower=tuple(attempt['low']),
        action_upper=tuple(attempt['high']),
        image=config.backbone.image,
        state_dim=config.action.state_dim,
        action_dim=config.action.action_dim,
        tasks={},
    )


def picture(name):
    return np.array(Image.open(RECORDED / f'libero_{name}.png'))


def test_pictures(processor):
    raw = {key: picture(f'{name}_raw') for name, key in protocol.CAMERAS.items()}
    frame = processor.frame(protocol.pictures(raw))
    expected = picture('frame')
    assert frame.shape == expected.shape == (224, 448, 3)
    # Both are means over areas; they round differently.
    difference = np.abs(frame.astype(int) - expected)
    assert difference.max() <= 1 and difference.mean() < 0.3


def test_states(processor, attempt):
    for k, expected in enumerate(attempt['state']):
        state = protocol.state(
            {
                'robot0_eef_pos': attempt['eef_pos'][k],
                'robot0_eef_quat': attempt['eef_quat'][k],
                'robot0_gripper_qpos': attempt['gripper'][k],
            }
        )
        np.testing.assert_allclose(state, expected, rtol=0, atol=1e-12)
        encoded = processor.encode_state(state)
        assert encoded.shape == (16,)
        np.testing.assert_allclose(encoded, attempt['encoded'][k], rtol=0, atol=1e-6)


def test_commands(processor, attempt):
    normalized = attempt['normalized']
    assert np.abs(normalized).max() > 1  # some have to be cut
    assert normalized.shape == (2, 8, 8)
    commands = [
        protocol.command(action)
        for chunk in normalized
        for action in processor.decode_action(torch.from_numpy(chunk))
    ]
    np.testing.assert_allclose(commands, attempt['commands'], rtol=0, atol=1e-7)
    assert {command[6] for command in commands} == {-1.0, 1.0}


def test_the_model_is_of_the_published_shape():
    config = preset('libero')
    backbone, action = config.backbone, config.action
    assert isinstance(backbone, CosmosConfig)
    assert backbone.frame == (224, 448)
    assert (backbone.feature_layer, backbone.latent_frames) == (17, 2)
    assert backbone.clip_offsets == (0, 2, 4, 6, 8)
    assert (action.horizon, action.action_dim, action.state_dim) == (8, 8, 16)
    assert (action.future_tokens, config.feature_gradient) == (0, False)
