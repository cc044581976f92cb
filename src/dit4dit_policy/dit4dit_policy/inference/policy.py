"""The policy: one observation in, one chunk of joint targets out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dit4dit_policy.inference.chunking import Prefix, guided, soft_mask
from dit4dit_policy.inference.fast_path import FastPath, Shortcuts
from dit4dit_policy.inference.processor import Processor
from dit4dit_policy.inference.prompt_cache import PromptCache, default_folder
from dit4dit_policy.model import checkpoint
from dit4dit_policy.model.action_dit import Velocity
from dit4dit_policy.model.config import ModelConfig, preset
from dit4dit_policy.model.dit4dit import DiT4DiT

#: Weights of this size [bytes] and above run on a CPU in bfloat16.
_LARGE = 2**30


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
    shortcuts: Shortcuts = field(default_factory=Shortcuts)
    #: Where prompt embeddings are kept; None for the user's cache, see `prompt_cache`.
    prompt_folder: Path | None = None
    #: Duration [s] of each stage of the last `infer`: 'vae', 'video_dit', 'action_dit', and 'rest'.
    durations: dict[str, float] = field(default_factory=dict)
    #: What durations are read from.
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        _check_fit(self.model.config, self.processor)
        generator = torch.Generator().manual_seed(self.seed)
        action = self.model.config.action
        video_noise = torch.randn(1, *self.model.config.video.latent_shape, generator=generator)
        action_noise = torch.randn(1, action.horizon, action.action, generator=generator)
        self._device = self.model.video.transformer.device
        self._action_noise = self.processor.noise * action_noise.to(self._device)
        self.model.eval().requires_grad_(False)
        self.prompts = PromptCache(self.model.video, self.prompt_folder or default_folder())
        self._path = FastPath(self.model, self.prompts, video_noise, self.shortcuts)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        joint_names: tuple[str, ...] | None = None,
        device: str | None = None,
        dtype: torch.dtype | None = None,
        prompt_folder: Path | None = None,
    ) -> Policy:
        """The checkpoint in `folder`; with `joint_names`, it has to be for these, in this order.

        Runs on a GPU in bfloat16 where there is one, else on the CPU: a small model in float32, a
        large one in bfloat16. `device` and `dtype` say otherwise. Embeds the instruction of every
        task, by the text encoder where it is not yet known. FileNotFoundError or ValueError says
        what was expected and what is there.
        """
        folder = Path(folder)
        processor = Processor.load(checkpoint.processor_file(folder))
        if joint_names is not None and processor.joint_names != tuple(joint_names):
            raise ValueError(
                f'{folder}: the checkpoint was trained on the joints '
                f'{", ".join(processor.joint_names)}; this robot has {", ".join(joint_names)}'
            )
        device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        model, training = checkpoint.load(folder, dtype or _dtype(folder, device))
        policy = cls(
            model.to(device),
            processor,
            training,
            model_id=folder.resolve().name,
            shortcuts=Shortcuts(compiled=torch.device(device).type == 'cuda'),
            prompt_folder=prompt_folder,
        )
        policy.prompts.embed(processor.tasks.values())
        return policy

    @classmethod
    def untrained(
        cls, name: str, device: str = 'cpu', dtype: torch.dtype = torch.float32
    ) -> Policy:
        """The preset `name` with seeded random weights; its targets stay close to home."""
        config, default = preset(name), torch.get_default_dtype()
        try:
            torch.set_default_dtype(dtype)  # a large model never exists in float32
            with torch.random.fork_rng(), torch.device(device):
                torch.manual_seed(0)
                model = DiT4DiT(config)
        finally:
            torch.set_default_dtype(default)
        return cls(model, near_home(config), {'trained': False}, model_id=f'{name}-untrained')

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
        clock = [self._now()]
        image = self.processor.encode_image(observation.image)
        state = self.processor.encode_state(observation.joint_positions)[None, None]
        clock.append(self._now())
        condition = self._path.condition(image)
        clock.append(self._now())
        features = self._path.features(condition, observation.instruction)
        clock.append(self._now())
        velocity = self._path.velocity(features, state)
        if prefix is not None:
            velocity = self._guided(velocity, prefix)
        actions = self.model.sample_actions(velocity, self._action_noise)
        clock.append(self._now())
        lead = self.processor.lead
        targets = np.pad(
            self.processor.decode_action(actions[0, lead:].cpu()), ((0, lead), (0, 0)), mode='edge'
        )
        if prefix is not None:
            targets[: prefix.frozen] = prefix.targets[: prefix.frozen]
        clock.append(self._now())
        before, vae, video, action, after = np.diff(clock)
        self.durations = {
            'vae': vae,
            'video_dit': video,
            'action_dit': action,
            'rest': before + after,
        }
        return targets

    def _guided(self, velocity: Velocity, prefix: Prefix) -> Velocity:
        wanted, lead = torch.zeros_like(self._action_noise), self.processor.lead
        horizon, steps = wanted.shape[1], len(prefix.targets)
        if steps > horizon:
            raise ValueError(f'prefix: a chunk has {horizon} steps, got {steps}')
        known = self.processor.encode_action(prefix.targets)
        known = torch.cat([known[:1].expand(lead, -1), known])[:horizon]
        wanted[0, : len(known)] = known
        weight = torch.zeros_like(wanted[0])
        mask = soft_mask(min(prefix.frozen + lead, len(known)), len(known), horizon)
        weight[:, : len(self.joint_names)] = mask[:, None]
        return guided(velocity, wanted, weight)

    def _now(self) -> float:
        """The clock, when all that was asked of a GPU is done."""
        if self._device.type == 'cuda':
            torch.cuda.synchronize(self._device)
        return self.clock()


def _dtype(folder: Path, device: str) -> torch.dtype:
    size = (folder / 'model.safetensors').stat().st_size if device == 'cpu' else _LARGE
    return torch.bfloat16 if size >= _LARGE else torch.float32


def near_home(config: ModelConfig) -> Processor:
    """For an untrained model: the targets of this robot stay close to its home."""
    from g1_description import load_robot

    robot = load_robot()
    near = np.minimum(0.05, 0.05 * (robot.action_upper - robot.action_lower))
    return Processor(
        joint_names=tuple(robot.action_joints),
        state_lower=tuple(robot.action_lower),
        state_upper=tuple(robot.action_upper),
        action_lower=tuple(np.maximum(robot.home - near, robot.action_lower)),
        action_upper=tuple(np.minimum(robot.home + near, robot.action_upper)),
        image=config.video.image,
        state_dim=config.action.state,
        action_dim=config.action.action,
        state_encoding=config.state_encoding,
        tasks={},
    )


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
