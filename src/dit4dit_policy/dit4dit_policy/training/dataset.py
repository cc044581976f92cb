"""Demonstrations in memory: frames, and the latents, states and targets made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit4dit_policy.inference.processor import Processor, resize
from dit4dit_policy.model.config import ModelConfig
from dit4dit_policy.model.dit4dit import Batch
from dit4dit_policy.model.video_backbone import VideoBackbone
from g1_data.dataset import Dataset
from g1_data.layout import ACTION_KEY, STATE_KEY

#: Wraps an iterable in a progress bar: (items, what they are, how many).
Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]

# Of a joint that did not move [rad, m]: so wide that noise in its measured state does not matter,
_SMALLEST_STATE_RANGE = 0.02
_SMALLEST_ACTION_RANGE = 1e-5  # and so narrow that its targets are what they always were


@dataclass(frozen=True)
class Demonstrations:
    """All frames of some datasets, one after the other, at the model's image size and step.

    frames (N, H, W, 3) uint8; state, action (N, joints) [rad, m]; `last` is the index of the last
    frame of each frame's episode, `episode` and `task` which one it is of.
    """

    frames: NDArray[np.uint8]
    state: NDArray[np.float64]
    action: NDArray[np.float64]
    last: NDArray[np.int64]
    episode: NDArray[np.int64]
    task: NDArray[np.int64]
    instructions: tuple[str, ...]
    joint_names: tuple[str, ...]
    source: dict[str, Any]

    @property
    def episodes(self) -> int:
        return int(self.episode[-1]) + 1

    @classmethod
    def read(
        cls, roots: list[Path], image: tuple[int, int], step: float, progress: Progress
    ) -> Demonstrations:
        """Reads LeRobot v2.1 datasets; ValueError where joints differ or `step` doesn't fit."""
        datasets = [Dataset(root) for root in roots]
        names = datasets[0].joint_names
        frames, states, actions, lasts, episodes, tasks = [], [], [], [], [], []
        instructions: list[str] = []
        count = 0
        pairs = [(dataset, episode) for dataset in datasets for episode in dataset.episodes]
        for number, (dataset, episode) in enumerate(
            progress(pairs, 'reading episodes', len(pairs))
        ):
            if dataset.joint_names != names:
                raise ValueError(
                    f'{dataset.root}: its joints are {dataset.joint_names}, those of '
                    f'{roots[0]} are {names}; datasets trained on together need the same'
                )
            stride = round(dataset.fps * step)
            if not stride or abs(stride / dataset.fps - step) > 1e-6:
                raise ValueError(
                    f'{dataset.root}: {dataset.fps} frames per second do not divide into steps of '
                    f'{step} s'
                )
            columns = dataset.read_episode(episode.index)
            images = [resize(frame, image) for frame in dataset.frames(episode.index)][::stride]
            state, action = columns[STATE_KEY][::stride], columns[ACTION_KEY][::stride]
            if not len(images) == len(state) == len(action):
                raise ValueError(
                    f'{dataset.root}: episode {episode.index} has {len(images)} images, '
                    f'{len(state)} states and {len(action)} actions; record it again'
                )
            if episode.task not in instructions:
                instructions.append(episode.task)
            length = len(images)
            count += length
            frames.append(np.stack(images))
            states.append(state)
            actions.append(action)
            lasts.append(np.full(length, count - 1))
            episodes.append(np.full(length, number))
            tasks.append(np.full(length, instructions.index(episode.task)))
        source = {
            'datasets': [dataset.root.name for dataset in datasets],
            'episodes': len(pairs),
            'frames': count,
            'hash': [dataset.content_hash() for dataset in datasets],
        }
        return cls(
            frames=np.concatenate(frames),
            state=np.concatenate(states).astype(np.float64),
            action=np.concatenate(actions).astype(np.float64),
            last=np.concatenate(lasts),
            episode=np.concatenate(episodes),
            task=np.concatenate(tasks),
            instructions=tuple(instructions),
            joint_names=names,
            source=source,
        )

    def processor(self, config: ModelConfig, step: float, tasks: dict[str, str]) -> Processor:
        """Joint order, bounds and instructions as these demonstrations have them."""
        state_lower, state_upper = _bounds(self.state, _SMALLEST_STATE_RANGE)
        action_lower, action_upper = _bounds(self.action, _SMALLEST_ACTION_RANGE)
        return Processor(
            joint_names=self.joint_names,
            state_lower=state_lower,
            state_upper=state_upper,
            action_lower=action_lower,
            action_upper=action_upper,
            image=config.video.image,
            state_dim=config.action.state,
            action_dim=config.action.action,
            state_encoding=config.state_encoding,
            tasks={name: text for name, text in tasks.items() if text in self.instructions},
            step=step,
            dataset=self.source,
        )


