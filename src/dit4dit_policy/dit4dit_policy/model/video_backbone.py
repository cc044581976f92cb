"""The video backbone: frozen VAE and text encoder, video DiT, and the hook for its features.

Shapes: B batch, C latent channels, T latent frames, h w latent size, L text tokens, D width of the
video DiT. Latents are normalised; the condition frame, which is the current image, is frame 0.
Pixels lie in [0, 1].
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan, CosmosTransformer3DModel
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from diffusers.models.transformers.transformer_cosmos import CosmosTransformerBlock
from torch import Tensor, nn

from dit4dit_policy.model.config import TransformerConfig, VaeConfig, VideoConfig
from dit4dit_policy.model.text_encoder import ByteTextEncoder, QwenTextEncoder

#: Of a block's three parts: shift, scale and gate (B, T, 1, D).
Modulation = list[tuple[Tensor, ...]]


class VideoBackbone(nn.Module):
    """What the policy sees (`features`) and what it imagines (`velocity`), by the same weights.

    `frozen_folder`, of Cosmos-Predict2.5-2B, is where the VAE came from, if it did, and where the
    first `embed` loads the paper's text encoder from.
    """

    latents_mean: Tensor
    latents_scale: Tensor
    frozen_folder: Path | None = None

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
            if self.frozen_folder is None:
                raise FileNotFoundError(
                    f'{prompts}: no embedding at hand, and no folder of Cosmos-Predict2.5-2B to '
                    'load its text encoder from; expected `frozen` in config.json to name one'
                )
            self.text_encoder = QwenTextEncoder(
                self.config.text, self.frozen_folder, self.transformer.device
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
        passes = self.passes(prompt_BLE, tau_B, noise_BCThw)
        return self.features_of(condition_BC1hw, noise_BCThw, passes)

    def passes(
        self,
        prompt_BLE: Tensor,
        tau_B: Tensor,
        latents_BCThw: Tensor,
        stop_at_hook: bool = True,
        modulate_tokens: bool = False,
    ) -> list[Pass]:
        """What the passes of `features` need besides the image: the same for a whole task.

        Only the shape of the latents counts. The last pass ends with the hooked block, unless told
        not to; modulation is computed once a frame, or as Cosmos does, for each token.
        """
        config = self.config
        layers = config.transformer.num_layers
        step_B = tau_B / config.feature_steps
        passes = []
        for i in range(config.feature_steps):
            last = i == config.feature_steps - 1
            blocks = config.feature_blocks if last and stop_at_hook else layers
            times_B = tau_B - i * step_B
            passes.append(self._pass(prompt_BLE, times_B, latents_BCThw, blocks, modulate_tokens))
        return passes

    def features_of(
        self, condition_BC1hw: Tensor, noise_BCThw: Tensor, passes: list[Pass]
    ) -> Tensor:
        """`features` by `passes` that were prepared before."""
        latents = torch.cat([condition_BC1hw, noise_BCThw[:, :, 1:]], dim=2)
        for this, following in pairwise(passes):
            with torch.no_grad():
                velocity = self._output(self._hidden(latents, this)[-1], this, latents.shape)
            step_B = (this.tau_B - following.tau_B).view(-1, 1, 1, 1, 1)
            future = latents[:, :, 1:] - step_B * velocity[:, :, 1:]
            latents = torch.cat([condition_BC1hw, future], dim=2)
        hidden = self._hidden(latents, passes[-1])
        if self.config.hook == 'mean':
            return torch.stack(hidden).mean(0)
        return hidden[self.config.hook]

    def velocity(self, latents_BCThw: Tensor, prompt_BLE: Tensor, tau_B: Tensor) -> Tensor:
        """Flow velocity (B, C, T, h, w) of a clip: frame 0 is clean, the others are at `tau_B`."""
        layers = len(self.transformer.transformer_blocks)
        whole = self._pass(prompt_BLE, tau_B, latents_BCThw, layers)
        return self._output(self._hidden(latents_BCThw, whole)[-1], whole, latents_BCThw.shape)

    def _pass(
        self,
        prompt_BLE: Tensor,
        tau_B: Tensor,
        latents_BCThw: Tensor,
        layers: int,
        modulate_tokens: bool = False,
    ) -> Pass:
        """Text, times and places, as `CosmosTransformer3DModel.forward` prepares them."""
        net, shape = self.transformer, latents_BCThw.shape
        blocks = net.transformer_blocks[:layers]
        times_BT = tau_B[:, None].repeat(1, shape[2])
        times_BT[:, 0] = self.config.condition_time  # it is always nearly clean
        if modulate_tokens:
            patch = self.config.transformer.patch_size
            times_BT = times_BT.repeat_interleave(shape[3] * shape[4] // (patch[1] * patch[2]), 1)
        temb, embedded = net.time_embed(prompt_BLE, times_BT.flatten())
        temb, embedded = (t.unflatten(0, times_BT.shape) for t in (temb, embedded))
        text = net.crossattn_proj(prompt_BLE) if net.config.use_crossattn_projection else prompt_BLE
        return Pass(
            tau_B=tau_B,
            text=[block.keys_values(text) for block in blocks],
            modulation=[block.modulation(embedded, temb) for block in blocks],
            time=(embedded, temb),
            rotary=net.rope(latents_BCThw),
            positions=net.learnable_pos_embed and net.learnable_pos_embed(latents_BCThw),
        )

    def _hidden(self, latents_BCThw: Tensor, given: Pass) -> list[Tensor]:
        """Each block's output (B, T*h*w / patch, D)."""
        net = self.transformer
        mask = torch.zeros_like(latents_BCThw[:, :1])
        mask[:, :, 0] = 1
        x = torch.cat([latents_BCThw, mask], dim=1)
        if net.config.concat_padding_mask:
            x = torch.cat([x, torch.zeros_like(mask)], dim=1)  # nothing is padded
        x = net.patch_embed(x).flatten(1, 3)
        outputs = []
        for block, text, modulation in zip(
            net.transformer_blocks, given.text, given.modulation, strict=False
        ):
            x = block(x, text, modulation, given.rotary, given.positions)
            outputs.append(x)
        return outputs

    def _output(self, hidden_BND: Tensor, given: Pass, shape: torch.Size) -> Tensor:
        """Velocity (B, C, T, h, w) of the last block's output."""
        embedded, temb = given.time
        tokens = hidden_BND.shape[1] // embedded.shape[1]
        embedded, temb = (m.repeat_interleave(tokens, 1) for m in (embedded, temb))
        net, patch = self.transformer, self.config.transformer.patch_size
        hidden = net.proj_out(net.norm_out(hidden_BND, embedded, temb))
        grid = tuple(size // p for size, p in zip(shape[2:], patch, strict=True))
        # Cosmos reads a token's outputs as (ph, pw, pt, C), unlike the patch that went in.
        hidden = hidden.unflatten(2, (*patch[1:], patch[0], -1)).unflatten(1, grid)
        hidden = hidden.permute(0, 7, 1, 6, 2, 4, 3, 5)
        return hidden.flatten(6, 7).flatten(4, 5).flatten(2, 3)


@dataclass(frozen=True)
class Pass:
    """What one pass of the video DiT needs besides latents.

    For each block its keys and values of the text, and shift, scale and gate of its three parts (B,
    T, 1, D); the times as the output layer takes them; tables of where each token lies.
    """

    tau_B: Tensor
    text: list[tuple[Tensor, Tensor]]
    modulation: list[Modulation]
    time: tuple[Tensor, Tensor]
    rotary: tuple[Tensor, Tensor]
    positions: Tensor | None


def make_transformer(config: TransformerConfig) -> Any:
    """`CosmosTransformer3DModel` of `config`, its blocks apart from what they can be given."""
    transformer: Any = CosmosTransformer3DModel(**asdict(config))
    for block in transformer.transformer_blocks:
        block.__class__ = _Block
    if transformer.learnable_pos_embed is not None:
        for table in transformer.learnable_pos_embed.parameters():
            nn.init.normal_(table, std=0.3)  # it is normalised later: zeros have no direction
    return transformer


class _Block(CosmosTransformerBlock):
    """Self-attention, cross-attention to the text, feed-forward; each modulated by the flow time.

    All tokens of a frame have its time, so modulation is computed once a frame, and keys and values
    of the text once a sentence.
    """

    def keys_values(self, text_BLE: Tensor) -> tuple[Tensor, Tensor]:
        net: Any = self.attn2
        return net.norm_k(_heads(net, net.to_k(text_BLE))), _heads(net, net.to_v(text_BLE))

    def modulation(self, embedded_BTD: Tensor, temb_BTD: Tensor) -> Modulation:
        time_BTD = F.silu(embedded_BTD)
        return [
            (norm.linear_2(norm.linear_1(time_BTD)) + temb_BTD).unsqueeze(2).chunk(3, dim=-1)
            for norm in (self.norm1, self.norm2, self.norm3)
        ]

    def forward(  # type: ignore[override]
        self,
        x_BND: Tensor,
        text: tuple[Tensor, Tensor],
        modulation: Modulation,
        rotary: tuple[Tensor, Tensor],
        positions: Tensor | None,
    ) -> Tensor:
        if positions is not None:
            x_BND = x_BND + positions
        around, read, think = modulation
        h_BND = self._self_attention(_modulated(x_BND, around), rotary)
        x_BND = x_BND + _gated(h_BND, around)
        h_BND = self._cross_attention(_modulated(x_BND, read), *text)
        x_BND = x_BND + _gated(h_BND, read)
        return x_BND + _gated(self.ff(_modulated(x_BND, think)), think)

    def _self_attention(self, x_BND: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        net: Any = self.attn1
        queries = _turned(net.norm_q(_heads(net, net.to_q(x_BND))), rotary)
        keys = _turned(net.norm_k(_heads(net, net.to_k(x_BND))), rotary)
        return _attended(net, queries, keys, _heads(net, net.to_v(x_BND)))

    def _cross_attention(self, x_BND: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        net: Any = self.attn2
        return _attended(net, net.norm_q(_heads(net, net.to_q(x_BND))), keys, values)


def _modulated(x_BND: Tensor, modulation: tuple[Tensor, ...]) -> Tensor:
    """`x_BND` normalised, then shifted and scaled in groups of tokens, the T frames."""
    shift, scale, _ = modulation
    x_BND = F.layer_norm(x_BND, x_BND.shape[-1:], eps=1e-6)
    return (x_BND.unflatten(1, (shift.shape[1], -1)) * (1 + scale) + shift).flatten(1, 2)


def _gated(x_BND: Tensor, modulation: tuple[Tensor, ...]) -> Tensor:
    gate = modulation[2]
    return (x_BND.unflatten(1, (gate.shape[1], -1)) * gate).flatten(1, 2)


def _heads(net: Any, x_BND: Tensor) -> Tensor:
    return x_BND.unflatten(2, (net.heads, -1)).transpose(1, 2)


def _turned(x_BHND: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding, in float32: the first half of D are real parts."""
    cos, sin = rotary
    real, imaginary = x_BHND.float().chunk(2, dim=-1)
    turned = torch.cat([-imaginary, real], dim=-1)
    return torch.addcmul(x_BHND * cos, turned, sin).to(x_BHND.dtype)


def _attended(net: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    out_BHND = F.scaled_dot_product_attention(queries, keys, values)
    return net.to_out[0](out_BHND.transpose(1, 2).flatten(2))


def make_vae(config: VaeConfig) -> Any:
    """`AutoencoderKLWan` of `config`, with convolutions that waste nothing on a first frame."""
    vae: Any = AutoencoderKLWan(**vae_arguments(config))
    for module in vae.modules():
        if isinstance(module, WanCausalConv3d):
            module.__class__ = _CausalConv
    return vae


def vae_arguments(config: VaeConfig) -> dict[str, Any]:
    """What `AutoencoderKLWan` is made with."""
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}
    return values | {
        'scale_factor_temporal': config.temporal_compression,
        'scale_factor_spatial': config.spatial_compression,
    }


class _CausalConv(WanCausalConv3d):
    """Before a first frame are only zeros: of a kernel's time steps just the last touches data."""

    def forward(self, x: Tensor, cache_x: Tensor | None = None) -> Tensor:
        if x.shape[2] > 1 or cache_x is not None or self._padding[4] != self.kernel_size[0] - 1:
            return super().forward(x, cache_x)
        frame = F.pad(x[:, :, 0], [int(p) for p in self._padding[:4]])
        return F.conv2d(frame, self.weight[:, :, -1], self.bias, self.stride[1:]).unsqueeze(2)
