import json
from dataclasses import replace
from typing import Any

import pytest

from dit4dit_policy.model.config import ModelConfig
from dit4dit_policy.model.cosmos.config import CosmosConfig, TextConfig
from dit4dit_policy.model.presets import preset

G1 = preset('g1')
assert isinstance(G1.backbone, CosmosConfig)
VIDEO, ACTION = G1.backbone, G1.action
NET, VAE, TEXT = VIDEO.transformer, VIDEO.vae, VIDEO.text


def test_config_survives_json():
    for name in ('nano', 'g1', 'released'):
        config = preset(name)
        assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_config_with_an_entry_too_many_or_too_few_is_refused():
    values = G1.to_dict()
    backbone = values['backbone']
    with pytest.raises(ValueError, match=r"model.backbone.vae: unknown \['colour'\]; known are"):
        ModelConfig.from_dict(
            values | {'backbone': backbone | {'vae': backbone['vae'] | {'colour': 1}}}
        )
    with pytest.raises(ValueError, match=r"model: .*missing 1 required .* 'action'"):
        ModelConfig.from_dict({'backbone': backbone})


def test_the_presets_are_the_paper_and_the_released_code():
    released: Any = preset('released')
    paper: Any = G1
    for config in (paper, released):
        assert config.backbone.feature_layer == 17
        assert config.backbone.latent_shape == (16, 3, 28, 28)
        assert config.backbone.clip_offsets == tuple(range(0, 17, 2))
        assert config.backbone.feature_time == pytest.approx(0.995, abs=1e-4)
        assert config.state_encoding == 'sin_cos'
    assert (G1.action.future_tokens, released.action.future_tokens) == (32, 0)
    assert (G1.action.time_convention, released.action.time_convention) == ('paper', 'released')
    assert (G1.feature_gradient, released.feature_gradient) == (True, False)
    assert (VIDEO.time_distribution, released.backbone.time_distribution) == (
        'uniform',
        'logit_normal',
    )
    assert (VIDEO.latent_scaling, released.backbone.latent_scaling) == (
        'divide_by_std',
        'multiply_by_std',
    )
    with pytest.raises(ValueError, match='there are: nano, small, g1, released'):
        preset('huge')


def test_the_preset_for_libero_sees_two_cameras_and_acts_eight_steps():
    config: Any = preset('libero')
    assert config.backbone.feature_layer == 17
    assert config.backbone.clip_offsets == (0, 2, 4, 6, 8)
    assert config.backbone.latent_shape == (16, 2, 28, 56)  # 224x448
    assert (config.action.horizon, config.action.state_dim) == (8, 16)
    assert config.state_encoding == 'sin_cos'


def test_the_feature_layer_says_how_many_blocks_run():
    assert VIDEO.feature_blocks == 18
    assert replace(VIDEO, feature_layer='mean').feature_blocks == 28


@pytest.mark.parametrize(
    ('part', 'changes', 'message'),
    [
        (NET, {'num_layers': 0}, 'num_layers: expected 1 or more, got 0'),
        (NET, {'attention_head_dim': 10}, 'attention_head_dim: .* even number from 12, got 10'),
        (NET, {'patch_size': (2, 2, 2)}, 'patch_size: .* expected 1 frame, got 2'),
        (NET, {'extra_pos_embed_type': 'sinus'}, "extra_pos_embed_type: expected .*, got 'sinus'"),
        (
            NET,
            {'use_crossattn_projection': False},
            r'use_crossattn_projection: .* crossattn_proj_in_channels 1024 .* got 100352',
        ),
        (
            NET,
            {'encoder_hidden_states_channels': 512},
            'encoder_hidden_states_channels: .* expected text_embed_dim 1024, got 512',
        ),
        (VAE, {'temperal_downsample': (True,)}, 'temperal_downsample: expected 3 .*, got 1'),
        (VAE, {'patch_size': 2}, 'a patch of 2 pixels has 12, got 3 and 3'),
        (VAE, {'latents_mean': (0.0,)}, 'latents_mean, latents_std: expected 16 .* got 1 and 16'),
        (VAE, {'latents_std': (0.0,) * 16}, 'latents_std: expected positive values'),
        (TEXT, {'encoder': 't5'}, "encoder: expected 'qwen2_5_vl' or 'bytes', got 't5'"),
        (TEXT, {'tokens': 0}, 'tokens: expected 1 or more, got 0'),
        (TextConfig('bytes', 2, 64, 64), {'hidden': 50}, 'heads of the byte encoder are 32 wide'),
        (VIDEO, {'feature_layer': 28}, r"a block from 0 to 27 or 'mean', got 28"),
        (VIDEO, {'feature_layer': 'all'}, r"feature_layer: .* got 'all'"),
        (VIDEO, {'text': replace(TEXT, layers=2)}, '2 x 3584 = 7168 channels, got 100352'),
        (VIDEO, {'vae': replace(VAE, z_dim=8, latents_mean=(0.0,) * 8, latents_std=(1.0,) * 8)},
         'expected in_channels 9 and out_channels 8, got 17 and 16'),
        (VIDEO, {'image': (224, 230)}, r'multiples of 16 pixels, got \(224, 230\) of 1 view'),
        (VIDEO, {'image': (4096, 4096)}, r'max_size: .* is \(3, 512, 512\), the position tables'),
        (VIDEO, {'latent_frames': 1}, 'latent_frames: .* expected 2 or more, got 1'),
        (VIDEO, {'frame_step': 0}, 'frame_step: expected 1 or more, got 0'),
        (VIDEO, {'feature_steps': 0}, 'feature_steps: expected 1 or more, got 0'),
        (VIDEO, {'feature_time': 0.0}, r'feature_time: expected flow times in \(0, 1\]'),
        (VIDEO, {'feature_times': ()}, 'feature_times: expected flow times'),
        (VIDEO, {'condition_time': 0.999}, 'condition_time: .* got 0.999'),
        (VIDEO, {'time_distribution': 'beta'}, "expected 'uniform' or 'logit_normal', got 'beta'"),
        (VIDEO, {'latent_scaling': 'none'}, "latent_scaling: expected .*, got 'none'"),
        (ACTION, {'keyframe_weight': -0.1}, 'keyframe_weight: expected 0 or more, got -0.1'),
        (ACTION, {'heads': 7}, 'action width 768 does not divide into 7 heads'),
        (ACTION, {'layers': 5}, 'cross- and self-attention alternate, expected an even number'),
        (ACTION, {'horizon': 2000}, r'horizon: 2000 actions .* there are 1024 \(max_positions\)'),
        (ACTION, {'future_tokens': -1}, 'future_tokens: expected 0 or more, got -1'),
        (ACTION, {'dropout': 1.0}, 'dropout: expected 0 to below 1, got 1.0'),
        (ACTION, {'beta': (1.5, 0.0)}, 'beta: expected two positive parameters'),
        (ACTION, {'euler_steps': 0}, 'euler_steps: expected 1 or more, got 0'),
        (ACTION, {'time_convention': 'never'}, "expected 'paper' or 'released', got 'never'"),
        (G1, {'backbone_loss_weight': -1.0}, 'backbone_loss_weight: expected 0 or more, got -1.0'),
        (G1, {'state_encoding': 'raw'}, "state_encoding: expected .*, got 'raw'"),
        (G1, {'action': replace(ACTION, feature_dim=64)}, 'the backbone gives 2048, got 64'),
    ],
)  # fmt: skip
def test_an_impossible_configuration_is_refused_with_the_reason(part, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(part, **changes)
