"""`diffusers`' networks of Cosmos-Predict2.5, with layers that compute nothing twice.

Two classes are swapped in place, so that names and shapes of the weights stay those published:

- `CosmosBlock` for `CosmosTransformerBlock`: modulation once a frame, keys and values of the text
  once a sentence.
- `FrameConv` for `WanCausalConv3d`: a first frame has only zeros before it.

Each gives what the original gives, which `test_model.py` checks against `diffusers` itself.
Shapes: B batch, T latent frames, N = T * n tokens with n of a frame, D width, H heads, L tokens of
the text, E its width.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan, CosmosTransformer3DModel
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from diffusers.models.transformers.transformer_cosmos import CosmosTransformerBlock
from torch import Tensor, nn

from dit4dit_policy.model.attention import attention
from dit4dit_policy.model.cosmos.config import TransformerConfig, VaeConfig

#: Of a block's three parts: shift, scale and gate (B, T, 1, D).
Modulation = list[tuple[Tensor, ...]]


def make_transformer(config: TransformerConfig) -> Any:
    """`CosmosTransformer3DModel` of `config`, its blocks apart from what they can be given."""
    transformer: Any = CosmosTransformer3DModel(**asdict(config))
    for block in transformer.transformer_blocks:
        block.__class__ = CosmosBlock
    if transformer.learnable_pos_embed is not None:
        for table in transformer.learnable_pos_embed.parameters():
            nn.init.normal_(table, std=0.3)  # it is normalised later: zeros have no direction
    return transformer


class CosmosBlock(CosmosTransformerBlock):
    """Self-attention, cross-attention to the text, feed-forward; each modulated by the flow time.

    For each of the three parts f (Predict2.5's AdaLN-LoRA, `CosmosAdaLayerNormZero` in `diffusers`)

        shift, scale, gate = W2 W1 silu(e) + t          with e, t (B, T, D), (B, T, 3D) of the times
        x <- x + gate * f(LayerNorm(x) * (1 + scale) + shift)

    The published code computes this for each of the N tokens, though all tokens of a frame have the
    frame's time: here it is (B, T, 1, 3D). Keys and values of the text do not depend on the image,
    so they are given: (B, H, L, D / H) each.
    """

    def keys_values(self, text_BLE: Tensor) -> tuple[Tensor, Tensor]:
        """Of the text, for cross-attention: (B, H, L, D / H) each."""
        net: Any = self.attn2
        return net.norm_k(_heads(net, net.to_k(text_BLE))), _heads(net, net.to_v(text_BLE))

    def modulation(self, embedded_BTD: Tensor, temb_BTD: Tensor) -> Modulation:
        """Shift, scale and gate (B, T, 1, D) of the three parts; `temb_BTD` is 3D wide."""
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
        """The block's output (B, N, D); `rotary` and `positions` say where each token lies."""
        if positions is not None:
            x_BND = x_BND + positions
        self_attn, cross_attn, mlp = modulation
        h_BND = self._self_attention(_modulated(x_BND, self_attn), rotary)
        x_BND = x_BND + _gated(h_BND, self_attn)
        h_BND = self._cross_attention(_modulated(x_BND, cross_attn), *text)
        x_BND = x_BND + _gated(h_BND, cross_attn)
        return x_BND + _gated(self.ff(_modulated(x_BND, mlp)), mlp)

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
    """Rotary position embedding, in float32: (a + ib) e^(i phi) with a the first half of D / H.

    `rotary` is cos and sin of phi, each (N, D / H), the halves alike.
    """
    cos, sin = rotary
    real, imaginary = x_BHND.float().chunk(2, dim=-1)
    turned = torch.cat([-imaginary, real], dim=-1)
    return torch.addcmul(x_BHND * cos, turned, sin).to(x_BHND.dtype)


def _attended(net: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    out_BHND = attention(queries, keys, values)
    return net.to_out[0](out_BHND.transpose(1, 2).flatten(2))


def make_vae(config: VaeConfig) -> Any:
    """`AutoencoderKLWan` of `config`, with convolutions that waste nothing on a first frame."""
    vae: Any = AutoencoderKLWan(**vae_arguments(config))
    for module in vae.modules():
        if isinstance(module, WanCausalConv3d):
            module.__class__ = FrameConv
    return vae


def vae_arguments(config: VaeConfig) -> dict[str, Any]:
    """What `AutoencoderKLWan` is made with."""
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}
    return values | {
        'scale_factor_temporal': config.temporal_compression,
        'scale_factor_spatial': config.spatial_compression,
    }


class FrameConv(WanCausalConv3d):
    """A causal convolution that reads a first frame as an image.

        y[t] = sum_k w[k] x[t - K + 1 + k],  x[t] = 0 for t < 0
        y[0] = w[K - 1] x[0]

    Before a first frame are only zeros, so that of a kernel's K time steps just the last touches
    data: a convolution in two dimensions, K times less to do.
    """

    def forward(self, x: Tensor, cache_x: Tensor | None = None) -> Tensor:
        """(B, C', T', h', w') of (B, C, T, h, w); `cache_x` are frames before, if there are any."""
        if x.shape[2] > 1 or cache_x is not None or self._padding[4] != self.kernel_size[0] - 1:
            return super().forward(x, cache_x)
        frame = F.pad(x[:, :, 0], [int(p) for p in self._padding[:4]])
        return F.conv2d(frame, self.weight[:, :, -1], self.bias, self.stride[1:]).unsqueeze(2)
