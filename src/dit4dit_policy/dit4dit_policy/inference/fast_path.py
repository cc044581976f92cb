"""The fast path: nothing is done twice, and nothing for nothing.

Every shortcut gives the same chunk as doing without it, but for rounding; `PLAIN` does without all
of them, as the published code does, and is what they are checked against.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from dit4dit_policy.inference.prompt_cache import PromptCache
from dit4dit_policy.model.action_dit import Modulation, Velocity
from dit4dit_policy.model.dit4dit import DiT4DiT
from dit4dit_policy.model.video_backbone import Pass


@dataclass(frozen=True)
class Shortcuts:
    """What is left out or kept. All but `compiled` are meant for every device.

    one_frame: the VAE, which is causal, encodes the current image alone, not the clip it begins.
    stop_at_hook: blocks after the hooked one are not run.
    prompt_once: an instruction is embedded once, see `PromptCache`.
    task_once: the video DiT's keys and values of the text, its modulation and its tables of places
    are computed once a task, and modulation for a frame, not for each of its tokens.
    image_once: the action DiT's keys and values of the video features are computed once a chunk,
    not in each Euler step.
    euler_once: its modulation at the times of the Euler steps is computed once.
    compiled: both DiTs run through `torch.compile` as CUDA graphs.
    """

    one_frame: bool = True
    stop_at_hook: bool = True
    prompt_once: bool = True
    task_once: bool = True
    image_once: bool = True
    euler_once: bool = True
    compiled: bool = False


PLAIN = Shortcuts(**{field.name: False for field in fields(Shortcuts)})


class FastPath:
    """Algorithm 2 for one robot: `condition`, then `features`, then the `velocity` to sample along.

    Everything is on the model's device and in its precision, but for the actions: they are float32.
    """

    def __init__(
        self, model: DiT4DiT, prompts: PromptCache, noise_1CThw: Tensor, shortcuts: Shortcuts
    ) -> None:
        self._model, self._prompts, self._shortcuts = model, prompts, shortcuts
        weight = model.action.position_embedding.weight
        self._device, self._dtype = weight.device, weight.dtype
        self._noise = self._moved(noise_1CThw)
        self._tau = torch.tensor([model.config.video.feature_time], device=self._device)
        self._task: tuple[str, list[Pass]] | None = None
        self._modulations: dict[float, Modulation] = {}
        self._features_of: Callable[..., Tensor] = model.video.features_of
        self._action: Callable[..., Tensor] = model.action
        if shortcuts.compiled:
            options: Any = {'mode': 'reduce-overhead'} if self._device.type == 'cuda' else {}
            self._features_of = torch.compile(self._features_of, **options)
            self._action = torch.compile(self._action, **options)

    def condition(self, image_3HW: Tensor) -> Tensor:
        """The latent (1, C, 1, h, w) of an image in [0, 1]."""
        video = self._model.video
        frames = 1 if self._shortcuts.one_frame else len(video.config.clip_offsets)
        clip = torch.zeros(1, 3, frames, *image_3HW.shape[1:])
        clip[:, :, 0] = image_3HW
        return self._moved(video.encode(self._moved(clip))[:, :, :1])

    def features(self, condition_1C1hw: Tensor, instruction: str) -> Tensor:
        """The video DiT's hidden features (1, N, D)."""
        if self._task is None or self._task[0] != instruction or not self._shortcuts.task_once:
            self._task = instruction, self._passes(instruction)
        if self._shortcuts.compiled:
            torch.compiler.cudagraph_mark_step_begin()
        return self._features_of(condition_1C1hw, self._noise, self._task[1])

    def velocity(self, features_1ND: Tensor, state_11S: Tensor) -> Velocity:
        """The field for `DiT4DiT.sample_actions`, of float32 actions (1, K, A)."""
        action, state_11S = self._model.action, self._moved(state_11S)
        tokens = action.tokens(state_11S)
        kept = action.context(features_1ND) if self._shortcuts.image_once else None

        def velocity(actions_1KA: Tensor, tau: float) -> Tensor:
            context = kept or action.context(features_1ND)
            # Guidance goes back through the network, which the graphs of a GPU are not made for.
            net = action if torch.is_grad_enabled() else self._action
            return net(self._moved(actions_1KA), self._modulation(tau), tokens, context).float()

        return velocity

    def _passes(self, instruction: str) -> list[Pass]:
        if self._shortcuts.prompt_once:
            prompt = self._prompts[instruction]
        else:
            prompt = self._model.video.embed([instruction])
        return self._model.video.passes(
            prompt,
            self._tau,
            self._noise,
            stop_at_hook=self._shortcuts.stop_at_hook,
            modulate_tokens=not self._shortcuts.task_once,
        )

    def _modulation(self, tau: float) -> Modulation:
        if self._shortcuts.euler_once and tau in self._modulations:
            return self._modulations[tau]
        with torch.no_grad():
            modulation = self._model.action.modulation(torch.tensor([tau], device=self._device))
        self._modulations[tau] = modulation
        return modulation

    def _moved(self, x: Tensor) -> Tensor:
        return x.to(self._device, self._dtype)
