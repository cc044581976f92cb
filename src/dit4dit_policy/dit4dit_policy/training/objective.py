"""What a training asks of a model."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from dit4dit_policy.model.dit4dit import Batch, DiT4DiT
from dit4dit_policy.training.config import TrainConfig

#: Dropout by torch's own generator: what the compiler makes of it is slow on a CPU.
_ON_CPU: dict[str, Any] = {'fallback_random': True}


class Objective(nn.Module):
    """A model with what is asked of it: the one module that many processes share.

    In training, the losses of `TrainConfig.mode`; else the chunks it samples, and its video loss.
    """

    def __init__(self, config: TrainConfig, model: DiT4DiT, processes: int) -> None:
        super().__init__()
        self.model, self._mode, self._samples = model, config.mode, config.noise_samples
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
        on_cpu = model.backbone.device.type == 'cpu'
        blocks: Any = (*model.backbone.recomputable, *model.action.model.transformer_blocks)
        for block in blocks:
            if config.compiled:  # for two batch sizes: of actions, and of video
                options = _ON_CPU if on_cpu else None
                block.forward = torch.compile(block.forward, dynamic=False, options=options)
            if config.gradient_checkpointing:
                block.forward = partial(recompute, block.forward, use_reentrant=False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Algorithm 1: losses of actions and `video`; `actions` (B, K, A)."""
        model, has_loss = self.model, self.model.backbone.has_loss
        if not self.training:
            with torch.compiler.set_stance('force_eager'):  # its batches are of many sizes
                return self._evaluated(batch)
        losses: dict[str, Tensor] = {}
        if self._mode != 'video':
            losses |= model.action_losses(batch, self._samples)
        if self._mode != 'action' and has_loss:
            losses['video'] = model.backbone_loss(batch.first(self.video_batch))
        return losses

    def _evaluated(self, batch: Batch) -> dict[str, Tensor]:
        model = self.model
        noise = model.backbone.draw_noise(len(batch.state), device=batch.state.device)
        action = batch.state, torch.randn_like(batch.actions)
        sample = model.sample(batch.latents[:, :, :1], batch.prompt, noise, action=action)
        assert sample.actions is not None
        video = {'video': model.backbone_loss(batch)} if model.backbone.has_loss else {}
        return {'actions': sample.actions, **video}
