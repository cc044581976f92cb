"""What a DiT4DiT is made of: frozen dataclasses and the presets `nano`, `g1` and `released`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

# fmt: off
_WAN_MEAN = (-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
             0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921)
_WAN_STD = (2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
            3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160)
# fmt: on


@dataclass(frozen=True)
class TransformerConfig:
    """Video DiT; the fields are the arguments of `diffusers.CosmosTransformer3DModel`."""

    num_attention_heads: int
    attention_head_dim: int
    num_layers: int
    text_embed_dim: int
    adaln_lora_dim: int
    crossattn_proj_in_channels: int
    encoder_hidden_states_channels: int
    max_size: tuple[int, int, int]
    in_channels: int = 17
    out_channels: int = 16
    mlp_ratio: float = 4.0
    patch_size: tuple[int, int, int] = (1, 2, 2)
    rope_scale: tuple[float, float, float] = (1.0, 3.0, 3.0)
    concat_padding_mask: bool = True
    extra_pos_embed_type: Literal['learnable', None] = None
    use_crossattn_projection: bool = True

    def __post_init__(self) -> None:
        _check_kinds(self)
        counts = ('num_attention_heads', 'num_layers', 'text_embed_dim', 'adaln_lora_dim')
        _check_positive(self, *counts)
        if self.attention_head_dim < 12 or self.attention_head_dim % 2:
            raise ValueError(
                'attention_head_dim: rotary tables of three axes share it in pairs, expected an '
                f'even number from 12, got {self.attention_head_dim}'
            )
        if self.patch_size[0] != 1:
            raise ValueError(
                'patch_size: every latent frame has a flow time of its own, expected 1 frame, '
                f'got {self.patch_size[0]}'
            )
        if not self.use_crossattn_projection:
            if self.crossattn_proj_in_channels != self.text_embed_dim:
                raise ValueError(
                    'use_crossattn_projection: without it the text enters as it is, expected '
                    f'crossattn_proj_in_channels {self.text_embed_dim} (text_embed_dim), got '
                    f'{self.crossattn_proj_in_channels}'
                )
        elif self.encoder_hidden_states_channels != self.text_embed_dim:
            raise ValueError(
                'encoder_hidden_states_channels: the projected text is what cross-attention reads, '
                f'expected text_embed_dim {self.text_embed_dim}, got '
                f'{self.encoder_hidden_states_channels}'
            )

    @property
    def width(self) -> int:
        return self.num_attention_heads * self.attention_head_dim


@dataclass(frozen=True)
class VaeConfig:
    """Video autoencoder; the fields are those of `diffusers.AutoencoderKLWan`, as in Wan 2.1."""

    base_dim: int = 96
    z_dim: int = 16
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    attn_scales: tuple[float, ...] = ()
    temperal_downsample: tuple[bool, ...] = (False, True, True)
    in_channels: int = 3
    out_channels: int = 3
    patch_size: int | None = None
    latents_mean: tuple[float, ...] = _WAN_MEAN
    latents_std: tuple[float, ...] = _WAN_STD

    def __post_init__(self) -> None:
        _check_positive(self, 'base_dim', 'z_dim', 'num_res_blocks')
        if len(self.temperal_downsample) != len(self.dim_mult) - 1:
            raise ValueError(
                f'temperal_downsample: expected {len(self.dim_mult) - 1} values, one less than '
                f'dim_mult, got {len(self.temperal_downsample)}'
            )
        channels = 3 * (self.patch_size or 1) ** 2
        if (self.in_channels, self.out_channels) != (channels, channels):
            raise ValueError(
                f'in_channels, out_channels: a patch of {self.patch_size or 1} pixels has '
                f'{channels}, got {self.in_channels} and {self.out_channels}'
            )
        if len(self.latents_mean) != self.z_dim or len(self.latents_std) != self.z_dim:
            raise ValueError(
                f'latents_mean, latents_std: expected {self.z_dim} values, one a channel, got '
                f'{len(self.latents_mean)} and {len(self.latents_std)}'
            )
        if min(self.latents_std) <= 0:
            raise ValueError(f'latents_std: expected positive values, got {self.latents_std}')

    @property
    def temporal_compression(self) -> int:
        return 2 ** sum(self.temperal_downsample)

    @property
    def spatial_compression(self) -> int:
        return 2 ** (len(self.dim_mult) - 1) * (self.patch_size or 1)


@dataclass(frozen=True)
class TextConfig:
    """Text encoder: the hidden states of all layers, each normalised, are concatenated.

    `encoder` is 'qwen2_5_vl', the paper's, which comes with Cosmos-Predict2.5, or 'bytes', a frozen
    untrained Qwen2 over UTF-8 bytes.
    """

    encoder: Literal['qwen2_5_vl', 'bytes']
    layers: int
    hidden: int
    tokens: int

    def __post_init__(self) -> None:
        _check_kinds(self)
        _check_positive(self, 'layers', 'hidden', 'tokens')
        if self.encoder == 'bytes' and self.hidden % 32:
            raise ValueError(
                f'text.hidden: heads of the byte encoder are 32 wide, expected a multiple, got '
                f'{self.hidden}'
            )

    @property
    def width(self) -> int:
        return self.layers * self.hidden


@dataclass(frozen=True)
class VideoConfig:
    """The video backbone: what it sees, and where its features come from (paper, Section 4.2).

    `image` is (height, width) in pixels. A clip is the current frame and the frames that follow it
    every `frame_step` steps of the data, `latent_frames` frames of latents. `hook` is the index of
    the block whose output is the feature, or 'mean' of all blocks. `feature_time` is the flow time
    of the denoising pass at inference, from which `feature_steps` of them walk towards 0 where
    there are several; training draws it from `feature_times`. `condition_time` is the flow time
    that the clean condition frame is labelled with.
    """

    transformer: TransformerConfig
    vae: VaeConfig
    text: TextConfig
    image: tuple[int, int]
    hook: int | Literal['mean']
    latent_frames: int = 3
    frame_step: int = 2
    feature_time: float = 0.995
    feature_times: tuple[float, ...] = (0.995,)
    feature_steps: int = 1
    condition_time: float = 1e-4
    time: Literal['uniform', 'logit_normal'] = 'uniform'
    scale: Literal['divide_by_std', 'multiply_by_std'] = 'divide_by_std'

    def __post_init__(self) -> None:
        _check_kinds(self)
        _check_positive(self, 'feature_steps', 'frame_step')
        transformer, vae = self.transformer, self.vae
        if self.hook != 'mean' and self.hook not in range(transformer.num_layers):
            raise ValueError(
                f"hook: expected a block from 0 to {transformer.num_layers - 1} or 'mean', "
                f'got {self.hook!r}'
            )
        if transformer.crossattn_proj_in_channels != self.text.width:
            raise ValueError(
                f'crossattn_proj_in_channels: the text encoder gives {self.text.layers} x '
                f'{self.text.hidden} = {self.text.width} channels, '
                f'got {transformer.crossattn_proj_in_channels}'
            )
        if transformer.in_channels != vae.z_dim + 1 or transformer.out_channels != vae.z_dim:
            raise ValueError(
                f'the transformer takes the {vae.z_dim} latent channels of the VAE and one mask: '
                f'expected in_channels {vae.z_dim + 1} and out_channels {vae.z_dim}, '
                f'got {transformer.in_channels} and {transformer.out_channels}'
            )
        for pixels, patch in zip(self.image, transformer.patch_size[1:], strict=True):
            if pixels % (vae.spatial_compression * patch):
                raise ValueError(
                    f'image: expected multiples of {vae.spatial_compression * patch} pixels, '
                    f'got {self.image}'
                )
        if self.latent_frames < 2:
            raise ValueError(
                'latent_frames: the current frame and at least one to imagine, expected 2 or more, '
                f'got {self.latent_frames}'
            )
        for size, most in zip(self.latent_shape[1:], transformer.max_size, strict=True):
            if size > most:
                raise ValueError(
                    f'max_size: a clip of {self.latent_frames} frames of latents of {self.image} '
                    f'pixels is {self.latent_shape[1:]}, the position tables end at '
                    f'{transformer.max_size}'
                )
        for name, times in (
            ('feature_time', (self.feature_time,)),
            ('feature_times', self.feature_times),
        ):
            if not times or not all(0 < tau <= 1 for tau in times):
                raise ValueError(
                    f'{name}: expected flow times in (0, 1], where 1 is noise, got {times}'
                )
        if not 0 <= self.condition_time < min(self.feature_times):
            raise ValueError(
                'condition_time: the condition frame is clean, expected a time from 0 and below '
                f'those of the features, got {self.condition_time}'
            )

    @property
    def feature_blocks(self) -> int:
        """How many blocks the pass runs whose features are taken."""
        return self.transformer.num_layers if self.hook == 'mean' else self.hook + 1

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """(C, T, h, w) of a clip's latents."""
        return (
            self.vae.z_dim,
            self.latent_frames,
            self.image[0] // self.vae.spatial_compression,
            self.image[1] // self.vae.spatial_compression,
        )

    @property
    def clip_offsets(self) -> tuple[int, ...]:
        """Steps of the data after the current one at which the frames of a clip lie, 0 first."""
        frames = 1 + (self.latent_frames - 1) * self.vae.temporal_compression
        return tuple(i * self.frame_step for i in range(frames))


