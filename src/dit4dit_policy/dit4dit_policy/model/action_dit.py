"""The action DiT: state, future tokens and noisy actions in, their velocity out (Section 4.3).

Built of `diffusers` layers and named as in the released checkpoints. Blocks alternate: even ones
look at the backbone's features, odd ones at the tokens themselves. Shapes: B batch, K horizon, A
action, S state, E keyframe, W width, N feature tokens, D their width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn

from dit4dit_policy.model.attention import attention
from dit4dit_policy.model.config import ActionConfig

#: The velocity (B, K, A) at noisy actions (B, K, A) and a flow time tau.
Velocity = Callable[[Tensor, float], Tensor]


_CHANNELS = 32  # of a feature token that a keyframe is told from


@dataclass(frozen=True)
class Context:
    """What the cross-attention blocks need of the features, once for every Euler step.

    Keys and values (B, heads, N, W / heads) of each block; `mask` (B, 1, 1, N) is True where a
    feature token counts, None where all do.
    """

    keys_values: list[tuple[Tensor, Tensor]]
    mask: Tensor | None = None


@dataclass(frozen=True)
class Modulation:
    """All that depends on tau alone: what the action encoder adds, scales and shifts (B, 1, W)."""

    actions_BW: Tensor
    blocks: list[tuple[Tensor, Tensor]]
    out: tuple[Tensor, Tensor]


class ActionDiT(nn.Module):
    """Predicts the flow velocity of a chunk of actions."""

    def __init__(self, config: ActionConfig, feature_tokens: int = 0) -> None:
        """feature_tokens: N, which keyframes are told from; nothing else asks for it."""
        super().__init__()
        self.config = config
        self.state_encoder = _Mlp(config.state_dim, config.hidden_dim, config.width)
        self.action_encoder = _ActionEncoder(config.action_dim, config.width)
        self.action_decoder = _Mlp(config.hidden_dim, config.hidden_dim, config.action_dim)
        self.position_embedding = nn.Embedding(config.max_positions, config.width)
        nn.init.normal_(self.position_embedding.weight, std=0.02)
        if config.future_tokens:
            self.future_tokens = nn.Embedding(config.future_tokens, config.width)
            nn.init.normal_(self.future_tokens.weight, std=0.02)
        self.model = _Transformer(config)
        if config.keyframe_weight:
            self.keyframe_head = _KeyframeHead(config, feature_tokens)
            self.keyframe_encoder = _Mlp(config.keyframe_dim, config.hidden_dim, config.width)

    def context(self, features_BND: Tensor, mask_BN: Tensor | None = None) -> Context:
        """What the cross-attention blocks need of features (B, N, D); `mask_BN`: which count."""
        blocks = (block for block in self.model.transformer_blocks if block.crosses)
        return Context(
            [block.keys_values(features_BND) for block in blocks],
            None if mask_BN is None else mask_BN[:, None, None],
        )

    def keyframe(self, features_BND: Tensor, mask_BN: Tensor | None = None) -> Tensor | None:
        """(B, E) the keyframe that features tell; None where the configuration has none."""
        if not self.config.keyframe_weight:
            return None
        keyframe_BE: Tensor = self.keyframe_head(features_BND, mask_BN)
        return keyframe_BE

    def tokens(self, state_B1S: Tensor, keyframe_BE: Tensor | None = None) -> Tensor:
        """The tokens in front of the actions (B, 1 + future, W); they don't change with tau.

        One more with a keyframe, which the action loss does not teach.
        """
        tokens_BNW: Tensor = self.state_encoder(state_B1S)
        if keyframe_BE is not None:
            shown_B1W = self.keyframe_encoder(keyframe_BE.detach()[:, None])
            tokens_BNW = torch.cat([tokens_BNW, shown_B1W], dim=1)
        if self.config.future_tokens:
            future_BNW = self.future_tokens.weight.expand(len(tokens_BNW), -1, -1)
            tokens_BNW = torch.cat([tokens_BNW, future_BNW.to(tokens_BNW)], dim=1)
        return tokens_BNW

    def modulation(self, tau_B: Tensor) -> Modulation:
        """Of the flow times `tau_B`, which the network sees as int(1000 tau)."""
        timestep_B = (tau_B * 1000).long()
        blocks, out = self.model.modulation(timestep_B)
        return Modulation(self.action_encoder.time(timestep_B).to(out[0]), blocks, out)

    def forward(
        self, actions_BKA: Tensor, modulation: Modulation, tokens_BNW: Tensor, context: Context
    ) -> Tensor:
        """Velocity (B, K, A) at noisy `actions_BKA` and the flow times of `modulation`.

        B may be several rows in a row for each example of `context`.
        """
        actions_BKW = self.action_encoder(actions_BKA, modulation.actions_BW)
        horizon = actions_BKA.shape[1]
        actions_BKW = actions_BKW + self.position_embedding.weight[:horizon]
        out = self.model(torch.cat([tokens_BNW, actions_BKW], dim=1), modulation, context)
        return self.action_decoder(out[:, -horizon:])

    def velocity(
        self, features_BND: Tensor, state_B1S: Tensor, mask_BN: Tensor | None = None
    ) -> Velocity:
        """The field that actions follow, given features (B, N, D) and a state (B, 1, S)."""
        context = self.context(features_BND, mask_BN)
        tokens = self.tokens(state_B1S, self.keyframe(features_BND, mask_BN))

        def velocity(actions_BKA: Tensor, tau: float) -> Tensor:
            tau_B = torch.full((len(actions_BKA),), tau, device=actions_BKA.device)
            return self(actions_BKA, self.modulation(tau_B), tokens, context)

        return velocity


class _Transformer(nn.Module):
    def __init__(self, config: ActionConfig) -> None:
        super().__init__()
        width = config.width
        self.timestep_encoder = _TimestepEncoder(width)
        self.transformer_blocks: Any = nn.ModuleList(
            _Block(config, crosses=i % 2 == 0) for i in range(config.layers)
        )
        self.norm_out = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.proj_out_1 = nn.Linear(width, 2 * width)
        self.proj_out_2 = nn.Linear(width, config.hidden_dim)

    def modulation(
        self, timestep_B: Tensor
    ) -> tuple[list[tuple[Tensor, Tensor]], tuple[Tensor, Tensor]]:
        """Scale and shift of each block and of the output, (B, 1, W)."""
        time_BW = F.silu(self.timestep_encoder(timestep_B))
        blocks = [block.norm1.modulation(time_BW) for block in self.transformer_blocks]
        shift, scale = self.proj_out_1(time_BW)[:, None].chunk(2, dim=-1)
        return blocks, (scale, shift)

    def forward(self, x_BNW: Tensor, modulation: Modulation, context: Context) -> Tensor:
        features = iter(context.keys_values)
        for block, (scale, shift) in zip(self.transformer_blocks, modulation.blocks, strict=True):
            if block.crosses:
                x_BNW = block(x_BNW, scale, shift, next(features), context.mask)
            else:
                x_BNW = block(x_BNW, scale, shift)
        scale, shift = modulation.out
        return self.proj_out_2(self.norm_out(x_BNW) * (1 + scale) + shift)


class _Block(nn.Module):
    """Cross- or self-attention under AdaLN with tau, then a feed-forward layer."""

    def __init__(self, config: ActionConfig, crosses: bool) -> None:
        super().__init__()
        self.crosses = crosses
        self.norm1 = _AdaLayerNorm(config.width)
        self.attn1 = Attention(
            query_dim=config.width,
            cross_attention_dim=config.feature_dim if crosses else None,
            heads=config.heads,
            dim_head=config.width // config.heads,
            bias=True,
            dropout=config.dropout,
        )
        self.norm3 = nn.LayerNorm(config.width, elementwise_affine=False, eps=1e-5)
        self.ff = FeedForward(
            config.width,
            dropout=config.dropout,
            activation_fn='gelu-approximate',
            final_dropout=True,
        )

    def keys_values(self, x_BND: Tensor) -> tuple[Tensor, Tensor]:
        return self._heads(self.attn1.to_k(x_BND)), self._heads(self.attn1.to_v(x_BND))

    def forward(
        self,
        x_BNW: Tensor,
        scale_B1W: Tensor,
        shift_B1W: Tensor,
        features: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        h_BNW = self.norm1(x_BNW, scale_B1W, shift_B1W)
        keys, values = features if features is not None else self.keys_values(h_BNW)
        queries = self._heads(self.attn1.to_q(h_BNW))
        samples = len(queries) // len(keys)  # rows that share an example's features
        queries = queries.unflatten(0, (-1, samples)).transpose(1, 2).flatten(2, 3)
        h_BHND = attention(queries, keys, values, mask)
        h_BHND = h_BHND.unflatten(2, (samples, -1)).transpose(1, 2).flatten(0, 1)
        h_BNW = h_BHND.transpose(1, 2).flatten(2)
        for layer in self.attn1.to_out:
            h_BNW = layer(h_BNW)
        x_BNW = x_BNW + h_BNW
        return x_BNW + self.ff(self.norm3(x_BNW))

    def _heads(self, x_BNW: Tensor) -> Tensor:
        return x_BNW.unflatten(2, (self.attn1.heads, -1)).transpose(1, 2)


class _AdaLayerNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-5)

    def modulation(self, time_BW: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.linear(time_BW)[:, None].chunk(2, dim=-1)
        return scale, shift

    def forward(self, x_BNW: Tensor, scale_B1W: Tensor, shift_B1W: Tensor) -> Tensor:
        return self.norm(x_BNW) * (1 + scale_B1W) + shift_B1W


class _TimestepEncoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.time_proj = Timesteps(256, flip_sin_to_cos=True, downscale_freq_shift=1)
        self.timestep_embedder = TimestepEmbedding(256, width)

    def forward(self, timestep_B: Tensor) -> Tensor:
        weight = self.timestep_embedder.linear_1.weight
        return self.timestep_embedder(self.time_proj(timestep_B).to(weight.dtype))


class _KeyframeHead(nn.Module):
    """Reads every feature token with weights of its own place: where something is, is precise so.

    Pooled by attention, a place is told less precisely: docs/experiments.md.
    """

    def __init__(self, config: ActionConfig, feature_tokens: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.feature_dim)
        self.channels = nn.Linear(config.feature_dim, _CHANNELS)
        self.mlp = _Mlp(_CHANNELS * feature_tokens, config.hidden_dim, config.keyframe_dim)

    def forward(self, features_BND: Tensor, mask_BN: Tensor | None = None) -> Tensor:
        seen_BNC = self.channels(self.norm(features_BND))
        if mask_BN is not None:
            seen_BNC = seen_BNC.masked_fill(~mask_BN[..., None], 0.0)
        keyframe_BE: Tensor = self.mlp(seen_BNC.flatten(1))
        return keyframe_BE


class _Mlp(nn.Module):
    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.layer1 = nn.Linear(inputs, hidden)
        self.layer2 = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer2(F.relu(self.layer1(x)))


class _ActionEncoder(nn.Module):
    """Each noisy action with the time it is at."""

    def __init__(self, action: int, width: int) -> None:
        super().__init__()
        self.layer1 = nn.Linear(action, width)
        self.layer2 = nn.Linear(2 * width, width)
        self.layer3 = nn.Linear(width, width)

    def time(self, timestep_B: Tensor) -> Tensor:
        """(B, W) sines and cosines of the time."""
        half = self.layer1.out_features // 2
        steps = torch.arange(half, device=timestep_B.device)
        angles = timestep_B[:, None] * torch.exp(steps * (-math.log(10000.0) / half))
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    def forward(self, actions_BKA: Tensor, time_BW: Tensor) -> Tensor:
        actions_BKW = self.layer1(actions_BKA)
        time_BKW = time_BW[:, None].expand_as(actions_BKW)
        return self.layer3(F.silu(self.layer2(torch.cat([actions_BKW, time_BKW], dim=-1))))
