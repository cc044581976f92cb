"""The policy: one observation in, one chunk of joint targets out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit4dit_policy.inference.chunking import Prefix, guided, soft_mask
from dit4dit_policy.inference.processor import Processor
from dit4dit_policy.model import checkpoint
from dit4dit_policy.model.action_dit import Velocity
from dit4dit_policy.model.config import ModelConfig, preset
from dit4dit_policy.model.dit4dit import DiT4DiT


@dataclass(frozen=True)
class Observation:
    """What the robot sees and feels at one moment.

    image (H, W, 3) uint8 RGB of the head camera; joint_positions in the order of
    `Policy.joint_names` [rad, m]; instruction: what to do, in words.
    """

    image: NDArray[np.uint8]
    joint_positions: NDArray[np.float64]
    instruction: str


@dataclass
class Policy:
    """A model with the processor that belongs to it. Not thread-safe: one thread infers.

    Its noise is drawn once, from `seed`, so that the same observation always gives the same chunk
    and successive chunks are of one mind.
    """

    model: DiT4DiT
    processor: Processor
    training: dict[str, Any]
    model_id: str
    seed: int = 0
    #: Duration [s] of each stage of the last `infer`: 'vae', 'video_dit', 'action_dit', and 'rest'.
    durations: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_fit(self.model.config, self.processor)
        generator = torch.Generator().manual_seed(self.seed)
        action = self.model.config.action
        self._video_noise = torch.randn(
            1, *self.model.config.video.latent_shape, generator=generator
        )
        self._action_noise = torch.randn(1, action.horizon, action.action, generator=generator)
        self._feature_time = torch.tensor([self.model.config.video.feature_time])
        self._prompts: dict[str, Tensor] = {}
        self.model.eval().requires_grad_(False)

    @classmethod
    def load(cls, folder: str | Path, joint_names: tuple[str, ...] | None = None) -> Policy:
        """The checkpoint in `folder`; with `joint_names`, it has to be for these, in this order.

        FileNotFoundError or ValueError says what was expected and what is there.
        """
        folder = Path(folder)
        processor = Processor.load(checkpoint.processor_file(folder))
        if joint_names is not None and processor.joint_names != tuple(joint_names):
            raise ValueError(
                f'{folder}: the checkpoint was trained on the joints '
                f'{", ".join(processor.joint_names)}; this robot has {", ".join(joint_names)}'
            )
        model, training = checkpoint.load(folder)
        return cls(model, processor, training, model_id=folder.resolve().name)

    @classmethod
    def untrained(cls, name: str) -> Policy:
        """The preset `name` with seeded random weights; its targets stay close to home."""
        from g1_description import load_robot

        config, robot = preset(name), load_robot()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = DiT4DiT(config)
        near = np.minimum(0.05, 0.05 * (robot.chunk_upper - robot.chunk_lower))
        processor = Processor(
            joint_names=tuple(robot.chunk_joints),
            state_lower=tuple(robot.chunk_lower),
            state_upper=tuple(robot.chunk_upper),
            action_lower=tuple(np.maximum(robot.home - near, robot.chunk_lower)),
            action_upper=tuple(np.minimum(robot.home + near, robot.chunk_upper)),
            image=config.video.image,
            state_dim=config.action.state,
            action_dim=config.action.action,
            state_encoding=config.state_encoding,
            tasks={},
        )
        return cls(model, processor, {'trained': False}, model_id=f'{name}-untrained')

    @property
    def trained(self) -> bool:
        return bool(self.training['trained'])

    @property
    def step(self) -> float:
        """Time between two targets of a chunk [s]."""
        return self.processor.step

    @property
    def joint_names(self) -> tuple[str, ...]:
        return self.processor.joint_names

    @property
    def tasks(self) -> dict[str, str]:
        """The tasks trained on: name to instruction."""
        return self.processor.tasks

    @torch.no_grad()
    def infer(self, observation: Observation, prefix: Prefix | None = None) -> NDArray[np.float64]:
        """(horizon, joints) targets [rad, m]; row k is the target `k * step` after the observation.

        With a `prefix` the chunk continues it: it begins with the frozen targets and is pulled
        towards the others. ValueError where image, joint positions or prefix are not what
        `Observation` and `Prefix` say. After Algorithm 2: the features of one denoising pass, then
        Euler steps of the actions.
        """
        clock = [time.perf_counter()]
        image = self.processor.encode_image(observation.image)
        state = self.processor.encode_state(observation.joint_positions)[None, None]
        prompt = self._prompt(observation.instruction)
        clock.append(time.perf_counter())
        condition = self.model.video.encode(image[None, :, None])
        clock.append(time.perf_counter())
        features = self.model.video.features(
            condition, self._video_noise, prompt, self._feature_time
        )
        clock.append(time.perf_counter())
        velocity = self.model.action.velocity(features, state)
        if prefix is not None:
            velocity = self._guided(velocity, prefix)
        actions = self.model.sample_actions(velocity, self._action_noise)
        clock.append(time.perf_counter())
        targets = self.processor.decode_action(actions[0])
        if prefix is not None:
            targets[: prefix.frozen] = prefix.targets[: prefix.frozen]
        clock.append(time.perf_counter())
        before, vae, video, action, after = np.diff(clock)
        self.durations = {
            'vae': vae,
            'video_dit': video,
            'action_dit': action,
            'rest': before + after,
        }
        return targets

    def _guided(self, velocity: Velocity, prefix: Prefix) -> Velocity:
        wanted, steps = torch.zeros_like(self._action_noise), len(prefix.targets)
        if steps > wanted.shape[1]:
            raise ValueError(f'prefix: a chunk has {wanted.shape[1]} steps, got {steps}')
        wanted[0, :steps] = self.processor.encode_action(prefix.targets)
        weight = torch.zeros_like(wanted[0])
        mask = soft_mask(prefix.frozen, steps, len(weight))
        weight[:, : len(self.joint_names)] = mask[:, None]
        return guided(velocity, wanted, weight)

    def _prompt(self, instruction: str) -> Tensor:
        if instruction not in self._prompts:
            self._prompts[instruction] = self.model.video.embed([instruction])
        return self._prompts[instruction]


def _check_fit(config: ModelConfig, processor: Processor) -> None:
    expected = (
        config.video.image,
        config.action.state,
        config.action.action,
        config.state_encoding,
    )
    got = (
        processor.image,
        processor.state_dim,
        processor.action_dim,
        processor.state_encoding,
    )
    if expected != got:
        raise ValueError(
            'processor.json does not belong to config.json: image, state, action, state encoding '
            f'are {got} there and {expected} here'
        )
