"""A backbone of somebody else, without video, does all that is asked of a backbone."""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
import toy_models as toy
from safetensors.torch import load_file, save_file
from torch import nn

from dit4dit_policy import cli
from dit4dit_policy.evaluation.imagine import imagine
from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.inference.fast_path import PLAIN
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.model import backbone, checkpoint, presets
from dit4dit_policy.model.backbone import Backbone, BackboneConfig, backbone_class
from dit4dit_policy.model.config import ModelConfig
from dit4dit_policy.model.dit4dit import DiT4DiT
from dit4dit_policy.training.train import TrainConfig, train


@dataclass(frozen=True, kw_only=True)
class PatchConfig(BackboneConfig):
    kind: str = 'patches'
    side: int = 16
    width: int = 32

    @property
    def tokens(self) -> int:
        return self.frame[0] // self.side * (self.frame[1] // self.side)


class Patches(Backbone):
    """One linear layer over patches of the image and the length of the sentence."""

    Config = PatchConfig

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.layer = nn.Linear(3 * config.side**2, config.width)
        self.sentence = nn.Linear(1, config.width)

    def encode(self, frames):
        return frames - 0.5

    def embed(self, sentences):
        return torch.tensor([[len(s) / 100] for s in sentences], device=self.device)

    def features(self, observed, noise, prompt, tau):
        side = self.config.side
        patches = observed[:, :, 0].unfold(2, side, side).unfold(3, side, side)
        patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
        return self.layer(patches) + self.sentence(prompt.to(patches))[:, None]


@pytest.fixture(autouse=True)
def config(monkeypatch):
    """`tiny` behind that backbone, which is found as an entry point is."""
    find = backbone.find_plugin
    monkeypatch.setattr(
        backbone, 'find_plugin', lambda g, name: Patches if name == 'patches' else find(g, name)
    )
    config = replace(toy.tiny(), backbone=PatchConfig(image=(32, 48)))
    monkeypatch.setitem(presets.PRESETS, 'patches', config)
    return config


def _observation(text='Touch it.'):
    image = toy.scene(np.array([0.3, 0.6]), 0.5, (480, 640))
    return Observation({'head': image}, np.linspace(-1, 1, 16), text)


def _policy(config):
    torch.manual_seed(0)
    return DiT4DiTPolicy(DiT4DiT(config), toy.processor(config), {'trained': True}, 'patches')


def test_its_configuration_survives_json(config):
    again = ModelConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert (again.backbone.tokens, again.backbone.frame) == (6, (32, 48))
    entries = config.to_dict()
    with pytest.raises(ValueError, match=r"model\.backbone: unknown \['colour'\]; known are"):
        ModelConfig.from_dict(entries | {'backbone': entries['backbone'] | {'colour': 1}})
    with pytest.raises(ValueError, match=r'model\.backbone: expected entries by name, `kind`'):
        ModelConfig.from_dict(entries | {'backbone': {'image': [32, 48]}})
    with pytest.raises(ValueError, match=r"no dit4dit\.backbones 'eye'; there are: cosmos, qwen3"):
        ModelConfig.from_dict(entries | {'backbone': {'kind': 'eye'}})


def test_what_is_no_backbone_is_refused():
    with pytest.raises(ValueError, match='expected a subclass of Backbone, got'):
        backbone_class('json:dumps')


def test_it_gives_chunks_that_depend_on_what_is_seen_and_said(config):
    policy = _policy(config)
    chunk = policy.infer(_observation())
    plain = replace(policy, shortcuts=PLAIN)
    np.testing.assert_allclose(plain.infer(_observation()), chunk, atol=1e-6)
    assert np.abs(policy.infer(_observation('Leave it where it is, please.')) - chunk).max() > 1e-4
    other = replace(_observation(), images={'head': np.zeros((480, 640, 3), np.uint8)})
    assert np.abs(policy.infer(other) - chunk).max() > 1e-4


def test_it_trains_and_its_checkpoint_infers(config, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    settings = TrainConfig(
        preset='patches', embodiment=str(toy.embodiment_file(tmp_path / 'toy.yaml')),
        datasets={str(toy.record(tmp_path / 'data', episodes=4)): 1.0},
        output=str(tmp_path / 'run'), tasks={'touch': toy.INSTRUCTION}, val_fraction=0.25,
        variants=2, steps=3, batch_size=4, video_batch_size=2, warmup_steps=1, evaluate_every=3,
        threads=1, bf16=False,
    )  # fmt: skip
    folder = train(settings)
    policy = DiT4DiTPolicy.load(folder, toy.embodiment())
    assert policy.infer(_observation()).shape == (16, 16)
    record = json.loads((tmp_path / 'run' / 'metrics.jsonl').read_text())
    assert record['action'] > 0
    assert 'video' not in record
    torch.manual_seed(settings.seed)
    begun = DiT4DiT(config).backbone.state_dict()
    stored = load_file(folder / 'model.safetensors')
    assert (stored['backbone.layer.weight'] - begun['layer.weight']).abs().max() > 1e-4
    assert cli.main(['info', str(folder)]) == 0
    assert '6 tokens of 32' in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"a patches backbone has no loss .* got 'video'"):
        train(replace(settings, mode='video', output=str(tmp_path / 'video')))


