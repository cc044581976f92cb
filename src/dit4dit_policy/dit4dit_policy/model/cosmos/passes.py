"""One pass of Cosmos' video DiT, in two halves: what does not depend on latents, and the rest.

Shapes: B batch, C latent channels, T latent frames, h w latent size, L text tokens, N = T*h*w /
patch tokens, D width of the video DiT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dit4dit_policy.model.cosmos.config import CosmosConfig
from dit4dit_policy.model.cosmos.layers import Modulation


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


def make_pass(
    net: Any,
    prompt_BLE: Tensor,
    tau_B: Tensor,
    latents_BCThw: Tensor,
    config: CosmosConfig,
    layers: int,
    modulate_tokens: bool = False,
) -> Pass:
    """Text, times and places, as `CosmosTransformer3DModel.forward` prepares them.

    net: of `layers.make_transformer`, of which the first `layers` blocks are to run. Of the latents
    only the shape counts. modulate_tokens: modulation is computed for each token, not each frame.
    """
    shape, patch = latents_BCThw.shape, config.transformer.patch_size
    blocks = net.transformer_blocks[:layers]
    times_BT = tau_B[:, None].repeat(1, shape[2])
    times_BT[:, 0] = config.condition_time  # it is always nearly clean
    if modulate_tokens:
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


def hidden_states(net: Any, latents_BCThw: Tensor, given: Pass) -> list[Tensor]:
    """Output (B, N, D) of each block that `given` is for; frame 0 is the condition frame."""
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


def clip_velocity(net: Any, latents_BCThw: Tensor, given: Pass) -> Tensor:
    """Flow velocity (B, C, T, h, w) of a clip, by a pass of all blocks."""
    hidden_BND, patch = hidden_states(net, latents_BCThw, given)[-1], net.config.patch_size
    embedded, temb = given.time
    tokens = hidden_BND.shape[1] // embedded.shape[1]
    embedded, temb = (m.repeat_interleave(tokens, 1) for m in (embedded, temb))
    hidden = net.proj_out(net.norm_out(hidden_BND, embedded, temb))
    grid = tuple(size // p for size, p in zip(latents_BCThw.shape[2:], patch, strict=True))
    # Cosmos reads a token's outputs as (ph, pw, pt, C), unlike the patch that went in.
    hidden = hidden.unflatten(2, (*patch[1:], patch[0], -1)).unflatten(1, grid)
    hidden = hidden.permute(0, 7, 1, 6, 2, 4, 3, 5)
    return hidden.flatten(6, 7).flatten(4, 5).flatten(2, 3)
