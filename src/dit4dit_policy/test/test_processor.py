import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import toy_models as toy

from dit4dit_policy.inference.pictures import resize
from dit4dit_policy.inference.processor import Processor
from g1_description import Camera, Group


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


def test_a_target_beyond_its_bounds_is_cut_there(processor):
    narrow = replace(processor, action_lower=(0.04 - 1e-5,) * 16, action_upper=(0.04,) * 16)
    assert narrow.encode_action(np.full((2, 16), 0.03)).min() == -1  # not 2000 times as far out
    assert narrow.encode_action(np.full((2, 16), 0.05)).max() == 1


def test_padding_is_zero_and_dropped_again(processor):
    wide = replace(processor, state_dim=64, action_dim=32)
    unit = wide.encode_action(np.zeros((2, 16)))
    assert unit.shape == (2, 32)
    assert not unit[:, 16:].any()
    assert wide.decode_action(unit).shape == (2, 16)


def _grouped(processor, *groups, **changes):
    robot = replace(processor.embodiment, groups=groups)
    sizes = {'state': len(robot.state_names), 'action': len(robot.action_names)}
    bounds = {
        f'{kind}_{side}': getattr(processor, f'{kind}_{side}')[:size]
        for kind, size in sizes.items()
        for side in ('lower', 'upper')
    }
    return replace(processor, embodiment=robot, state_dim=64, **bounds, **changes)


def test_the_states_of_a_group_are_its_sines_and_then_its_cosines(processor):
    angles = np.arange(16) / 16
    whole = _grouped(processor, Group('all', toy.JOINTS, toy.JOINTS, 'sin_cos'))
    encoded = whole.encode_state(angles)
    np.testing.assert_allclose(encoded[:16], np.sin(angles), atol=1e-6)
    np.testing.assert_allclose(encoded[16:32], np.cos(angles), atol=1e-6)
    assert not encoded[32:].any()
    limbs = [toy.JOINTS[:7], toy.JOINTS[7:14], toy.JOINTS[14:15], toy.JOINTS[15:]]
    groups = [Group(str(i), limb, limb, 'sin_cos') for i, limb in enumerate(limbs)]
    encoded = _grouped(processor, *groups).encode_state(angles)
    np.testing.assert_allclose(encoded[:7], np.sin(angles[:7]), atol=1e-6)
    np.testing.assert_allclose(encoded[7:14], np.cos(angles[:7]), atol=1e-6)
    np.testing.assert_allclose(encoded[14:21], np.sin(angles[7:14]), atol=1e-6)
    np.testing.assert_allclose(encoded[28:30], [np.sin(14 / 16), np.cos(14 / 16)], atol=1e-6)
    assert not encoded[32:].any()


@pytest.fixture
def panda(processor):
    """As LIBERO has it: eight numbers of state and seven of action, the gripper open or shut."""
    pose, fingers = tuple('xyzrpw'), ('left', 'right')
    return _grouped(
        processor,
        Group('hand', pose, tuple(f'd{name}' for name in pose), 'sin_cos_interleaved'),
        Group('fingers', fingers, (), 'none'),
        Group('gripper', (), ('gripper',), action_encoding='none', binary=True),
    )


def test_state_and_action_may_differ_in_size_and_groups_in_encoding(panda):
    state = np.arange(8) / 8
    encoded = panda.encode_state(state)
    np.testing.assert_allclose(encoded[0:12:2], np.sin(state[:6]), atol=1e-6)
    np.testing.assert_allclose(encoded[1:12:2], np.cos(state[:6]), atol=1e-6)
    np.testing.assert_allclose(encoded[12:14], state[6:], atol=1e-6)
    assert not encoded[14:].any()
    unit = panda.encode_action(np.array([0.5] * 6 + [1.0]))
    np.testing.assert_allclose(unit[:7], [0.0] * 6 + [1.0], atol=1e-6)
    decoded = panda.decode_action(torch.tensor([[0.0] * 6 + [0.7], [0.0] * 6 + [0.2]]))
    np.testing.assert_allclose(decoded, [[0.5] * 6 + [1.0], [0.5] * 6 + [0.0]], atol=1e-6)


def test_relative_actions_are_given_less_the_state(processor):
    arm, hand = toy.JOINTS[:7], toy.JOINTS[7:]
    relative = _grouped(processor, Group('arm', arm, arm, relative=True), Group('hand', hand, hand))
    rng = np.random.default_rng(0)
    state, targets = rng.uniform(-1, 1, size=(4, 1, 16)), rng.uniform(0, 0.5, size=(4, 8, 16))
    targets[..., :7] += state[..., :7]
    unit = relative.encode_action(targets, state)
    assert unit.min() >= -0.51 and unit.max() <= 0.01
    np.testing.assert_allclose(relative.decode_action(unit, state), targets, atol=1e-6)
    with pytest.raises(ValueError, match='some actions are relative to it, it has to be given'):
        relative.encode_action(targets)


