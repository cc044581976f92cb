"""The video backbone: frozen VAE and text encoder, video DiT, and the hook for its features.

Shapes: B batch, C latent channels, T latent frames, h w latent size, L text tokens, D width of the
video DiT. Latents are normalised; the condition frame, which is the current image, is frame 0.
Pixels lie in [0, 1].
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan, CosmosTransformer3DModel
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from diffusers.models.transformers.transformer_cosmos import CosmosAdaLayerNormZero
from torch import Tensor, nn

from dit4dit_policy.model.config import TransformerConfig, VaeConfig, VideoConfig
from dit4dit_policy.model.text_encoder import ByteTextEncoder, QwenTextEncoder


class VideoBackbone(nn.Module):
    """What the policy sees (`features`) and what it imagines (`velocity`), by the same weights.

    `text_folder` holds Qwen2.5-VL, where that is the text encoder; the first `embed` loads it.
    """

    latents_mean: Tensor
    latents_scale: Tensor
    text_folder: Path | None = None

    def __init__(self, config: VideoConfig) -> None:
        super().__init__()
        self.config = config
        self.vae = make_vae(config.vae).requires_grad_(False)
        self.text_encoder: ByteTextEncoder | QwenTextEncoder | None = None
        if config.text.encoder == 'bytes':
            self.text_encoder = ByteTextEncoder(config.text).requires_grad_(False)
        self.transformer = make_transformer(config.transformer)
        # These are no weights: they have values even where weights are only outlined (`meta`).
        std = torch.tensor(config.vae.latents_std, device='cpu')
        scale = 1 / std if config.scale == 'divide_by_std' else std
        mean = torch.tensor(config.vae.latents_mean, device='cpu')
        self.register_buffer('latents_mean', mean.view(-1, 1, 1, 1), persistent=False)
        self.register_buffer('latents_scale', scale.view(-1, 1, 1, 1), persistent=False)

    # --- frozen parts -----------------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, frames_BCTHW: Tensor) -> Tensor:
        """Normalised latents (B, C, T, h, w) of frames in [0, 1]: the mean of the VAE's posterior.

        The VAE is causal, so one frame, the condition frame, is encoded alone. Where the VAE does
        not compress time, every frame of a clip is: a frame then has the same latent wherever in a
        clip it stands.
        """
        pixels = frames_BCTHW * 2 - 1
        if self.config.vae.temporal_compression == 1:
            single = pixels.transpose(1, 2).flatten(0, 1).unsqueeze(2)
            encoded = self.vae.encode(single).latent_dist.mean.squeeze(2)
            latents = encoded.unflatten(0, (len(pixels), -1)).transpose(1, 2)
        else:
            latents = self.vae.encode(pixels).latent_dist.mean
        return (latents - self.latents_mean) * self.latents_scale

    @torch.no_grad()
    def decode(self, latents_BCThw: Tensor) -> Tensor:
        """Frames (B, 3, T, H, W) in [0, 1] of normalised latents."""
        latents = latents_BCThw / self.latents_scale + self.latents_mean
        if self.config.vae.temporal_compression == 1:
            single = latents.transpose(1, 2).flatten(0, 1).unsqueeze(2)
            decoded = self.vae.decode(single).sample.squeeze(2)
            frames = decoded.unflatten(0, (len(latents), -1)).transpose(1, 2)
        else:
            frames = self.vae.decode(latents).sample
        return (frames / 2 + 0.5).clamp(0, 1)

    @torch.no_grad()
    def embed(self, prompts: list[str]) -> Tensor:
        """(B, L, text width) of instructions; a sentence always has the same: cache it.

        FileNotFoundError where the text encoder has to be loaded, and is not there.
        """
        if self.text_encoder is None:
            if self.text_folder is None:
                raise FileNotFoundError(
                    f'{prompts}: no embedding at hand, and no folder of Cosmos-Predict2.5-2B to '
                    'load its text encoder from; expected `text_encoder` in config.json to name it'
                )
            self.text_encoder = QwenTextEncoder(
                self.config.text, self.text_folder, self.transformer.device
            )
        return self.text_encoder(prompts).to(self.transformer.dtype)

    # --- video DiT --------------------------------------------------------------------------------

    def features(
        self, condition_BC1hw: Tensor, noise_BCThw: Tensor, prompt_BLE: Tensor, tau_B: Tensor
    ) -> Tensor:
        """Hidden features (B, T*h*w / patch, D) for the action DiT, of the last denoising pass.

        The condition frame's latent, `noise_BCThw` of the frames to come (its frame 0 is ignored),
        the flow times of that noise. One pass at `tau_B`, or `feature_steps` of them, which walk
        from there towards 0 in equal Euler steps (the ablation of Section 5); only the last has a
        gradient. Blocks after the hooked one are not run in it.
        """
        config, frames = self.config, noise_BCThw.shape[2]
        latents = torch.cat([condition_BC1hw, noise_BCThw[:, :, 1:]], dim=2)
        step_B = tau_B / config.feature_steps
        for _ in range(config.feature_steps - 1):
            with torch.no_grad():
                velocity = self.velocity(latents, prompt_BLE, tau_B)
            future = latents[:, :, 1:] - step_B.view(-1, 1, 1, 1, 1) * velocity[:, :, 1:]
            latents, tau_B = torch.cat([condition_BC1hw, future], dim=2), tau_B - step_B
        times = self._times(tau_B, frames)
        outputs, _ = self._blocks(latents, times, prompt_BLE, config.feature_blocks)
        return torch.stack(outputs).mean(0) if config.hook == 'mean' else outputs[-1]

    def velocity(self, latents_BCThw: Tensor, prompt_BLE: Tensor, tau_B: Tensor) -> Tensor:
        """Flow velocity (B, C, T, h, w) of a clip: frame 0 is clean, the others are at `tau_B`."""
        _, _, frames, height, width = latents_BCThw.shape
        times = self._times(tau_B, frames)
        layers = len(self.transformer.transformer_blocks)
        outputs, modulation = self._blocks(latents_BCThw, times, prompt_BLE, layers)
        hidden = outputs[-1]
        tokens = hidden.shape[1] // frames
        embedded, temb = (m.repeat_interleave(tokens, 1) for m in modulation)
        hidden = self.transformer.proj_out(self.transformer.norm_out(hidden, embedded, temb))
        patch = self.config.transformer.patch_size
        grid = (frames // patch[0], height // patch[1], width // patch[2])
        # Cosmos reads a token's outputs as (ph, pw, pt, C), unlike the patch that went in.
        hidden = hidden.unflatten(2, (*patch[1:], patch[0], -1)).unflatten(1, grid)
        hidden = hidden.permute(0, 7, 1, 6, 2, 4, 3, 5)
        return hidden.flatten(6, 7).flatten(4, 5).flatten(2, 3)

    def _times(self, tau_B: Tensor, frames: int) -> Tensor:
        """(B, T): the condition frame is always nearly clean."""
        times_BT = tau_B[:, None].repeat(1, frames)
        times_BT[:, 0] = self.config.condition_time
        return times_BT

    def _blocks(
        self, latents_BCThw: Tensor, times_BT: Tensor, prompt_BLE: Tensor, blocks: int
    ) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
        """`CosmosTransformer3DModel.forward` up to some block; itself it cannot stop early.

        Each block's output, and the modulation.
        """
        net = self.transformer
        frames = latents_BCThw.shape[2]
        mask = torch.zeros_like(latents_BCThw[:, :1])
        mask[:, :, 0] = 1
        x = torch.cat([latents_BCThw, mask], dim=1)
        if net.config.concat_padding_mask:
            x = torch.cat([x, torch.zeros_like(mask)], dim=1)  # nothing is padded
        rotary = net.rope(x)
        positions = None if net.learnable_pos_embed is None else net.learnable_pos_embed(x)
        x = net.patch_embed(x).flatten(1, 3)
        temb, embedded = net.time_embed(x, times_BT.flatten())
        temb, embedded = (t.unflatten(0, (-1, frames)) for t in (temb, embedded))
        text = net.crossattn_proj(prompt_BLE) if net.config.use_crossattn_projection else prompt_BLE
        outputs = []
        for block in net.transformer_blocks[:blocks]:
            x = block(x, text, embedded, temb, rotary, positions)
            outputs.append(x)
        return outputs, (embedded, temb)


def make_transformer(config: TransformerConfig) -> Any:
    """`CosmosTransformer3DModel` of `config`, which modulates once a frame."""
    transformer: Any = CosmosTransformer3DModel(**asdict(config))
    for module in transformer.modules():
        if isinstance(module, CosmosAdaLayerNormZero):
            module.__class__ = _FrameModulation
    if transformer.learnable_pos_embed is not None:
        for table in transformer.learnable_pos_embed.parameters():
            nn.init.normal_(table, std=0.3)  # it is normalised later: zeros have no direction
    return transformer


def make_vae(config: VaeConfig) -> Any:
    """`AutoencoderKLWan` of `config`, with convolutions that waste nothing on a first frame."""
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}
    vae: Any = AutoencoderKLWan(
        **values,
        scale_factor_temporal=config.temporal_compression,
        scale_factor_spatial=config.spatial_compression,
    )
    for module in vae.modules():
        if isinstance(module, WanCausalConv3d):
            module.__class__ = _CausalConv
    return vae


class _CausalConv(WanCausalConv3d):
    """Before a first frame are only zeros: of a kernel's time steps just the last touches data."""

    def forward(self, x: Tensor, cache_x: Tensor | None = None) -> Tensor:
        if x.shape[2] > 1 or cache_x is not None or self._padding[4] != self.kernel_size[0] - 1:
            return super().forward(x, cache_x)
        frame = F.pad(x[:, :, 0], [int(p) for p in self._padding[:4]])
        return F.conv2d(frame, self.weight[:, :, -1], self.bias, self.stride[1:]).unsqueeze(2)


class _FrameModulation(CosmosAdaLayerNormZero):
    """All tokens of a frame have its flow time, so their modulation is computed once a frame."""

    def forward(  # type: ignore[override]
        self, x_BND: Tensor, embedded_BTD: Tensor, temb_BTD: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        modulation = self.linear_2(self.linear_1(self.activation(embedded_BTD))) + temb_BTD
        shift, scale, gate = modulation.unsqueeze(2).chunk(3, dim=-1)
        x_BTND = self.norm(x_BND).unflatten(1, (embedded_BTD.shape[1], -1))
        x_BTND = x_BTND * (1 + scale) + shift
        return x_BTND.flatten(1, 2), gate.expand_as(x_BTND).flatten(1, 2)
