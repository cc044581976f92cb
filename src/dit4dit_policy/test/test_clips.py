"""What an example shows a model: chunks, clips of pictures, what is changed of them, and by whom it
is taught.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_models as toy

from dit4dit_policy.model.cosmos.backbone import CosmosBackbone
from dit4dit_policy.training.augmentation import augmented_anew
from dit4dit_policy.training.clips import CachedClips, FreshClips
from dit4dit_policy.training.demonstrations import Demonstrations
from dit4dit_policy.training.examples import Examples
from dit4dit_policy.training.held_out import Split
from dit4dit_policy.training.latent_cache import LatentCache, augmented
from g1_data import DatasetWriter, Extra, Schema
from g1_description.control_source import CONTROL_KEY, ControlSource


@pytest.fixture(scope='module')
def recorded(tmp_path_factory):
    return toy.record(tmp_path_factory.mktemp('data') / 'touch', episodes=4)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return LatentCache.default()


def _silently(items, _what, _count):
    return items


def _examples(config, mixture, cache, video=None, robot=None):
    """Examples with made-up latents, or with those of `video`; and their demonstrations."""
    data = Demonstrations.read(mixture, robot or toy.embodiment())
    moments = data.moments(config.action.horizon)
    processor = data.processor(config, {}, moments)
    if video:
        latents = cache.latents(video, data, 1, _silently)
    else:
        rows = torch.arange(len(data.state)).float().view(-1, 1, 1, 1, 1).expand(-1, 16, 1, 4, 6)
        latents = [[rows[data.dataset == i]] for i in range(len(mixture))]
    prompts = torch.zeros(len(data.instructions), 64, 128)
    clips = CachedClips.of(latents, data, config.backbone.clip_offsets)
    return Examples.make(config, data, moments, processor, clips, prompts), data, processor


def test_chunks_and_clips_end_with_their_episode(recorded, cache):
    examples, data, processor = _examples(toy.tiny(), {str(recorded): 1.0}, cache)
    rows = torch.tensor([0, 20, 30])
    batch = examples.batch(rows)
    assert batch.latents[:, 0, :, 0, 0].tolist() == [[0, 8], [20, 23], [30, 38]]
    targets = processor.decode_action(batch.actions)
    np.testing.assert_allclose(targets[0], data.action[:16], atol=1e-6)
    np.testing.assert_allclose(targets[1][3:], data.action[[23] * 13], atol=1e-6)
    assert batch.mask.all()


def test_joints_that_a_dataset_has_not_do_not_count(recorded, tmp_path, cache):
    names = ('thumb', *toy.JOINTS[:15])
    other = toy.record(tmp_path / 'other', 2, seed=1, joints=names)
    tiny = toy.tiny()
    config = replace(tiny, action=replace(tiny.action, state_dim=18, action_dim=18))
    examples, data, processor = _examples(
        config,
        {str(recorded): 1.0, str(other): 3.0},
        cache,
        robot=toy.embodiment((*toy.JOINTS, 'thumb')),
    )
    rows = torch.tensor([0, 96 + 20])
    batch = examples.batch(rows)
    assert batch.mask[0, 3].tolist() == [1.0] * 16 + [0.0] * 2
    assert batch.mask[1, 3].tolist() == [1.0] * 15 + [0.0, 1.0, 0.0]
    assert batch.state[1, 0, [15, 17]].abs().max() < 1e-6
    place = processor.decode_action(batch.actions)[1, -1]  # of joint 0, which the thumb is here
    np.testing.assert_allclose(place[[16, 0]], data.action[119, [16, 0]], atol=1e-6)
    assert batch.latents[1, 0, 0, 0, 0] == 116


def test_frames_are_encoded_once_and_again_when_the_autoencoder_is_another(
    recorded, cache, monkeypatch
):
    config: Any = toy.tiny()
    first, second = CosmosBackbone(config.backbone).eval(), CosmosBackbone(config.backbone).eval()
    a, _, _ = _examples(config, {str(recorded): 1.0}, cache, first)
    files = set(cache.folder.iterdir())
    monkeypatch.setattr(CosmosBackbone, 'encode', None)
    b, _, _ = _examples(config, {str(recorded): 1.0}, cache, first)
    assert torch.equal(a.clips.latents[0][0], b.clips.latents[0][0])
    monkeypatch.undo()
    monkeypatch.setenv('XDG_CACHE_HOME', str(cache.folder.parent.parent))
    _examples(config, {str(recorded): 1.0}, cache, second)
    assert len(set(cache.folder.iterdir())) == len(files) + 1


def test_a_frame_that_is_left_over_is_encoded_as_the_others(recorded, cache, monkeypatch):
    config: Any = toy.tiny()
    video = CosmosBackbone(config.backbone).eval()
    at_once, _, _ = _examples(config, {str(recorded): 1.0}, cache, video)
    monkeypatch.setenv('XDG_CACHE_HOME', str(cache.folder / 'other'))
    monkeypatch.setattr('dit4dit_policy.training.latent_cache._ENCODED_AT_ONCE', 23)  # of 24
    one_left, _, _ = _examples(config, {str(recorded): 1.0}, LatentCache.default(), video)
    torch.testing.assert_close(
        one_left.clips.latents[0][0], at_once.clips.latents[0][0], rtol=0.05, atol=0.05
    )


_PLACE = [(slice(0, 32), slice(0, 48))]


def test_clips_of_a_vae_that_compresses_time_are_encoded_whole(recorded, cache):
    tiny: Any = toy.tiny()
    vae = replace(tiny.backbone.vae, dim_mult=(1, 2, 2), temperal_downsample=(True, True))
    small = replace(tiny.backbone, vae=vae, frame_step=1, image=(32, 64))
    config: Any = replace(tiny, backbone=small)
    video = CosmosBackbone(config.backbone).eval()
    examples, data, _ = _examples(config, {str(recorded): 1.0}, cache, video)
    frames = next(data.videos(0, config.backbone.places))
    clip = torch.from_numpy(frames[[20, 21, 22, 23, 23]]).permute(3, 0, 1, 2).float()[None] / 255
    got = examples.batch(torch.tensor([20])).latents
    torch.testing.assert_close(got, video.encode(clip), rtol=0.05, atol=0.05)


def test_augmentation_changes_the_light_of_a_whole_episode_alike(recorded):
    frames = next(Demonstrations.read({str(recorded): 1.0}, toy.embodiment()).videos(0, _PLACE))
    plain, lit, other = augmented(frames, 0, 0), augmented(frames, 0, 1), augmented(frames, 1, 1)
    assert torch.equal(lit, augmented(frames, 0, 1))
    corner = (lit / plain)[:, :, 3, 3]
    torch.testing.assert_close(corner, corner[:1].expand(24, -1))
    assert (lit - other).abs().max() > 0.01


def test_every_example_is_augmented_in_its_own_way_and_its_frames_alike(recorded):
    data = Demonstrations.read({str(recorded): 1.0}, toy.embodiment())
    frames = torch.from_numpy(next(data.videos(0, _PLACE))[[0, 0]])
    clips = frames.permute(0, 3, 1, 2).float().expand(8, -1, -1, -1, -1) / 255
    torch.manual_seed(0)
    seen = augmented_anew(clips)
    assert seen.min() >= 0 and seen.max() <= 1
    assert (seen[:, 0] - seen[:, 1]).abs().mean() < 0.02  # but for noise
    assert min((seen[0, 0] - other[0]).abs().mean() for other in seen[1:]) > 0.01
    assert (seen - clips).abs().mean() < 0.25


def test_fresh_clips_are_as_the_robot_sees_them_unless_augmented(recorded):
    config: Any = toy.tiny()
    data = Demonstrations.read({str(recorded): 1.0}, toy.embodiment())
    backbone = CosmosBackbone(config.backbone).eval()
    pictures = np.concatenate(list(data.videos(0, config.backbone.places)))
    clips, rows = FreshClips(backbone, pictures, data.last), torch.tensor([0, 20])
    plain = clips.encoded(rows, augmented=False)
    shown = torch.from_numpy(pictures[[20, 23]]).permute(3, 0, 1, 2).float()[None] / 255
    torch.testing.assert_close(plain[1:], backbone.encode(shown), rtol=1e-3, atol=1e-4)
    some = clips.encoded(rows, augmented=False, whole=1)
    torch.testing.assert_close(some[0], plain[0])
    torch.testing.assert_close(some[1, :, :1], plain[1, :, :1])
    a, b = (clips.encoded(rows, augmented=True) for _ in range(2))
    assert (a - b).abs().max() > 0.01 and (a - plain).abs().max() > 0.01


def test_only_what_the_expert_did_is_learnt_of_corrections(tmp_path):
    schema = Schema.of(
        toy.embodiment(),
        {'head': toy.SIZE},
        extras={CONTROL_KEY: Extra(('control_source',), 'uint8')},
    )
    writer = DatasetWriter.create(tmp_path / 'corrections', schema)
    for _ in range(4):
        with writer.episode(toy.INSTRUCTION) as episode:
            for k, row in enumerate(zip(*toy.demonstration(np.ones(2)), strict=True)):
                image = {'head': toy.scene(np.ones(2), 0.5)}
                episode.add(*row, image, {CONTROL_KEY: np.array([k >= 10])})
    data = Demonstrations.read({str(tmp_path / 'corrections'): 1.0}, toy.embodiment())
    split = Split.of(data, 0.25)
    rows = split.draw(torch.zeros(500, dtype=torch.long))
    assert set(rows.tolist()) == {24 * e + k for e in range(3) for k in range(10, 24)}
    assert set(split.held_out.tolist()) == {72 + k for k in range(10, 24)}


def rollouts(root: Path, by_episode: Sequence[Sequence[ControlSource]]) -> dict[str, float]:
    """Attempts of 24 frames, each moved by whom it says; as a mixture."""
    extras = {CONTROL_KEY: Extra(('control_source',), 'uint8')}
    schema = Schema.of(toy.embodiment(), {'head': toy.SIZE}, extras=extras)
    with DatasetWriter.create(root, schema) as writer:
        for sources in by_episode:
            with writer.episode(toy.INSTRUCTION) as episode:
                rows = zip(*toy.demonstration(np.ones(2)), sources, strict=True)
                for state, action, source in rows:
                    image = {'head': toy.scene(np.ones(2), 0.5)}
                    episode.add(state, action, image, {CONTROL_KEY: np.array([source])})
    return {str(root): 1.0}


def test_of_a_policys_attempt_an_intervention_is_learnt_up_to_its_own_end(tmp_path):
    policy, operator, nobody = ControlSource
    attempts = (
        [policy] * 8 + [operator] * 6 + [nobody] * 4 + [policy] * 6,
        [nobody, operator] * 12,
    )
    data = Demonstrations.read(rollouts(tmp_path / 'rollouts', attempts), toy.embodiment())
    assert np.flatnonzero(data.weight).tolist() == [*range(8, 14), *range(24, 48)]
    assert set(data.last[8:14]) == {13}
    assert set(data.last[24:]) == {47}  # a demonstration teaches all that it shows


def test_what_a_policy_did_itself_is_learnt_where_that_is_asked_for(tmp_path):
    policy, operator, nobody = ControlSource
    attempt = [policy] * 12 + [operator] * 6 + [nobody] * 6
    mixture = rollouts(tmp_path / 'rollouts', [attempt] * 2)
    data = Demonstrations.read(mixture, toy.embodiment(), policy_weight=0.5)
    assert data.weight[:24].tolist() == [0.5] * 12 + [1.0] * 6 + [0.0] * 6
    assert set(data.last[:12]) == {11}
    torch.manual_seed(0)
    rows = Split.of(data, 0.5).draw(torch.zeros(4000, dtype=torch.long))
    assert set(rows.tolist()) == set(range(18))
    assert (rows < 12).float().mean() == pytest.approx(0.5, abs=0.04)


def test_attempts_without_an_intervention_are_refused_unasked(tmp_path):
    mixture = rollouts(tmp_path / 'rollouts', [[ControlSource.POLICY] * 24] * 2)
    with pytest.raises(ValueError, match=r'rollouts: a policy did all of it; .*policy_weight'):
        Demonstrations.read(mixture, toy.embodiment())
    assert Demonstrations.read(mixture, toy.embodiment(), policy_weight=1.0).episodes == 2