def test_a_resized_pixel_is_the_mean_of_its_area_whatever_the_ratio():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (12, 20, 3), np.uint8)
    fine = image.repeat(8, axis=0).repeat(7, axis=1).astype(float)  # 96 x 140, a whole multiple
    expected = fine.reshape(8, 12, 14, 10, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(resize(image, (8, 14)), expected, atol=0.51)
    whole = image.reshape(6, 2, 10, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(resize(image, (6, 10)), whole, atol=1.01)


def test_images_of_any_size_become_the_models(processor):
    image = np.zeros((480, 640, 3), dtype=np.uint8)
    image[:, 320:] = (255, 0, 0)
    encoded = processor.encode_images({'head': image})
    assert encoded.shape == (3, 32, 48)
    assert encoded[0, :, 24:].min() == 1
    assert encoded[1:].max() == 0
    assert encoded[0, :, :24].max() == 0


def test_pictures_of_several_cameras_are_cropped_and_stand_side_by_side(processor):
    crop = (0, 0, 48, 64)  # the upper left quarter
    wrist = Camera('wrist', 'observation.images.wrist', width=128, height=96, crop=crop)
    robot = replace(processor.embodiment, cameras=processor.embodiment.cameras | {'wrist': wrist})
    two = replace(processor, embodiment=robot)
    head, hand = np.full((96, 128, 3), 40, np.uint8), np.zeros((192, 256, 3), np.uint8)
    hand[:96, :128] = 255
    encoded = two.encode_images({'wrist': hand, 'head': head, 'other': head})
    assert encoded.shape == (3, 32, 96)
    assert encoded[:, :, :48].max() < 0.2
    assert encoded[:, :, 48:].min() == 1
    whole = two.uncropped(np.full((32, 96, 3), 99, np.uint8), {'wrist': hand, 'head': head})
    assert (whole[:, :48] == 99).all()
    assert (whole[:16, 48:72] == 99).all()
    assert (whole[16:, 48:] == 0).all()
    assert (whole[:, 72:] == 0).all()
    with pytest.raises(ValueError, match='expected those of head, wrist, got head; missing: wrist'):
        two.encode_images({'head': head})


def test_further_pictures_of_half_the_size_stand_above_each_other(processor):
    cameras = {
        name: Camera(name, f'observation.images.{name}', width=128, height=96)
        for name in ('head', 'left', 'right')
    }
    robot = replace(processor.embodiment, cameras=cameras)
    three = replace(processor, embodiment=robot, further_views='half')
    images = {n: np.full((96, 128, 3), 50 * i, np.uint8) for i, n in enumerate(cameras, 1)}
    frame = three.frame(images)
    assert frame.shape == (32, 72, 3)
    assert (frame[:, :48] == 50).all()
    assert (frame[:16, 48:] == 100).all()
    assert (frame[16:, 48:] == 150).all()
    assert (three.uncropped(frame, images) == frame).all()
    with pytest.raises(ValueError, match="further_views: expected 'full' or 'half', got 'tiny'"):
        replace(processor, further_views='tiny')
    two = replace(three, embodiment=replace(robot, cameras=dict(list(cameras.items())[:2])))
    assert (two.frame(images)[16:, 48:] == 0).all()


@pytest.mark.parametrize(
    'image', [np.zeros((480, 640), np.uint8), np.zeros((480, 640, 3), np.float32)]
)
def test_other_images_are_refused(processor, image):
    with pytest.raises(ValueError, match=r'expected \(height, width, 3\) uint8 RGB'):
        processor.encode_images({'head': image})


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
        ({'format': 9}, 'expected format 2, got 9; train or convert'),
        ({'format': 1}, r'expected format 2, got 1; `dit4dit convert --upgrade .*` converts it'),
        ({'action_lower': [0.0] * 15}, 'action_lower needs 16 finite values'),
        ({'state_upper': [-1.0] * 16}, 'state of joint_0 has no range'),
        ({'state_dim': 8}, 'toy needs 16 state and 16 action values, the model has 8 and 16'),
        ({'colour': 'red'}, 'unknown colour; known are embodiment'),
        ({'embodiment': {'name': 'x'}}, 'missing: cameras, groups, rate, robot_type'),
        (
            {'action_shift': -1},
            'expected action_shift, initial_noise_std and imagined_noise_std of at',
        ),
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
