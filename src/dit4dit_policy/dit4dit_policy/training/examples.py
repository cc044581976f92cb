"""Demonstrations as the model sees them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit4dit_policy.inference.processor import Processor
from dit4dit_policy.model.config import ModelConfig
from dit4dit_policy.model.dit4dit import Batch
from dit4dit_policy.training.clips import Clips
from dit4dit_policy.training.demonstrations import Demonstrations
from dit4dit_policy.training.keyframes import keyframes
from dit4dit_policy.training.moments import Moments
from g1_description import Embodiment


@dataclass(frozen=True)
class Examples:
    """The n-th example starts at the n-th frame of the demonstrations.

    state (N + M, S), the last ones those of the M moments' keyframes, action (N, A) [rad, m],
    without gaps; known (N, A') 1 where a target counts. keyframe (N,): row of `state`, as of
    `keyframes`; hands (N + M, 3H) [dm] of those that keyframes tell.
    """

    config: ModelConfig
    processor: Processor
    clips: Clips
    prompts: Tensor
    state: NDArray[np.float64]
    action: NDArray[np.float64]
    known: Tensor
    task: Tensor
    last: Tensor
    keyframe: Tensor
    hands: Tensor
    moments: Moments

    @classmethod
    def make(
        cls,
        config: ModelConfig,
        data: Demonstrations,
        moments: Moments,
        processor: Processor,
        clips: Clips,
        prompts: Tensor,
    ) -> Examples:
        """`clips` of the demonstrations; `prompts` (instructions, L, E) embed their instructions.

        A number that a dataset has not is in the middle of its range, and its targets don't count.
        """
        known = np.zeros((len(data.state), config.action.action_dim), dtype=np.float32)
        known[:, : data.action.shape[1]] = ~np.isnan(data.action)
        states = np.concatenate([data.state, moments.keyframe])
        state = _filled(states, processor.state_lower, processor.state_upper, 0.0)
        reference = np.nan_to_num(data.reference)
        bounds = processor.action_lower, processor.action_upper
        targets = _filled(moments.targets, *bounds, reference[moments.place >= 0, None])
        of_moments = len(data.state) + moments.place
        return cls(
            config=config,
            processor=processor,
            clips=clips,
            prompts=prompts,
            state=state,
            action=_filled(data.action, *bounds, reference),
            known=torch.from_numpy(known),
            task=torch.from_numpy(data.task),
            last=torch.from_numpy(data.last),
            keyframe=torch.from_numpy(np.where(data.film, keyframes(data), of_moments)),
            hands=_hands(config.action.keyframe_hands, data.embodiment, state),
            moments=replace(moments, targets=targets),
        )

    def batch(self, start_B: Tensor, augmented: bool = False, whole: int | None = None) -> Batch:
        """Examples at the frames `start_B`. After an episode its last frame and target stay.

        augmented: their pictures are changed as for training, else they are as the robot sees them.
        whole: how many of the first need their whole clips, see `Clips`.
        """
        chunk_BK = torch.minimum(
            start_B[:, None] + torch.arange(self.config.action.horizon), self.last[start_B, None]
        )
        state_B1S = self.state[start_B, None]
        targets_BKA = self.action[chunk_BK]
        place_B = self.moments.place[start_B.numpy()]
        own_B = place_B >= 0
        targets_BKA[own_B] = self.moments.targets[place_B[own_B]]
        actions = self.processor.encode_action(targets_BKA, state_B1S)
        return Batch(
            latents=self.clips.encoded(start_B, augmented, whole),
            prompt=self.prompts[self.task[start_B].to(self.prompts.device)],
            state=self.processor.encode_state(state_B1S),
            actions=actions,
            mask=self.known[start_B, None].expand_as(actions),
            keyframe=self._keyframe(self.keyframe[start_B]),
        )

    def _keyframe(self, frame_B: Tensor) -> Tensor:
        state_BS = self.processor.encode_state(self.state[frame_B.numpy()])
        return torch.cat([state_BS, self.hands[frame_B]], dim=-1)

    def decoded(self, actions: Tensor, start_B: Tensor) -> NDArray[np.float64]:
        """Targets (B, K, A) [rad, m] of the model's actions for the examples at `start_B`."""
        return self.processor.decode_action(actions.float().cpu(), self.state[start_B, None])


def _hands(count: int, embodiment: Embodiment, state: NDArray[np.float64]) -> Tensor:
    """(N, 3 * count) positions of the hands [dm]; ValueError where there are not so many."""
    if not count:
        return torch.zeros(len(state), 0)
    if not embodiment.hands:
        raise ValueError(
            f'keyframe_hands: {embodiment.name} does not say where its hands are; expected hands: '
            'in its description, or model: {action.keyframe_hands: 0} for the training'
        )
    positions = embodiment.hand_positions(state)
    if positions.shape != (len(state), count, 3):
        raise ValueError(f'keyframe_hands: {embodiment.name} has {positions.shape[1]}, got {count}')
    return torch.from_numpy(10 * positions.reshape(len(state), -1)).float()


def _filled(
    values: NDArray[np.float64],
    lower: tuple[float, ...],
    upper: tuple[float, ...],
    reference: NDArray[np.float64] | float,
) -> NDArray[np.float64]:
    middle = (np.array(lower) + np.array(upper)) / 2 + reference
    return np.where(np.isnan(values), middle, values)