@dataclass(frozen=True)
class ActionConfig:
    """The action DiT (Section 4.3): `width` of its tokens, `hidden` of its MLPs.

    `time` turns a Beta(alpha, beta) draw s into tau: 'paper' 1 - s, 'released' s / 0.999 up to 1.
    """

    width: int
    heads: int
    layers: int
    hidden: int
    features: int
    action: int
    state: int
    horizon: int = 16
    future_tokens: int = 32
    positions: int = 1024
    dropout: float = 0.0
    euler_steps: int = 4
    beta: tuple[float, float] = (1.5, 1.0)
    time: Literal['paper', 'released'] = 'paper'

    def __post_init__(self) -> None:
        _check_kinds(self)
        counts = ('width', 'heads', 'layers', 'hidden', 'features', 'action', 'state', 'horizon')
        _check_positive(self, *counts, 'euler_steps')
        if self.future_tokens < 0:
            raise ValueError(f'future_tokens: expected 0 or more, got {self.future_tokens}')
        if self.horizon > self.positions:
            raise ValueError(
                f'horizon: {self.horizon} actions need as many position embeddings, there are '
                f'{self.positions} (positions)'
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f'dropout: expected 0 to below 1, got {self.dropout}')
        if len(self.beta) != 2 or min(self.beta) <= 0:
            raise ValueError(f'beta: expected two positive parameters, got {self.beta}')
        if self.width % self.heads:
            raise ValueError(f'action width {self.width} does not divide into {self.heads} heads')
        if self.layers % 2:
            raise ValueError(
                'action layers: cross- and self-attention alternate, expected an even number, '
                f'got {self.layers}'
            )