def augmented(frames: NDArray[np.uint8], episode: NDArray[np.int64], variant: int) -> Tensor:
    """Frames (N, 3, H, W) in [0, 1], each episode's light changed a little, in variant 0 not.

    An episode has one gain a colour and one shift of at most a pixel, so a clip of it stays a film.
    """
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    if variant == 0:
        return pixels
    for number in np.unique(episode):
        rng = np.random.default_rng((int(number), variant))
        rows = torch.from_numpy(episode == number)
        gain = rng.uniform(0.8, 1.2) * rng.uniform(0.94, 1.06, size=3)
        shift = tuple(int(s) for s in rng.integers(-1, 2, size=2))
        lit = pixels[rows] * torch.tensor(gain, dtype=torch.float32).view(3, 1, 1)
        pixels[rows] = lit.roll(shift, dims=(2, 3)).clamp(0, 1)
    return pixels


@torch.inference_mode()
def encode(video: VideoBackbone, data: Demonstrations, variants: int, progress: Progress) -> Tensor:
    """Latents (variants, N, C, h, w) bfloat16 of every frame, so that training never runs the VAE.

    Only for a VAE without temporal compression, where a clip's latents are those of its frames.
    """
    compression = video.config.vae.temporal_compression
    if compression != 1:
        raise ValueError(
            'latents of single frames need a VAE that keeps time, this one compresses it '
            f'{compression}x'
        )
    count, size = len(data.frames), 64
    channels, _, height, width = video.config.latent_shape
    latents = torch.empty(variants, count, channels, height, width, dtype=torch.bfloat16)
    starts = [(v, i) for v in range(variants) for i in range(0, count, size)]
    for variant, i in progress(starts, 'encoding frames', len(starts)):
        rows = slice(i, i + size)
        pixels = augmented(data.frames[rows], data.episode[rows], variant)
        with torch.autocast('cpu', torch.bfloat16):
            latents[variant, rows] = video.encode(pixels[:, :, None])[:, :, 0].to(torch.bfloat16)
    return latents


@dataclass(frozen=True)
class Examples:
    """Demonstrations as the model sees them: the n-th example starts at the n-th frame."""

    config: ModelConfig
    latents: Tensor
    prompts: Tensor
    state: Tensor
    action: Tensor
    last: Tensor
    task: Tensor

    @classmethod
    def make(
        cls,
        config: ModelConfig,
        data: Demonstrations,
        processor: Processor,
        latents: Tensor,
        prompts: Tensor,
    ) -> Examples:
        """`latents` of `encode`; `prompts` (instructions, L, E) embed `data.instructions`."""
        return cls(
            config=config,
            latents=latents,
            prompts=prompts,
            state=processor.encode_state(data.state),
            action=processor.encode_action(data.action),
            last=torch.from_numpy(data.last),
            task=torch.from_numpy(data.task),
        )

    def batch(self, start_B: Tensor, variant_B: Tensor) -> Batch:
        """Examples at the frames `start_B`. After an episode its last frame and target stay."""
        last_B1 = self.last[start_B, None]
        offsets_T = torch.tensor(self.config.video.clip_offsets)
        clip_BT = torch.minimum(start_B[:, None] + offsets_T, last_B1)
        chunk_BK = torch.minimum(
            start_B[:, None] + torch.arange(self.config.action.horizon), last_B1
        )
        actions = self.action[chunk_BK]
        return Batch(
            latents=self.latents[variant_B[:, None], clip_BT].transpose(1, 2).float(),
            prompt=self.prompts[self.task[start_B]],
            state=self.state[start_B, None],
            actions=actions,
            mask=torch.ones_like(actions),
        )


def _bounds(
    values: NDArray[np.float64], smallest: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of each column; one that hardly changes gets the range `smallest`, below its largest."""
    lower, upper = values.min(axis=0), values.max(axis=0)
    return tuple(np.minimum(lower, upper - smallest).tolist()), tuple(upper.tolist())
