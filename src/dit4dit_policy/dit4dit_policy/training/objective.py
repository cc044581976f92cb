"""What a training asks of a model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
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

    def _attention(self, device: torch.device) -> AbstractContextManager[object]:
        """In fp32 where all else is in bf16 on a CPU, whose fused attention is slow in bf16.

        A step of `small` takes 1.41 s so, 1.61 s by plain products in bf16, and 2.01 s all in fp32;
        fused in bf16 it takes as long as that (AMD with AVX512-BF16).
        """
        bf16 = device.type == 'cpu' and torch.is_autocast_enabled('cpu')
        return _AttentionInFP32() if bf16 and not self._recomputes else nullcontext()


class _AttentionInFP32(TorchFunctionMode):
    """Within, attention on a CPU is computed in fp32 whatever its inputs are."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not scaled_dot_product_attention:
            return func(*args, **kwargs)
        with torch.autocast('cpu', enabled=False):
            return func(*map(_wide, args), **{name: _wide(value) for name, value in kwargs.items()})


def _wide(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