@dataclass(frozen=True)
class ModelConfig:
    """A whole DiT4DiT.

    `video_weight` is lambda of Algorithm 1; with `feature_gradient` the action loss trains the
    video DiT too.
    """

    video: VideoConfig
    action: ActionConfig
    video_weight: float = 1.0
    feature_gradient: bool = True
    state_encoding: Literal['min_max', 'sin_cos'] = 'min_max'

    def __post_init__(self) -> None:
        _check_kinds(self)
        if self.video_weight < 0:
            raise ValueError(f'video_weight: expected 0 or more, got {self.video_weight}')
        if self.action.features != self.video.transformer.width:
            raise ValueError(
                f'action.features: the video DiT gives {self.video.transformer.width}, '
                f'got {self.action.features}'
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Inverse of `to_dict`. ValueError names a key that is missing or unknown."""
        return _build(cls, values, 'model')


def preset(name: str) -> ModelConfig:
    """The configuration `name`: 'nano', 'g1' (paper) or 'released' (published checkpoints)."""
    try:
        return _PRESETS[name]
    except KeyError:
        raise ValueError(f'no preset {name!r}; there are: {", ".join(_PRESETS)}') from None


def _check_kinds(config: Any) -> None:
    """ValueError where a field with named choices has another value."""
    for name, hint in get_type_hints(type(config)).items():
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        if choices and getattr(config, name) not in choices:
            raise ValueError(
                f'{name}: expected {" or ".join(map(repr, choices))}, got {getattr(config, name)!r}'
            )


def _check_positive(config: Any, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f'{name}: expected 1 or more, got {getattr(config, name)}')


def _build(kind: Any, values: Any, where: str) -> Any:
    if not is_dataclass(kind):
        return tuple(values) if isinstance(values, list) else values
    types = get_type_hints(kind)
    known = {f.name for f in fields(kind)}
    if unknown := set(values) - known:
        raise ValueError(f'{where}: unknown {sorted(unknown)}; known are {sorted(known)}')
    try:
        return kind(**{k: _build(types[k], v, f'{where}.{k}') for k, v in values.items()})  # type: ignore[operator]
    except TypeError as error:
        raise ValueError(f'{where}: {error}') from None


_NANO = ModelConfig(
    video=VideoConfig(
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
        hook=1,
        latent_frames=2,
        frame_step=8,
    ),
    action=ActionConfig(
        width=128,
        heads=4,
        layers=4,
        hidden=256,
        features=128,
        action=16,
        state=16,
        future_tokens=8,
        positions=16,
        time='released',
    ),
    video_weight=0.2,
)

_G1 = ModelConfig(
    video=VideoConfig(
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
        hook=17,
    ),
    action=ActionConfig(
        width=768, heads=12, layers=16, hidden=2560, features=2048, action=32, state=64, dropout=0.2
    ),
    state_encoding='sin_cos',
)

#: First flow time of the scheduler that the released code takes, sigma_max = 200: 0.995.
_FIRST = 200 / 201

_RELEASED = replace(
    _G1,
    video=replace(
        _G1.video,
        feature_time=_FIRST,
        feature_times=(_FIRST,),
        time='logit_normal',
        scale='multiply_by_std',
    ),
    action=replace(_G1.action, future_tokens=0, time='released'),
    feature_gradient=False,
)

_PRESETS = {'nano': _NANO, 'g1': _G1, 'released': _RELEASED}
