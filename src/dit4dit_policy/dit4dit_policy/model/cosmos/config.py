"""What a Cosmos-Predict2.5 backbone is made of: video DiT, VAE and text encoder."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from dit4dit_policy.model.backbone import BackboneConfig
from dit4dit_policy.model.checks import check_choices, check_positive
from dit4dit_policy.model.views import frame_size

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
        check_choices(self)
        counts = ('num_attention_heads', 'num_layers', 'text_embed_dim', 'adaln_lora_dim')
        check_positive(self, *counts)
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
        """D, of its tokens."""
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
        check_positive(self, 'base_dim', 'z_dim', 'num_res_blocks')
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
        """Frames of a clip after the first that share a latent frame."""
        return 2 ** sum(self.temperal_downsample)

    @property
    def spatial_compression(self) -> int:
        """Pixels along a side of a latent."""
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
        check_choices(self)
        check_positive(self, 'layers', 'hidden', 'tokens')
        if self.encoder == 'bytes' and self.hidden % 32:
            raise ValueError(
                f'text.hidden: heads of the byte encoder are 32 wide, expected a multiple, got '
                f'{self.hidden}'
            )

    @property
    def width(self) -> int:
        """E of an embedding: all layers side by side."""
        return self.layers * self.hidden


@dataclass(frozen=True, kw_only=True)
class CosmosConfig(BackboneConfig):
    """The video backbone: what it sees, and where its features come from (paper, Section 4.2).

    A clip is the current frame and the frames that follow it every `frame_step` steps of the data,
    `latent_frames` frames of latents. `feature_layer` is the index of the block whose output is the
    feature, or 'mean' of all blocks. `feature_time` is the flow time of the denoising pass at
    inference, from which `feature_steps` of them walk towards 0 where there are several; training
    draws it from `feature_times`. `condition_time` is the flow time that the clean condition frame
    is labelled with. `time_distribution` is that of the video loss's flow times; `latent_scaling`
    says whether normalised latents are (z - mean) / std, or, as in the released code, times std.
    """

    kind: str = 'cosmos'
    transformer: TransformerConfig
    vae: VaeConfig
    text: TextConfig
    feature_layer: int | Literal['mean']
    latent_frames: int = 3
    frame_step: int = 2
    feature_time: float = 0.995
    feature_times: tuple[float, ...] = (0.995,)
    feature_steps: int = 1
    condition_time: float = 1e-4
    time_distribution: Literal['uniform', 'logit_normal'] = 'uniform'
    latent_scaling: Literal['divide_by_std', 'multiply_by_std'] = 'divide_by_std'

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, 'feature_steps', 'frame_step')
        self._check_parts()
        self._check_sizes()
        self._check_times()

    @property
    def width(self) -> int:
        """D of the feature tokens: that of the video DiT."""
        return self.transformer.width

    @property
    def tokens(self) -> int:
        """N: patches of all latent frames of a clip."""
        patch = self.transformer.patch_size
        _, frames, height, width = self.latent_shape
        return frames * height * width // (patch[1] * patch[2])

    @property
    def feature_blocks(self) -> int:
        """How many blocks the pass runs whose features are taken."""
        if self.feature_layer == 'mean':
            return self.transformer.num_layers
        return self.feature_layer + 1

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """(C, T, h, w) of a clip's latents."""
        return (
            self.vae.z_dim,
            self.latent_frames,
            self.frame[0] // self.vae.spatial_compression,
            self.frame[1] // self.vae.spatial_compression,
        )

    @property
    def clip_offsets(self) -> tuple[int, ...]:
        """Steps of the data after the current one at which the frames of a clip lie, 0 first."""
        frames = 1 + (self.latent_frames - 1) * self.vae.temporal_compression
        return tuple(i * self.frame_step for i in range(frames))

    @property
    def frames_alone(self) -> bool:
        """Whether the VAE keeps time: `CosmosBackbone.encode` then takes frame by frame."""
        return self.vae.temporal_compression == 1

    def with_views(self, views: int) -> CosmosConfig:
        """The same backbone for another number of cameras, its position tables wide enough."""
        depth, height, width = self.transformer.max_size
        frame = frame_size(self.image, views, self.further_views)
        needed = frame[1] // self.vae.spatial_compression
        transformer = replace(self.transformer, max_size=(depth, height, max(width, needed)))
        return replace(self, views=views, transformer=transformer)

    def _check_parts(self) -> None:
        """The parts fit one another."""
        transformer, vae = self.transformer, self.vae
        if self.feature_layer != 'mean' and self.feature_layer not in range(transformer.num_layers):
            raise ValueError(
                f'feature_layer: expected a block from 0 to {transformer.num_layers - 1} or '
                f"'mean', got {self.feature_layer!r}"
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

    def _check_sizes(self) -> None:
        """The frame divides into patches, and the clip fits the position tables."""
        transformer, vae = self.transformer, self.vae
        self._check_frame(vae.spatial_compression * math.lcm(*transformer.patch_size[1:]))
        if self.latent_frames < 2:
            raise ValueError(
                'latent_frames: the current frame and at least one to imagine, expected 2 or more, '
                f'got {self.latent_frames}'
            )
        for size, most in zip(self.latent_shape[1:], transformer.max_size, strict=True):
            if size > most:
                raise ValueError(
                    f'max_size: a clip of {self.latent_frames} frames of latents of {self.views} '
                    f'view(s) of {self.image} pixels is {self.latent_shape[1:]}, the position '
                    f'tables end at {transformer.max_size}; `with_views` widens them'
                )

    def _check_times(self) -> None:
        """Flow times lie between data and noise."""
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
