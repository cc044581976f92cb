"""The fast path: nothing is done twice, and nothing for nothing.

Every shortcut gives the same chunk as doing without it, but for rounding; `PLAIN` does without all
of them, as the published code does, and is what they are checked against.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dit4dit_policy.inference.prompt_cache import PromptCache
from dit4dit_policy.model.action_dit import Modulation, Velocity
from dit4dit_policy.model.dit4dit import DiT4DiT


@dataclass(frozen=True)
class Shortcuts:
    """What is left out or kept. All but `compiled` are meant for every device.

    backbone: those of the backbone's own (`Backbone.shortcuts`) that are taken; None: all it has.
    prompt_once: an instruction is embedded once, see `PromptCache`.
    task_once: what the features need besides the image, as keys and values of the text, is
    computed once a task.
    image_once: the action DiT's keys and values of the features are computed once a chunk, not in
    each Euler step.
    euler_once: its modulation at the times of the Euler steps is computed once.
    compiled: backbone and action DiT run through `torch.compile`, on a GPU as CUDA graphs.
    """

    backbone: frozenset[str] | None = None
    prompt_once: bool = True
    task_once: bool = True
    image_once: bool = True
    euler_once: bool = True
    compiled: bool = False


PLAIN = Shortcuts(
    backbone=frozenset(),
    prompt_once=False,
    task_once=False,
    image_once=False,
    euler_once=False,
)


class FastPath:
    """Algorithm 2 for one robot: `condition`, then `features`, then the `velocity` to sample along.

    Everything is on the model's device and in its precision, but for the actions: they are float32.
    keyframe (B, S): that of the features that `velocity` was given last; None: the model has none.
    """

    keyframe: Tensor | None = None

    def __init__(
        self, model: DiT4DiT, prompts: PromptCache, noise: Tensor, shortcuts: Shortcuts
    ) -> None:
        """`noise` is of `Backbone.draw_noise`, for one observation."""
        self._model, self._prompts, self._shortcuts = model, prompts, shortcuts
        weight = model.action.position_embedding.weight
        self._device, self._dtype = weight.device, weight.dtype
        self._noise = self._moved(noise)
        self._tau = torch.tensor([model.backbone.feature_time], device=self._device)
        own = frozenset(model.backbone.shortcuts)
        self._own = own if shortcuts.backbone is None else shortcuts.backbone
        self._task: tuple[tuple[str, int], Any, Tensor | None] | None = None
        self._modulations: dict[float, Modulation] = {}
        self._features_of: Callable[..., Tensor] = model.backbone.features_of
        self._action: Callable[..., Tensor] = model.action
        if shortcuts.compiled:
            options: Any = {'mode': 'reduce-overhead'} if self._device.type == 'cuda' else {}
            self._features_of = torch.compile(self._features_of, **options)
            self._action = torch.compile(self._action, **options)

    def condition(self, images_B3HW: Tensor) -> Tensor:
        """The encoding (B, C, 1, h, w) of frames in [0, 1], which have all views."""
        return self._moved(self._model.backbone.observe(self._moved(images_B3HW), self._own))

    def features(self, condition_BC1hw: Tensor, instruction: str) -> Tensor:
        """The backbone's features (B, N, D) of frames with one instruction."""
        task = instruction, len(condition_BC1hw)
        if self._task is None or self._task[0] != task or not self._shortcuts.task_once:
            self._task = task, *self._prepared(*task)
        if self._shortcuts.compiled:
            torch.compiler.cudagraph_mark_step_begin()
        return self._features_of(condition_BC1hw, self._task[1])

    def velocity(self, features_BND: Tensor, state_B1S: Tensor) -> Velocity:
        """The field for `DiT4DiT.sample_actions`, of float32 actions (B, K, A).

        Of the features that `features` gave last, or of others of the same instruction.
        """
        action, state_B1S = self._model.action, self._moved(state_B1S)
        mask = None if self._task is None else self._task[2]
        self.keyframe = action.keyframe(features_BND, mask)
        tokens = action.tokens(state_B1S, self.keyframe)
        kept = action.context(features_BND, mask) if self._shortcuts.image_once else None

        def velocity(actions_BKA: Tensor, tau: float) -> Tensor:
            context = kept or action.context(features_BND, mask)
            # Guidance goes back through the network, which the graphs of a GPU are not made for.
            net = action if torch.is_grad_enabled() else self._action
            return net(self._moved(actions_BKA), self._modulation(tau), tokens, context).float()

        return velocity

    def _prepared(self, instruction: str, batch: int) -> tuple[Any, Tensor | None]:
        """What features of `batch` frames need, and the mask of their tokens."""
        backbone = self._model.backbone
        if self._shortcuts.prompt_once:
            prompt = self._prompts[instruction]
        else:
            prompt = backbone.embed([instruction])
        prompt, noise = (x.expand(batch, *x.shape[1:]) for x in (prompt, self._noise))
        prepared = backbone.prepare(prompt, noise, self._tau, self._own)
        return prepared, backbone.mask(prompt)

    def _modulation(self, tau: float) -> Modulation:
        if self._shortcuts.euler_once and tau in self._modulations:
            return self._modulations[tau]
        with torch.no_grad():
            modulation = self._model.action.modulation(torch.tensor([tau], device=self._device))
        self._modulations[tau] = modulation
        return modulation

    def _moved(self, x: Tensor) -> Tensor:
        return x.to(self._device, self._dtype)
