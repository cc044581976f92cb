"""What a training asks of a model."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint as recompute

from dit4dit_policy.model.dit4dit import Batch, DiT4DiT
from dit4dit_policy.training.config import TrainConfig


class Objective(nn.Module):
    """A model with what is asked of it: the one module that many processes share.

    In training, the losses of `TrainConfig.mode`; else the chunks it samples, and its video loss.
    """

    def __init__(self, config: TrainConfig, model: DiT4DiT, processes: int) -> None:
        super().__init__()
        self.model, self._mode, self._samples = model, config.mode, config.noise_samples
        self._recomputes = config.gradient_checkpointing
        #: Examples of a process that the video loss is taken on, the first ones.
        self.video_batch = max(1, config.video_batch_size // processes)
        if config.mode == 'video':
            if not model.backbone.has_loss:
                raise ValueError(
                    f'mode: a {model.config.backbone.kind} backbone has no loss of its own, '
                    "expected 'joint' or 'action', got 'video'"
                )
            model.action.requires_grad_(False)
        if config.mode == 'action' and not model.config.feature_gradient:
            model.backbone.requires_grad_(False)
        if config.gradient_checkpointing:
            blocks: Any = (*model.backbone.recomputable, *model.action.model.transformer_blocks)
            for block in blocks:
                block.forward = partial(recompute, block.forward, use_reentrant=False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Algorithm 1: `action`, the masked action loss, and `video`; `actions` (B, K, A)."""
        model, has_loss = self.model, self.model.backbone.has_loss
        if not self.training:
            noise = model.backbone.draw_noise(len(batch.state), device=batch.state.device)
            action = batch.state, torch.randn_like(batch.actions)
            sample = model.sample(batch.latents[:, :, :1], batch.prompt, noise, action=action)
            assert sample.actions is not None
            video = {'video': model.backbone_loss(batch)} if has_loss else {}
            return {'actions': sample.actions, **video}
        losses = {}
        with self._attention(batch.state.device):
            if self._mode != 'video':
                losses['action'] = model.action_loss(batch, self._samples)
            if self._mode != 'action' and has_loss:
                losses['video'] = model.backbone_loss(batch.first(self.video_batch))
        return losses

    def _attention(self, device: torch.device) -> AbstractContextManager[None]:
        """By plain products in bf16 on a CPU, whose fused attention is then slow backwards.

        A step of `small` takes 1.56 s so, 1.92 s fused, and 1.94 s in fp32 (AMD with AVX512-BF16).
        """
        plain = device.type == 'cpu' and torch.is_autocast_enabled('cpu') and not self._recomputes
        return sdpa_kernel(SDPBackend.MATH) if plain else nullcontext()
