from dataclasses import replace

import numpy as np
import pytest
import toy_models as toy

from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.model import presets
from dit4dit_policy.training import start
from dit4dit_policy.training.config import TrainConfig
from dit4dit_policy.training.train import train

CAMERAS = ('head', 'wrist', 'left', 'above')


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setitem(presets.PRESETS, 'tiny', toy.tiny())
    recorded = toy.record(tmp_path / 'touch', episodes=4, cameras=CAMERAS)
    return TrainConfig(
        preset='tiny', embodiment=str(toy.embodiment_file(tmp_path / 'toy.yaml', cameras=CAMERAS)),
        datasets={str(recorded): 1.0}, output=str(tmp_path / 'run'),
        tasks={'touch': toy.INSTRUCTION}, val_fraction=0.25, autoencoder_steps=3,
        autoencoder_batch_size=2, variants=1, steps=1, batch_size=4, video_batch_size=2,
        evaluate_every=1, threads=1, bf16=False,
    )  # fmt: skip


def observation(**scenes):
    images = {name: toy.scene(np.zeros(2), scenes.get(name, 0.5)) for name in CAMERAS}
    return Observation(images, np.zeros(16), toy.INSTRUCTION)


def test_several_cameras_are_trained_on_side_by_side(settings, tmp_path):
    robot = toy.embodiment(cameras=CAMERAS)
    policy = DiT4DiTPolicy.load(train(replace(settings, cameras=('wrist', 'head'))), robot)
    assert policy.cameras == ('wrist', 'head')
    assert policy.model.config.backbone.frame == (32, 96)
    chunk = policy.infer(observation(wrist=0.1))
    *_, future = policy.imagination(observation(), 1)
    assert future.pixels.shape == (32, 48, 3)  # by the first camera alone
    assert not np.array_equal(policy.infer(observation(head=0.1)), chunk)
    alone = Observation({'head': toy.scene(np.zeros(2), 0.5)}, np.zeros(16), toy.INSTRUCTION)
    with pytest.raises(ValueError, match='expected those of wrist, head, got head; missing: wrist'):
        policy.infer(alone)
    settings = replace(settings, output=str(tmp_path / 'deaf'), cameras=('ear',))
    with pytest.raises(ValueError, match='toy has head, wrist, left, above; expected some of them'):
        train(settings)


def test_pictures_are_read_once_for_the_autoencoder_and_for_the_examples(settings, monkeypatch):
    read, layouts = start._pictures, []

    def counted(*given):
        layouts.append(given[-1])
        return read(*given)

    monkeypatch.setattr(start, '_pictures', counted)
    train(replace(settings, cameras=('head', 'wrist'), augment='example'))
    assert layouts == [((32, 48), 2, 'full')]


def test_cameras_are_added_at_half_the_size(settings, tmp_path):
    first = train(replace(settings, cameras=('head',)))
    added = replace(
        settings, cameras=CAMERAS, init_from=str(first), output=str(tmp_path / 'added'),
        model={'backbone.further_views': 'half'},
    )  # fmt: skip
    policy = DiT4DiTPolicy.load(train(added), toy.embodiment(cameras=CAMERAS))
    assert policy.model.config.backbone.frame == (32, 96)
    chunk = policy.infer(observation())
    assert not np.array_equal(policy.infer(observation(above=0.1)), chunk)
    two = replace(added, cameras=CAMERAS[:2], output=str(tmp_path / 'two'))
    with pytest.raises(ValueError, match=r'multiples of 16 pixels, got \(32, 72\) of 2 view'):
        train(two)