def test_it_is_not_asked_for_a_video(config):
    with pytest.raises(ValueError, match='its backbone, patches, imagines nothing'):
        imagine(_policy(config), _observation().images['head'], 'Touch it.', steps=1)


def test_several_cameras_are_seen_side_by_side(config):
    nano: Any = presets.preset('nano')
    two, three = nano.with_views(2), nano.with_views(3)
    assert two.backbone.frame == (96, 256)
    assert two.backbone.latent_shape == (16, 2, 12, 32)
    assert two.backbone.transformer == nano.backbone.transformer
    assert three.backbone.transformer.max_size == (4, 24, 48)
    assert three.backbone.tokens == 3 * nano.backbone.tokens
    with pytest.raises(ValueError, match=r'3 view\(s\) of \(96, 128\) .* `with_views` widens them'):
        replace(nano.backbone, views=3)
    with pytest.raises(ValueError, match='views: expected 1 or more, got 0'):
        nano.with_views(0)
    with pytest.raises(ValueError, match=r'image: expected \(height, width\) in pixels, got \(0,'):
        replace(config.backbone, image=(0, 48))


def test_further_views_may_be_of_half_the_size():
    small: Any = presets.preset('small')
    half = replace(small, backbone=replace(small.backbone, further_views='half'))
    three = half.with_views(3).backbone
    assert three.frame == (128, 240)
    assert three.transformer == small.backbone.transformer  # no wider tables are needed
    assert three.tokens == 1.5 * small.backbone.tokens
    assert three.places == [
        (slice(0, 128), slice(0, 160)),
        (slice(0, 64), slice(160, 240)),
        (slice(64, 128), slice(160, 240)),
    ]
    assert half.with_views(4).backbone.frame == (128, 320)
    assert half.with_views(1).backbone.frame == (128, 160)
    with pytest.raises(ValueError, match="further_views: expected 'full' or 'half', got 'tiny'"):
        replace(small.backbone, further_views='tiny')
    with pytest.raises(
        ValueError, match=r'image: expected even sizes with half further_views, got'
    ):
        replace(half.backbone, image=(129, 160))


def test_the_second_camera_counts(config):
    model = DiT4DiT(toy.tiny().with_views(2)).eval()
    video = model.backbone
    frame = torch.rand(1, 3, 32, 96)
    other = frame.clone()
    other[..., 48:] = 0
    prompt, noise, tau = video.embed(['Touch it.']), video.draw_noise(1), torch.ones(1)
    with torch.no_grad():
        one, two = (
            video.features(video.observe(x, video.shortcuts), noise, prompt, tau)
            for x in (frame, other)
        )
    assert one.shape == (1, model.config.backbone.tokens, 32)
    assert (one - two).abs().max() > 1e-3


def test_checkpoints_written_before_the_backbone_had_a_name_still_load(tmp_path):
    torch.manual_seed(0)
    model = DiT4DiT(toy.tiny())
    checkpoint.save(model, tmp_path, {'trained': True}, dtype=None)
    record = json.loads((tmp_path / 'config.json').read_text())
    video, action = record['model'].pop('backbone'), record['model']['action']
    for part, names in (
        (video, {'hook': 'feature_layer', 'time': 'time_distribution', 'scale': 'latent_scaling'}),
        (action, {'hidden': 'hidden_dim', 'features': 'feature_dim', 'action': 'action_dim',
                  'state': 'state_dim', 'positions': 'max_positions', 'time': 'time_convention'}),
    ):  # fmt: skip
        for old, new in names.items():
            part[old] = part.pop(new)
    for name in ('kind', 'views'):
        video.pop(name)
    loss_weight = record['model'].pop('backbone_loss_weight')
    record |= {
        'format': 1,
        'model': record['model'] | {'video': video, 'video_weight': loss_weight},
    }
    (tmp_path / 'config.json').write_text(json.dumps(record))
    path = tmp_path / 'model.safetensors'
    weights = {n.replace('backbone.', 'video.', 1): t for n, t in load_file(path).items()}
    save_file(weights, path)
    again, training = checkpoint.load(tmp_path, None)
    assert again.config == model.config
    assert training == {'trained': True}
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
