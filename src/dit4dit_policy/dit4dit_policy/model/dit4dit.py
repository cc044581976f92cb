"""DiT4DiT: the joint loss (Algorithm 1) and the sampling of actions and video (Algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from dit4dit_policy.model import flow
from dit4dit_policy.model.action_dit import ActionDiT, Velocity
from dit4dit_policy.model.config import ModelConfig
from dit4dit_policy.model.video_backbone import VideoBackbone


@dataclass(frozen=True)
class Batch:
    """Training examples. Everything is normalised; masks are 1 where a value counts.

    latents (B, C, T, h, w): current frame first. prompt (B, L, E). state (B, 1, S). actions, mask
    (B, K, A).
    """

    latents: Tensor
    prompt: Tensor
    state: Tensor
    actions: Tensor
    mask: Tensor

    def first(self, count: int) -> Batch:
        return Batch(*(getattr(self, f.name)[:count] for f in fields(self)))


@dataclass(frozen=True)
class Sample:
    """Actions (B, K, A) and latents of a clip (B, C, T, h, w), normalised; None: not asked for."""

    actions: Tensor | None
    latents: Tensor | None


class DiT4DiT(nn.Module):
    """The video DiT and the action DiT that reads its hidden features."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.video = VideoBackbone(config.video)
        self.action = ActionDiT(config.action)

    def action_loss(
        self, batch: Batch, draws: int = 1, generator: torch.Generator | None = None
    ) -> Tensor:
        """Masked flow-matching loss of the actions, the features taken at a flow time of their own.

        `draws` independent noises and times are averaged for every example: they share the costly
        features.
        """
        features = self._features(batch, generator)
        if not self.config.feature_gradient:
            features = features.detach()
        context = [
            (k.repeat_interleave(draws, 0), v.repeat_interleave(draws, 0))
            for k, v in self.action.context(features)
        ]
        tokens = self.action.tokens(batch.state).repeat_interleave(draws, 0)
        actions, mask = (x.repeat_interleave(draws, 0) for x in (batch.actions, batch.mask))
        tau = self._action_times(actions, generator)
        noise = torch.randn(actions.shape, generator=generator, device=actions.device)
        noisy, modulation = flow.interpolate(actions, noise, tau), self.action.modulation(tau)
        predicted = self.action(noisy, modulation, tokens, context)
        return flow.masked_mean_square(predicted - flow.velocity_target(actions, noise), mask)

    def video_loss(self, batch: Batch, generator: torch.Generator | None = None) -> Tensor:
        """Flow-matching loss of the future frames; the condition frame stays clean, uncounted."""
        latents = batch.latents
        tau = self._video_times(latents, generator)
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        noisy = flow.interpolate(latents, noise, tau)
        noisy = torch.cat([latents[:, :, :1], noisy[:, :, 1:]], dim=2)
        predicted = self.video.velocity(noisy, batch.prompt, tau)
        return (predicted - flow.velocity_target(latents, noise))[:, :, 1:].square().mean()

    @torch.no_grad()
    def sample_actions(self, velocity: Velocity, noise: Tensor) -> Tensor:
        """Actions (B, K, A) from noise (B, K, A) along a field of `ActionDiT.velocity`."""
        return flow.euler(velocity, noise, self.config.action.euler_steps)

    @torch.no_grad()
    def sample_video(
        self,
        condition: Tensor,
        prompt: Tensor,
        noise: Tensor,
        steps: int,
        on_step: Callable[[], object] = lambda: None,
    ) -> Tensor:
        """Latents (B, C, T, h, w) of the imagined future of a condition frame (B, C, 1, h, w)."""

        def velocity(x: Tensor, tau: float) -> Tensor:
            clip = torch.cat([condition, x[:, :, 1:]], dim=2)
            times = torch.full((len(x),), tau, device=x.device)
            velocity = self.video.velocity(clip, prompt, times)
            on_step()
            return velocity

        future = flow.euler(velocity, noise, steps)
        return torch.cat([condition, future[:, :, 1:]], dim=2)

    @torch.no_grad()
    def sample(
        self,
        condition: Tensor,
        prompt: Tensor,
        noise: Tensor,
        *,
        action: tuple[Tensor, Tensor] | None = None,
        video_steps: int = 0,
        on_step: Callable[[], object] = lambda: None,
    ) -> Sample:
        """Algorithm 2, for actions, for the future video, or for both.

        condition (B, C, 1, h, w), prompt (B, L, E), noise (B, C, T, h, w) of the video. `action`:
        state (B, 1, S) and noise (B, K, A). `video_steps`: Euler steps, 0 for no video.
        """
        actions = latents = None
        if action is not None:
            state, action_noise = action
            tau = torch.full((len(state),), self.config.video.feature_time, device=state.device)
            features = self.video.features(condition, noise, prompt, tau)
            actions = self.sample_actions(self.action.velocity(features, state), action_noise)
        if video_steps:
            latents = self.sample_video(condition, prompt, noise, video_steps, on_step)
        return Sample(actions, latents)

    def _features(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        latents, device = batch.latents, batch.latents.device
        times = torch.tensor(self.config.video.feature_times, device=device)
        drawn = torch.randint(len(times), (len(latents),), generator=generator, device=device)
        noise = torch.randn(latents.shape, generator=generator, device=device)
        return self.video.features(latents[:, :, :1], noise, batch.prompt, times[drawn])

    def _action_times(self, like: Tensor, generator: torch.Generator | None) -> Tensor:
        config = self.config.action
        s = flow.beta_times(len(like), *config.beta, generator=generator, device=like.device)
        return 1 - s if config.time == 'paper' else (s / 0.999).clamp(max=1)

    def _video_times(self, like: Tensor, generator: torch.Generator | None) -> Tensor:
        """Uniform in the paper; in the released code logit-normal, 5 % forced above 0.98."""
        tau = flow.uniform_times(len(like), generator, like.device)
        if self.config.video.time == 'uniform':
            return tau
        normal = torch.randn(len(like), generator=generator, device=like.device).sigmoid()
        high = flow.uniform_times(len(like), generator, like.device) < 0.05
        return torch.where(high, 0.98 + 0.02 * tau, normal)
