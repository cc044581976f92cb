"""Qwen3-VL behind the action DiT, with random weights: tokens, mask, gradients, training."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import toy_models as toy
from safetensors.torch import save_file
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen3_vl import Qwen3VLForConditionalGeneration

from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.inference.fast_path import PLAIN
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.model import checkpoint, presets
from dit4dit_policy.model.dit4dit import Batch, DiT4DiT
from dit4dit_policy.model.presets import preset
from dit4dit_policy.model.qwen3_vl.backbone import Qwen3VLBackbone
from dit4dit_policy.training.train import TrainConfig, train

NANO: Any = preset('qwen3_nano')
SHORT, LONG = 'Touch it.', 'Put the red flower into the vase.'


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return DiT4DiT(NANO).eval()


def _published(model, frames, sentence):
    """Last hidden states of the whole published class, its pixels by the published processor."""
    backbone = model.backbone
    whole = Qwen3VLForConditionalGeneration(backbone.model.config).eval()
    whole.model.load_state_dict(backbone.model.state_dict())
    prepare = Qwen2VLImageProcessorPil(
        patch_size=16, merge_size=2, temporal_patch_size=2, image_mean=[0.5] * 3,
        image_std=[0.5] * 3, min_pixels=1, max_pixels=10**7,
    )  # fmt: skip
    ids = backbone.embed([sentence])
    ids = ids[:, backbone.mask(ids)[0]]
    with torch.no_grad():
        return whole(
            input_ids=ids,
            mm_token_type_ids=(ids == backbone.model.config.image_token_id).int(),
            output_hidden_states=True,
            **prepare(images=list(frames), return_tensors='pt'),
        ).hidden_states[-1]


def _features(model, frames, sentences):
    backbone = model.backbone
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    prompt, count = backbone.embed(sentences), len(frames)
    with torch.no_grad():
        observed = backbone.observe(pixels, backbone.shortcuts)
        tokens = backbone.features(observed, backbone.draw_noise(count), prompt, torch.ones(count))
    return tokens, backbone.mask(prompt)


def test_features_are_the_last_hidden_states_of_the_published_class(model):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 96, 128, 3), dtype=np.uint8)
    tokens, mask = _features(model, frames, [SHORT, LONG])
    assert tokens.shape == (2, NANO.backbone.tokens, NANO.backbone.width)
    for row, sentence in enumerate((SHORT, LONG)):
        expected = _published(model, frames[row : row + 1], sentence)
        torch.testing.assert_close(tokens[row, mask[row]][None], expected, atol=1e-4, rtol=1e-4)


def test_padding_does_not_reach_the_actions(model):
    frames = np.full((1, 96, 128, 3), 90, np.uint8)
    tokens, mask = _features(model, frames, [SHORT])
    state, noise = torch.zeros(1, 1, 16), torch.randn(1, 16, 16)
    spoilt = torch.where(mask[..., None], tokens, 1e3 * torch.ones_like(tokens))
    with torch.no_grad():
        one, two = (
            model.sample_actions(model.action.velocity(x, state, mask), noise)
            for x in (tokens, spoilt)
        )
        unmasked = model.sample_actions(model.action.velocity(spoilt, state), noise)
    torch.testing.assert_close(one, two)
    assert (one - unmasked).abs().max() > 1e-2


def test_the_action_loss_trains_all_of_it(model):
    backbone, count = model.backbone, 2
    batch = Batch(
        latents=backbone.encode(torch.rand(count, 3, 1, 96, 128)),
        prompt=backbone.embed([SHORT, LONG]),
        state=torch.ones(count, 1, 16),
        actions=torch.rand(count, 16, 16),
        mask=torch.ones(count, 16, 16),
        keyframe=torch.zeros(count, 16),
    )
    model.zero_grad()
    model.action_losses(batch, 2)['action'].backward()
    without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert without == set()
    with pytest.raises(ValueError, match='a qwen3_vl backbone has no loss of its own'):
        model.backbone_loss(batch)


def test_the_2b_preset_has_the_paper_s_size():
    with torch.device('meta'):
        model: Any = DiT4DiT(preset('qwen3_2b'))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 2_290_832_928
    backbone: Any = model.config.backbone
    assert backbone.image_tokens == 49


def _settings(folder):
    """Of a training of `qwen3_nano` on eight demonstrations by the toy robot, on one core."""
    return TrainConfig(
        preset='qwen3_nano', embodiment=str(toy.embodiment_file(folder / 'toy.yaml')),
        datasets={str(toy.record(folder / 'data', episodes=8)): 1.0}, output=str(folder / 'run'),
        tasks={'touch': toy.INSTRUCTION}, val_fraction=0.125, variants=1, steps=200, batch_size=16,
        warmup_steps=10, evaluate_every=50, video_lr=7e-4, action_lr=7e-4, threads=1, bf16=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_steps_lower_the_action_loss(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    folder = train(_settings(tmp_path))
    lines = (folder.parent / 'metrics.jsonl').read_text().splitlines()
    losses = [json.loads(line)['action'] for line in lines]  # means of fifty steps
    print(f'action loss: {losses}')
    assert len(losses) == 4 and losses[-1] < losses[0] / 4


def test_it_trains_and_its_checkpoint_gives_the_same_chunks_with_and_without_shortcuts(
    tmp_path, monkeypatch
):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    small = replace(NANO, backbone=replace(NANO.backbone, image=(32, 64)))
    monkeypatch.setitem(presets.PRESETS, 'small', small)
    folder = train(
        replace(
            _settings(tmp_path), preset='small', val_fraction=0.25, steps=2, batch_size=4,
            video_batch_size=2, warmup_steps=1, evaluate_every=2, gradient_checkpointing=True,
        )
    )  # fmt: skip
    policy = DiT4DiTPolicy.load(folder, toy.embodiment())
    image = toy.scene(np.array([0.3, 0.6]), 0.5, (480, 640))
    observation = Observation({'head': image}, np.linspace(-1, 1, 16), toy.INSTRUCTION)
    chunk = policy.infer(observation)
    assert chunk.shape == (16, 16)
    plain = replace(policy, shortcuts=PLAIN).infer(observation)
    np.testing.assert_allclose(chunk, plain, atol=1e-5)


def test_a_sentence_too_long_is_refused(model):
    with pytest.raises(ValueError, match=r'its chat has \d+ tokens besides the image, .* 96'):
        model.backbone.embed(['word ' * 40])


def _folder(model, path):
    """The published layout, with the sizes of `model`."""
    values = model.backbone.model.config.to_dict()
    (path / 'config.json').write_text(json.dumps(values, default=str))
    weights = model.backbone.state_dict() | {'lm_head.weight': torch.zeros(264, 128)}
    save_file({n: t.contiguous() for n, t in weights.items()}, path / 'model.safetensors')
    return path


def test_published_weights_become_the_backbone(model, tmp_path):
    folder = _folder(model, tmp_path)
    loaded = checkpoint.from_pretrained(folder, NANO)
    frames = np.full((1, 96, 128, 3), 90, np.uint8)
    expected, _ = _features(model, frames, [LONG])
    torch.testing.assert_close(_features(loaded, frames, [LONG])[0], expected)
    language = replace(NANO.backbone.language, num_hidden_layers=4)
    other = replace(NANO, backbone=replace(NANO.backbone, language=language))
    with pytest.raises(ValueError, match=r'text_config\.num_hidden_layers is 3, expected 4'):
        checkpoint.from_pretrained(folder, other)
    with pytest.raises(FileNotFoundError, match=r'no config\.json in .* folder of Qwen3-VL'):
        checkpoint.from_pretrained(tmp_path / 'nowhere', NANO)


def test_a_tokenizer_that_is_not_there_is_asked_for():
    with torch.device('meta'):
        config: Any = preset('qwen3_2b').backbone
        backbone = Qwen3VLBackbone(config)
    with pytest.raises(FileNotFoundError, match='the folder of the published Qwen3-VL, named by'):
        backbone.embed([SHORT])


@pytest.mark.parametrize(
    ('part', 'changes', 'message'),
    [
        (NANO.backbone, {'image': (96, 100)}, 'image: expected a frame of multiples of 32 pixels'),
        (NANO.backbone, {'tokenizer': 'words'}, "tokenizer: expected 'qwen3_vl' or 'bytes'"),
        (
            NANO.backbone,
            {'vision': replace(NANO.backbone.vision, out_hidden_size=64)},
            'out_hidden_size: .* expected 128, got 64',
        ),
        (NANO.backbone.vision, {'deepstack_visual_indexes': (2,)}, 'layers from 0 to 1, got'),
        (NANO.backbone.language, {'head_dim': 30}, 'mrope_section: expected 15 frequencies'),
        (NANO, {'action': replace(NANO.action, feature_dim=64)}, 'the backbone gives 128, got 64'),
    ],
)
def test_an_impossible_configuration_is_refused_with_the_reason(part, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(part, **changes)
