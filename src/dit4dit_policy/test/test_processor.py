import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dit4dit_policy.inference.processor import Processor

_spec = importlib.util.spec_from_file_location('toy', Path(__file__).with_name('toy.py'))
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)


@pytest.fixture
def processor():
    return toy.processor(toy.tiny())


def test_actions_go_there_and_back(processor):
    targets = np.random.default_rng(0).uniform(-0.5, 1.5, size=(16, 16))
    unit = processor.encode_action(targets)
    assert unit.abs().max() <= 1
    np.testing.assert_allclose(processor.decode_action(unit), targets, atol=1e-6)


def test_decoded_actions_stay_within_what_was_demonstrated(processor):
    targets = processor.decode_action(torch.full((16, 16), 7.0))
    np.testing.assert_allclose(targets, 1.5)


def test_padding_is_zero_and_dropped_again(processor):
    wide = replace(processor, state_dim=64, action_dim=32)
    unit = wide.encode_action(np.zeros((2, 16)))
    assert unit.shape == (2, 32)
    assert not unit[:, 16:].any()
    assert wide.decode_action(unit).shape == (2, 16)


def test_sin_cos_states(processor):
    encoded = replace(processor, state_encoding='sin_cos', state_dim=64).encode_state(
        np.full(16, np.pi / 6)
    )
    np.testing.assert_allclose(encoded[:16], 0.5, atol=1e-6)
    np.testing.assert_allclose(encoded[16:32], np.sqrt(0.75), atol=1e-6)


def test_sin_cos_states_of_a_released_model_are_encoded_limb_by_limb(processor):
    angles = np.arange(16) / 16
    encoded = replace(
        processor, state_encoding='sin_cos', state_dim=64, state_groups=(7, 7, 1, 1)
    ).encode_state(angles)
    np.testing.assert_allclose(encoded[:7], np.sin(angles[:7]), atol=1e-6)
    np.testing.assert_allclose(encoded[7:14], np.cos(angles[:7]), atol=1e-6)
    np.testing.assert_allclose(encoded[14:21], np.sin(angles[7:14]), atol=1e-6)
    np.testing.assert_allclose(encoded[28:30], [np.sin(14 / 16), np.cos(14 / 16)], atol=1e-6)
    assert not encoded[32:].any()


def test_images_of_any_size_become_the_models(processor):
    image = np.zeros((480, 640, 3), dtype=np.uint8)
    image[:, 320:] = (255, 0, 0)
    encoded = processor.encode_image(image)
    assert encoded.shape == (3, 32, 48)
    assert encoded[0, :, 24:].min() == 1
    assert encoded[1:].max() == 0
    assert encoded[0, :, :24].max() == 0


@pytest.mark.parametrize(
    'image', [np.zeros((480, 640), np.uint8), np.zeros((480, 640, 3), np.float32)]
)
def test_other_images_are_refused(processor, image):
    with pytest.raises(ValueError, match=r'expected \(height, width, 3\) uint8 RGB'):
        processor.encode_image(image)


def test_other_states_are_refused(processor):
    with pytest.raises(ValueError, match=r'expected 16 values in the order joint_0, .* \(14,\)'):
        processor.encode_state(np.zeros(14))
    with pytest.raises(ValueError, match='not finite'):
        processor.encode_state(np.full(16, np.nan))


def test_round_trip_through_a_file(processor, tmp_path):
    processor.save(tmp_path / 'processor.json')
    assert Processor.load(tmp_path / 'processor.json') == processor


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'format': 9}, 'expected format 1, got 9'),
        ({'action_lower': [0.0] * 15}, 'action_lower needs 16 finite values'),
        ({'state_upper': [-1.0] * 16}, 'state of joint_0 has no range'),
        ({'state_encoding': 'sin_cos'}, '16 joints need 32 state and 16 action values'),
        ({'colour': 'red'}, 'unknown colour; known are joint_names'),
        ({'joint_names': ['elbow'] * 16}, 'a joint is named twice'),
        ({'state_encoding': 'raw'}, 'expected min_max or sin_cos, got raw'),
        ({'state_groups': [8, 8]}, r'expected numbers of sin_cos joints.* of min_max'),
        ({'step': 0.0}, 'step: expected a time above 0 s, got 0.0'),
    ],
)
def test_a_wrong_file_is_refused(processor, tmp_path, change, message):
    path = tmp_path / 'processor.json'
    processor.save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        Processor.load(path)


def test_missing_statistics_are_refused(processor, tmp_path):
    path = tmp_path / 'processor.json'
    processor.save(path)
    values = json.loads(path.read_text())
    del values['action_upper']
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match='action_upper is missing; train or convert again'):
        Processor.load(path)
    path.write_text('{')
    with pytest.raises(ValueError, match='not JSON'):
        Processor.load(path)
