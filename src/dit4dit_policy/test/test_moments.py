"""Frames that come with their targets: what of them an example shows, and what is not asked."""

from pathlib import Path

import numpy as np
import pytest
import torch
import toy_models as toy

from dit4dit_policy.model import presets
from dit4dit_policy.training.clips import CachedClips
from dit4dit_policy.training.config import TrainConfig
from dit4dit_policy.training.demonstrations import Demonstrations
from dit4dit_policy.training.examples import Examples
from dit4dit_policy.training.held_out import Split
from dit4dit_policy.training.train import train
from g1_data import DatasetWriter, Extra, Schema
from g1_data.schema import CHUNK_KEY, KEYFRAME_KEY

FILM = 24  # frames of a toy demonstration


def _moments(root: Path, count: int, steps: int = 16) -> Path:
    """A dataset of `count` moments: what follows the k-th is 0.01 k + 0.001 a step everywhere."""
    names = tuple(f'{name} {step}' for step in range(steps) for name in toy.JOINTS)
    extras = {CHUNK_KEY: Extra(names), KEYFRAME_KEY: Extra(toy.JOINTS)}
    writer = DatasetWriter.create(
        root, Schema.of(toy.embodiment(), {'head': toy.SIZE}, extras=extras)
    )
    with writer.episode(toy.INSTRUCTION) as episode:
        for k in range(count):
            chunk = 0.01 * k + 0.001 * np.arange(steps)[:, None] * np.ones(16)
            image = toy.scene(np.full(2, k / count), 0.5)
            extra = {CHUNK_KEY: chunk.ravel(), KEYFRAME_KEY: np.full(16, 0.02 * k)}
            sentence = 'Touch it.' if k % 2 else ''
            episode.add(np.full(16, 0.01 * k), chunk[0], {'head': image}, extra, sentence)
    return root


@pytest.fixture
def mixture(tmp_path):
    film, moments = toy.record(tmp_path / 'film', 4), _moments(tmp_path / 'moments', 10)
    return {str(film): 1.0, str(moments): 1.0}


def _examples(mixture):
    config = toy.with_keyframe()
    data = Demonstrations.read(mixture, toy.embodiment())
    rows = torch.arange(len(data.state)).float().view(-1, 1, 1, 1, 1).expand(-1, 16, 1, 4, 6)
    latents = [[rows[data.dataset == i]] for i in range(len(mixture))]
    prompts = torch.arange(len(data.instructions)).float().view(-1, 1, 1).expand(-1, 64, 128)
    clips = CachedClips.of(latents, data, config.backbone.clip_offsets)
    moments = data.moments(config.action.horizon)
    processor = data.processor(config, {}, moments)
    return Examples.make(config, data, moments, processor, clips, prompts), data


def test_a_moment_is_taught_with_its_own_targets_keyframe_and_sentence(mixture):
    examples, data = _examples(mixture)
    start = 4 * FILM
    batch = examples.batch(torch.tensor([0, start + 3, start + 4]))
    targets = examples.processor.decode_action(batch.actions)
    np.testing.assert_allclose(targets[0], data.action[:16], atol=1e-6)  # a film's follow it
    own = 0.03 + 0.001 * np.arange(16)[:, None] * np.ones(16)
    np.testing.assert_allclose(targets[1], own, atol=1e-5)
    np.testing.assert_allclose(targets[2], own + 0.01, atol=1e-5)
    keyframes = examples.processor.decode_state(batch.keyframe.numpy().astype(float))
    np.testing.assert_allclose(keyframes[1:, 0], (0.06, 0.08), atol=1e-5)
    assert [data.instructions[int(p[0, 0])] for p in batch.prompt] == [
        toy.INSTRUCTION,
        'Touch it.',
        toy.INSTRUCTION,
    ]


def test_bounds_span_what_moments_ask_for_later_and_their_keyframes(mixture):
    film, moments = mixture
    data = Demonstrations.read({film: 1.0, moments: 1.0}, toy.embodiment())
    alone = Demonstrations.read({film: 1.0}, toy.embodiment())
    told = data.moments(16)
    told.targets[-1, -1, 3], told.keyframe[-1, 3] = 2.0, -2.0
    bounds = data.processor(toy.tiny(), {}, told)
    assert (bounds.action_upper[3], bounds.state_lower[3]) == (2.0, -2.0)
    films = alone.processor(toy.tiny(), {}, alone.moments(16))
    assert films.action_upper[3] < 2.0 and films.state_lower[3] > -2.0


def test_moments_are_all_trained_on_and_none_is_held_out(mixture):
    data = Demonstrations.read(mixture, toy.embodiment())
    split = Split.of(data, 0.25)
    assert data.film[split.held_out].all()
    assert len(split.training[1]) == 10


def test_films_are_held_out_by_their_own_count(mixture):
    film, moments = mixture
    one, other = ({a: 1.0, b: 1.0} for a, b in ((film, moments), (moments, film)))
    data = [Demonstrations.read(paths, toy.embodiment()) for paths in (one, other)]
    assert len({len(Split.of(d, 0.25).held_out) for d in data}) == 1
    with pytest.raises(ValueError, match='0 episodes are too few'):
        Split.of(Demonstrations.read({moments: 1.0}, toy.embodiment()), 0.25)


def test_too_few_targets_are_refused(tmp_path):
    short = _moments(tmp_path / 'short', 4, steps=8)
    film = toy.record(tmp_path / 'film', 4)
    with pytest.raises(ValueError, match=r'short: expected at least 16 targets of 0.1 s .* got 8'):
        _examples({str(film): 1.0, str(short): 1.0})


def test_the_video_loss_sees_films_only(mixture, tmp_path, monkeypatch):
    seen, batch = [], Examples.batch

    def noted(self, start_B, augmented=False, whole=None):
        if augmented:
            seen.append((start_B < 4 * FILM).tolist()[:whole])
        return batch(self, start_B, augmented, whole)

    monkeypatch.setattr(Examples, 'batch', noted)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setitem(presets.PRESETS, 'tiny', toy.with_keyframe())
    path = toy.embodiment_file(tmp_path / 'toy.yaml')
    train(
        TrainConfig(
            preset='tiny',
            embodiment=str(path),
            datasets=mixture,
            output=str(tmp_path / 'run'),
            val_fraction=0.25,
            variants=1,
            bf16=False,
            steps=4,
            evaluate_every=4,
            batch_size=8,
            video_batch_size=6,
            autoencoder_steps=2,
            autoencoder_batch_size=2,
        )
    )
    assert seen and all(all(films) for films in seen)
