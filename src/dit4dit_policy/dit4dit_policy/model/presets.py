"""The presets: `g1` (paper), `released` (published checkpoints), `libero` (those for LIBERO),
`nano`, which a CPU trains, `small`, which a GPU trains in minutes, and `libero_nano`.

`qwen3_2b` is the paper's baseline without video, `qwen3_nano` the same in the size of `nano`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dit4dit_policy.model.config import ActionConfig, ModelConfig
from dit4dit_policy.model.cosmos.config import (
    CosmosConfig,
    TextConfig,
    TransformerConfig,
    VaeConfig,
)
from dit4dit_policy.model.qwen3_vl.config import (
    LanguageConfig,
    Qwen3VLBackboneConfig,
    VisionConfig,
)
from g1_description.plugins import find_plugin


def preset(name: str) -> ModelConfig:
    """The configuration `name` of `PRESETS`, or what the function at `module:attribute` returns.

    ValueError lists those there are.
    """
    if name in PRESETS:
        return PRESETS[name]
    if ':' not in name:
        raise ValueError(
            f'no preset {name!r}; there are: {", ".join(PRESETS)}; another one is named as '
            'module:attribute, a function that returns a ModelConfig'
        )
    config = find_plugin('dit4dit.presets', name)()
    if not isinstance(config, ModelConfig):
        raise ValueError(f'preset {name!r}: expected a ModelConfig, got {config!r}')
    return config


def changed(config: ModelConfig, entries: Mapping[str, Any]) -> ModelConfig:
    """With other values of `entries`, named as 'backbone.feature_layer'.

    ValueError names one that there is not, or a value that cannot be.
    """
    values = config.to_dict()
    for name, value in entries.items():
        *parents, last = name.split('.')
        place: Any = values
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        if not isinstance(place, dict) or last not in place:
            raise ValueError(f'model: there is no entry {name!r}')
        place[last] = value
    return ModelConfig.from_dict(values) if entries else config


_NANO_BACKBONE = CosmosConfig(
    transformer=TransformerConfig(
        num_attention_heads=4,
        attention_head_dim=32,
        num_layers=4,
        text_embed_dim=64,
        adaln_lora_dim=32,
        crossattn_proj_in_channels=128,
        encoder_hidden_states_channels=64,
        max_size=(4, 24, 32),
        mlp_ratio=3.0,
        rope_scale=(1.0, 1.0, 1.0),
        concat_padding_mask=False,
        extra_pos_embed_type='learnable',
    ),
    vae=VaeConfig(
        base_dim=24,
        dim_mult=(1, 2),
        num_res_blocks=1,
        temperal_downsample=(False,),
        in_channels=48,
        out_channels=48,
        patch_size=4,
        latents_mean=(0.0,) * 16,
        latents_std=(1.0,) * 16,
    ),
    text=TextConfig(encoder='bytes', layers=2, hidden=64, tokens=64),
    image=(96, 128),
    feature_layer=1,
    latent_frames=2,
    frame_step=8,
)

_NANO = ModelConfig(
    backbone=_NANO_BACKBONE,
    action=ActionConfig(
        width=128,
        heads=4,
        layers=4,
        hidden_dim=256,
        feature_dim=128,
        action_dim=16,
        state_dim=16,
        future_tokens=8,
        max_positions=16,
        time_convention='released',
    ),
    backbone_loss_weight=0.2,
)

#: Half as wide again as `nano`, with larger pictures and features from deeper: for a GPU to train.
_SMALL = replace(
    _NANO,
    backbone=replace(
        _NANO_BACKBONE,
        transformer=replace(
            _NANO_BACKBONE.transformer,
            num_attention_heads=6,
            num_layers=5,
            max_size=(4, 24, 40),
        ),
        image=(128, 160),
        feature_layer=3,
    ),
    action=replace(_NANO.action, width=192, heads=6, feature_dim=192),
)

#: Cosmos-Predict2.5-2B, its features those of the 18th of 28 blocks.
_COSMOS_2B = CosmosConfig(
    transformer=TransformerConfig(
        num_attention_heads=16,
        attention_head_dim=128,
        num_layers=28,
        text_embed_dim=1024,
        adaln_lora_dim=256,
        crossattn_proj_in_channels=100352,
        encoder_hidden_states_channels=1024,
        max_size=(128, 240, 240),
    ),
    vae=VaeConfig(),
    text=TextConfig(encoder='qwen2_5_vl', layers=28, hidden=3584, tokens=512),
    image=(224, 224),
    feature_layer=17,
)

#: DiT-B, as the paper's.
_ACTION_DIT_B = ActionConfig(
    width=768,
    heads=12,
    layers=16,
    hidden_dim=2560,
    feature_dim=2048,
    action_dim=32,
    state_dim=64,
    dropout=0.2,
)

_G1 = ModelConfig(backbone=_COSMOS_2B, action=_ACTION_DIT_B, state_encoding='sin_cos')

#: First flow time of the scheduler that the released code takes, sigma_max = 200: 0.995.
_FIRST = 200 / 201

_RELEASED_BACKBONE = replace(
    _COSMOS_2B,
    feature_time=_FIRST,
    feature_times=(_FIRST,),
    time_distribution='logit_normal',
    latent_scaling='multiply_by_std',
)

_RELEASED = replace(
    _G1,
    backbone=_RELEASED_BACKBONE,
    action=replace(_ACTION_DIT_B, future_tokens=0, time_convention='released'),
    feature_gradient=False,
)

#: LIBERO: 9 steps of video in 5 frames of two cameras, 8 actions of 7 numbers, 8 states as 16.
_LIBERO = replace(
    _RELEASED,
    backbone=replace(_RELEASED_BACKBONE, latent_frames=2),
    action=replace(_RELEASED.action, action_dim=8, state_dim=16, horizon=8),
).with_views(2)

#: The same in the size of `nano`: two frames of video, now and 8 steps later.
_LIBERO_NANO = replace(
    _NANO,
    backbone=replace(_NANO_BACKBONE, image=(96, 96)),
    action=replace(_NANO.action, action_dim=8, state_dim=16, horizon=8),
).with_views(2)

#: The paper's baseline Qwen3DiT: Qwen3-VL-2B behind the same action DiT.
_QWEN3_2B = ModelConfig(
    backbone=Qwen3VLBackboneConfig(
        vision=VisionConfig(
            depth=24,
            hidden_size=1024,
            intermediate_size=4096,
            num_heads=16,
            out_hidden_size=2048,
            deepstack_visual_indexes=(5, 11, 17),
        ),
        language=LanguageConfig(
            vocab_size=151936,
            hidden_size=2048,
            intermediate_size=6144,
            num_hidden_layers=28,
            num_attention_heads=16,
            num_key_value_heads=8,
            head_dim=128,
            mrope_section=(24, 20, 20),
        ),
        image=(224, 224),
    ),
    action=_ACTION_DIT_B,
    state_encoding='sin_cos',
)

_QWEN3_NANO = ModelConfig(
    backbone=Qwen3VLBackboneConfig(
        vision=VisionConfig(
            depth=2,
            hidden_size=64,
            intermediate_size=128,
            num_heads=2,
            out_hidden_size=128,
            deepstack_visual_indexes=(0,),
            num_position_embeddings=64,
        ),
        language=LanguageConfig(
            vocab_size=264,
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            mrope_section=(6, 5, 5),
        ),
        image=(96, 128),
        text_tokens=96,
        tokenizer='bytes',
    ),
    action=_NANO.action,
)

#: By name.
PRESETS = {
    'nano': _NANO,
    'small': _SMALL,
    'g1': _G1,
    'released': _RELEASED,
    'libero': _LIBERO,
    'libero_nano': _LIBERO_NANO,
    'qwen3_nano': _QWEN3_NANO,
    'qwen3_2b': _QWEN3_2B,
}
