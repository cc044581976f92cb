"""DiT4DiT: the losses of Algorithm 1 and the sampling of actions of Algorithm 2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dit4dit_policy.model import flow
from dit4dit_policy.model.action_dit import ActionDiT, Velocity
from dit4dit_policy.model.backbone import Backbone, backbone_class
from dit4dit_policy.model.config import ModelConfig

_KEYFRAME_ERROR = 0.05  # of values in [-1, 1]; larger ones count by their size, not its square


@dataclass(frozen=True)
class Batch:
    """Training examples. Everything is normalised; masks are 1 where a value counts.

    latents (B, C, T, h, w): clips as the backbone encodes them, current frame first. prompt (B, L,
    ...) as it embeds them. state (B, 1, S). actions, mask (B, K, A). keyframe (B, E): `examples`.
    """

    latents: Tensor
    prompt: Tensor
    state: Tensor
    actions: Tensor
    mask: Tensor
    keyframe: Tensor

    def first(self, count: int) -> Batch:
        """The first `count` examples."""
        return Batch(*(getattr(self, f.name)[:count] for f in fields(self)))


@dataclass(frozen=True)
class Sample:
    """Actions (B, K, A) and an encoded clip (B, C, T, h, w), normalised; None: not asked for."""

    actions: Tensor | None
    latents: Tensor | None


class DiT4DiT(nn.Module):
    """A backbone, in the paper a video DiT, and the action DiT that reads its features."""

    backbone: Backbone
    action: ActionDiT

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone_class(config.backbone.kind)(config.backbone)
        self.action = ActionDiT(config.action, config.backbone.tokens)

    def action_losses(
        self, batch: Batch, noise_samples: int = 1, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """`action`: the masked flow-matching loss, the features taken at a flow time of their own.

        `noise_samples` independent noises and times are averaged for every example: they share the
        costly features. `keyframe`: that of the keyframe, where there is one.
        """
        features = self._features(batch, generator)
        if not self.config.feature_gradient:
            features = features.detach()
        mask = self.backbone.mask(batch.prompt)
        context = self.action.context(features, mask)
        keyframe = self.action.keyframe(features, mask)
        tokens = self.action.tokens(batch.state, keyframe).repeat_interleave(noise_samples, 0)
        actions, counts = (
            x.repeat_interleave(noise_samples, 0) for x in (batch.actions, batch.mask)
        )
        tau = self._action_times(actions, generator)
        noise = torch.randn(actions.shape, generator=generator, device=actions.device)
        noisy, modulation = flow.interpolate(actions, noise, tau), self.action.modulation(tau)
        predicted = self.action(noisy, modulation, tokens, context)
        error = predicted - flow.velocity_target(actions, noise)
        losses = {'action': flow.masked_mean_square(error, counts)}
        if keyframe is not None:
            losses['keyframe'] = F.smooth_l1_loss(keyframe, batch.keyframe, beta=_KEYFRAME_ERROR)
        return losses

    def backbone_loss(self, batch: Batch, generator: torch.Generator | None = None) -> Tensor:
        """The backbone's own loss, of the video; ValueError where it has none."""
        return self.backbone.loss(batch.latents, batch.prompt, generator)

    @torch.no_grad()
    def sample_actions(self, velocity: Velocity, noise: Tensor) -> Tensor:
        """Actions (B, K, A) from noise (B, K, A) along a field of `ActionDiT.velocity`."""
        return flow.euler(velocity, noise, self.config.action.euler_steps)

    @torch.no_grad()
    def sample(
        self,
        observed: Tensor,
        prompt: Tensor,
        noise: Tensor,
        *,
        action: tuple[Tensor, Tensor] | None = None,
        video_steps: int = 0,
        on_step: Callable[[], object] = lambda: None,
    ) -> Sample:
        """Algorithm 2, for actions, for the future video, or for both.

        observed (B, C, 1, h, w), prompt (B, L, ...), noise as of `Backbone.draw_noise`. `action`:
        state (B, 1, S) and noise (B, K, A). `video_steps`: of denoising, 0 for no video.
        """
        actions = latents = None
        if action is not None:
            state, action_noise = action
            tau = torch.full((len(state),), self.backbone.feature_time, device=state.device)
            features = self.backbone.features(observed, noise, prompt, tau)
            velocity = self.action.velocity(features, state, self.backbone.mask(prompt))
            actions = self.sample_actions(velocity, action_noise)
        if video_steps:
            latents = self.backbone.imagine(observed, prompt, noise, video_steps, on_step)
        return Sample(actions, latents)

    def _features(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        count, device = len(batch.latents), batch.latents.device
        tau = self.backbone.draw_times(count, generator, device)
        noise = self.backbone.draw_noise(count, generator, device)
        return self.backbone.features(batch.latents[:, :, :1], noise, batch.prompt, tau)

    def _action_times(self, like: Tensor, generator: torch.Generator | None) -> Tensor:
        config = self.config.action
        s = flow.beta_times(len(like), *config.beta, generator=generator, device=like.device)
        return 1 - s if config.time_convention == 'paper' else (s / 0.999).clamp(max=1)
