"""Shortcuts of inference: each alone and all together give the chunk of the path without any."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import toy_models as toy

from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.inference.fast_path import PLAIN, Shortcuts
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.model.cosmos.backbone import CosmosBackbone
from dit4dit_policy.model.dit4dit import DiT4DiT
from dit4dit_policy.model.presets import preset

OWN = CosmosBackbone.shortcuts
ALONE = [*OWN, 'prompt_once', 'task_once', 'image_once', 'euler_once']


def _as_released(future_tokens=0, **video):
    """Tiny, with the parts of the `released` preset: three latents of nine frames, sines, masks."""
    tiny: Any = toy.tiny()
    released: Any = preset('released')
    transformer = replace(
        tiny.backbone.transformer,
        rope_scale=(1.0, 3.0, 3.0),
        concat_padding_mask=True,
        extra_pos_embed_type=None,
    )
    vae = replace(released.backbone.vae, base_dim=4, num_res_blocks=1)
    return replace(
        tiny,
        backbone=replace(
            tiny.backbone, transformer=transformer, vae=vae, latent_frames=3, frame_step=2, **video
        ),
        action=replace(tiny.action, state_dim=64, action_dim=32, future_tokens=future_tokens),
        state_encoding='sin_cos',
    )


CONFIGS = {
    'nano': preset('nano'),
    'tiny': toy.tiny(),
    'released': _as_released(),
    'future tokens, mean of all blocks': _as_released(future_tokens=3, feature_layer='mean'),
    'three denoising steps': _as_released(feature_steps=3),
    'keyframe': toy.with_keyframe(),
}


@pytest.fixture(scope='module', params=CONFIGS)
def policy(request):
    config = CONFIGS[request.param]
    torch.manual_seed(0)
    return DiT4DiTPolicy(DiT4DiT(config), toy.processor(config), {'trained': False}, 'test')


def _observations(count):
    rng = np.random.default_rng(0)
    for i in range(count):
        image = toy.scene(rng.uniform(size=2), 0.5, (480, 640))
        yield Observation(
            {'head': image}, rng.uniform(-1, 1, size=16), ('Touch it.', 'Leave it.')[i % 2]
        )


def _chunks(policy, shortcuts, count=3):
    policy = replace(policy, shortcuts=shortcuts)
    return np.stack([policy.infer(observation) for observation in _observations(count)])


@pytest.fixture(scope='module')
def plain(policy):
    return _chunks(policy, PLAIN)


@pytest.mark.parametrize('name', [*ALONE, 'all'])
def test_a_shortcut_does_not_change_the_chunk(policy, plain, name):
    if name == 'all':
        shortcuts = Shortcuts()
    elif name in OWN:
        shortcuts = replace(PLAIN, backbone=frozenset({name}))
    else:
        only: dict[str, Any] = {name: True}
        shortcuts = replace(PLAIN, **only)
    np.testing.assert_allclose(_chunks(policy, shortcuts), plain, atol=5e-6)
    assert np.abs(plain[0] - plain[1]).max() > 1e-4  # what is compared depends on what is seen


class _Calls:
    """Counts what runs in a model."""

    def __init__(self, model):
        net, action = model.backbone.transformer, model.action.model.transformer_blocks
        parts = {
            'blocks': net.transformer_blocks,
            'text keys': [b.attn2.to_k for b in net.transformer_blocks],
            'modulation': [b.norm1.linear_1 for b in net.transformer_blocks],
            'image keys': [b.attn1.to_k for b in action if b.crosses],
            'euler modulation': [b.norm1.linear for b in action],
        }
        self.counts = dict.fromkeys(parts, 0)
        self.frames: list[int] = []
        self._handles = [
            module.register_forward_hook(lambda *_, name=name: self._count(name))
            for name, modules in parts.items()
            for module in modules
        ]
        encode = model.backbone.encode

        def counted(clip):
            self.frames.append(clip.shape[2])
            return encode(clip)

        model.backbone.encode = counted

    def _count(self, name):
        self.counts[name] += 1


def test_what_runs_for_a_chunk_with_and_without_shortcuts():
    torch.manual_seed(0)
    config = _as_released()
    untrained = DiT4DiTPolicy(DiT4DiT(config), toy.processor(config), {'trained': False}, 'test')
    first, _, third = _observations(3)  # of one instruction
    for shortcuts, frames, counts in (
        (PLAIN, 9, {'blocks': 3, 'text keys': 3, 'modulation': 3, 'image keys': 4}),
        (Shortcuts(), 1, {'blocks': 2, 'text keys': 0, 'modulation': 0, 'image keys': 1}),
    ):
        policy = replace(untrained, shortcuts=shortcuts)
        policy.infer(first)
        calls = _Calls(policy.model)
        policy.infer(third)
        steps = 0 if shortcuts.euler_once else 4 * config.action.layers
        assert calls.counts == counts | {'euler modulation': steps}
        assert calls.frames == [frames]
        for handle in calls._handles:
            handle.remove()


def test_bfloat16_gives_nearly_the_same_chunk():
    config = _as_released()
    torch.manual_seed(0)
    model = DiT4DiT(config)
    exact = DiT4DiTPolicy(model, toy.processor(config), {'trained': False}, 'test')
    wanted = _chunks(exact, Shortcuts())
    rough = replace(exact, model=DiT4DiT(config).bfloat16())
    rough.model.load_state_dict(model.state_dict())
    assert np.abs(_chunks(rough, Shortcuts()) - wanted).max() < 0.1


@pytest.mark.slow
def test_compiled_networks_give_the_same_chunk():
    config = _as_released()
    torch.manual_seed(0)
    policy = DiT4DiTPolicy(DiT4DiT(config), toy.processor(config), {'trained': False}, 'test')
    compiled = _chunks(policy, Shortcuts(compiled=True))
    np.testing.assert_allclose(compiled, _chunks(policy, Shortcuts()), atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_cuda_graphs_give_the_chunk_of_the_cpu(dtype):
    config = _as_released()
    torch.manual_seed(0)
    policy = DiT4DiTPolicy(DiT4DiT(config), toy.processor(config), {'trained': False}, 'test')
    wanted = _chunks(policy, Shortcuts(), 6)
    on_gpu = replace(policy, model=policy.model.to('cuda', dtype))
    tolerance = 0.1 if dtype == torch.bfloat16 else 1e-3
    np.testing.assert_allclose(_chunks(on_gpu, Shortcuts(compiled=True), 6), wanted, atol=tolerance)
