"""Demonstrations: their states and targets in memory, their frames as latents in a cache on disk.

Shapes: N frames of all datasets one after the other, J joints, V variants of the light.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit4dit_policy.inference.policy import encoded_for
from dit4dit_policy.inference.processor import Processor, side_by_side, view
from dit4dit_policy.model.backbone import Backbone
from dit4dit_policy.model.config import ModelConfig
from dit4dit_policy.model.dit4dit import Batch
from g1_data.dataset import Dataset, Episode
from g1_data.schema import ACTION_KEY, STATE_KEY
from g1_description import Camera, Embodiment

#: Wraps an iterable in a progress bar: (items, what they are, how many).
Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]

# Of a joint that did not move [rad, m]: so wide that noise in its measured state does not matter,
_SMALLEST_STATE_RANGE = 0.02
_SMALLEST_ACTION_RANGE = 1e-5  # and so narrow that its targets are what they always were
_ENCODED_AT_ONCE = 64  # frames


@dataclass(frozen=True)
class Demonstrations:
    """A mixture of datasets at the model's step; their videos are read when asked for.

    weights: share of each dataset in what is trained on. embodiment: with the cameras that are
    used. state (N, S), action (N, A) [rad, m]; of a number that a dataset has not they are NaN.
    `dataset`, `episode`, `task` (N,) say what a frame is of; `last` is the last frame of its
    episode.
    """

    sources: tuple[Dataset, ...]
    weights: tuple[float, ...]
    embodiment: Embodiment
    instructions: tuple[str, ...]
    state: NDArray[np.float64]
    action: NDArray[np.float64]
    dataset: NDArray[np.int64]
    episode: NDArray[np.int64]
    task: NDArray[np.int64]
    last: NDArray[np.int64]

    @property
    def episodes(self) -> int:
        return int(self.episode[-1]) + 1

    @property
    def step(self) -> float:
        """Time between two frames [s]."""
        return self.embodiment.step

    @classmethod
    def read(cls, mixture: Mapping[str, float], embodiment: Embodiment) -> Demonstrations:
        """The LeRobot v2.x datasets in folders `mixture`, each with its weight.

        `embodiment` says which numbers and cameras are used, and how many frames a second.
        ValueError where a weight is not positive, or a dataset does not fit the embodiment.
        """
        if not mixture or min(mixture.values()) <= 0:
            raise ValueError(f'datasets: expected folders with weights above 0, got {mixture}')
        sources = tuple(Dataset(root) for root in mixture)
        instructions: dict[str, int] = {}
        columns: dict[str, list[NDArray[Any]]] = {
            name: [] for name in ('state', 'action', 'dataset', 'episode', 'task', 'last')
        }
        count = number = 0
        for index, source in enumerate(sources):
            stride = _stride(source, embodiment.step)
            places = {
                'state': _places(source, 'state', source.state_names, embodiment.state_names),
                'action': _places(source, 'action', source.action_names, embodiment.action_names),
            }
            for episode in source.episodes:
                read = source.read_finite(episode.index, (STATE_KEY, ACTION_KEY))
                length = len(read[STATE_KEY][::stride])
                count += length
                for name, key in (('state', STATE_KEY), ('action', ACTION_KEY)):
                    rows = read[key][::stride]
                    values = np.full((length, len(places[name])), np.nan)
                    for column, place in enumerate(places[name]):
                        if place is not None:
                            values[:, column] = rows[:, place]
                    columns[name].append(values)
                task = instructions.setdefault(episode.task, len(instructions))
                facts = {'dataset': index, 'episode': number, 'task': task, 'last': count - 1}
                for name, value in facts.items():
                    columns[name].append(np.full(length, value))
                number += 1
        return cls(
            sources=sources,
            weights=tuple(mixture.values()),
            embodiment=embodiment,
            instructions=tuple(instructions),
            **{name: np.concatenate(parts) for name, parts in columns.items()},
        )

    @property
    def source(self) -> dict[str, Any]:
        """What a checkpoint records of its data."""
        return {
            'datasets': [source.root.name for source in self.sources],
            'weights': list(self.weights),
            'episodes': self.episodes,
            'frames': len(self.state),
            'hash': [source.content_hash() for source in self.sources],
        }

    def processor(self, config: ModelConfig, tasks: dict[str, str]) -> Processor:
        """Bounds and instructions as these demonstrations have them."""
        state_lower, state_upper = _bounds([self.state], _SMALLEST_STATE_RANGE)
        relative = self._relative
        chunks = (
            self.action[np.minimum(np.arange(len(self.last)) + k, self.last)]
            - np.where(relative, self._state_of_action, 0.0)
            for k in range(config.action.horizon if relative.any() else 1)
        )
        action_lower, action_upper = _bounds(chunks, _SMALLEST_ACTION_RANGE)
        return Processor(
            embodiment=encoded_for(config, self.embodiment),
            state_lower=state_lower,
            state_upper=state_upper,
            action_lower=action_lower,
            action_upper=action_upper,
            image=config.backbone.image,
            state_dim=config.action.state_dim,
            action_dim=config.action.action_dim,
            tasks={name: text for name, text in tasks.items() if text in self.instructions},
            dataset=self.source,
        )

    @property
    def _relative(self) -> NDArray[np.bool_]:
        """(A,) whether a number of an action is relative to the state."""
        return np.array([g.relative for g in self.embodiment.groups for _ in g.action])

    @property
    def _state_of_action(self) -> NDArray[np.float64]:
        """(N, A) the state of the number that an action is relative to; NaN of the others."""
        names = self.embodiment.state_names
        values = np.full((len(self.state), len(self.embodiment.action_names)), np.nan)
        for number, name in enumerate(self.embodiment.action_names):
            if self._relative[number]:
                values[:, number] = self.state[:, names.index(name)]
        return values

    def videos(self, index: int, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
        """Frames (T, H, V W, 3) of each episode of the dataset `index`, the cameras side by side.

        size: (H, W) of a camera's picture. ValueError where an episode has not as many images as
        states.
        """
        source = self.sources[index]
        for episode in source.episodes:
            cameras = self.embodiment.cameras.values()
            yield side_by_side([self._video(source, episode, camera, size) for camera in cameras])

    def _video(
        self, source: Dataset, episode: Episode, camera: Camera, size: tuple[int, int]
    ) -> NDArray[np.uint8]:
        stride = _stride(source, self.step)
        images = [
            view(image, camera, size)
            for number, image in enumerate(source.frames(episode.index, camera))
            if number % stride == 0
        ]
        if len(images) != (expected := len(range(0, episode.length, stride))):
            raise ValueError(
                f'{source.root}: episode {episode.index} has {len(images)} images of '
                f'{camera.name} for {expected} states; record it again'
            )
        return np.stack(images)


def augmented(frames: NDArray[np.uint8], episode: int, variant: int) -> Tensor:
    """Frames (T, 3, H, W) in [0, 1] of an episode, the light changed a little, in variant 0 not.

    One gain a colour and one shift of at most a pixel, so a clip of the episode stays a film.
    """
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    if variant == 0:
        return pixels
    rng = np.random.default_rng((episode, variant))
    gain = rng.uniform(0.8, 1.2) * rng.uniform(0.94, 1.06, size=3)
    shift = tuple(int(s) for s in rng.integers(-1, 2, size=2))
    lit = pixels * torch.tensor(gain, dtype=torch.float32).view(3, 1, 1)
    return lit.roll(shift, dims=(2, 3)).clamp(0, 1)


@dataclass(frozen=True)
class LatentCache:
    """Latents on disk, named by all that they depend on, so that no training encodes twice.

    They lie in `folder`, which may be deleted any time.
    """

    folder: Path

    @classmethod
    def default(cls) -> LatentCache:
        """`~/.cache/dit4dit/latents`, or where XDG_CACHE_HOME says."""
        home = Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser()
        return cls(home / 'dit4dit' / 'latents')

    def latents(
        self, backbone: Backbone, data: Demonstrations, variants: int, progress: Progress
    ) -> list[list[Tensor]]:
        """For each dataset and variant, latents (n, C, T, h, w) bfloat16 of its n frames.

        T is 1 where a frame is encoded alone: a clip's latents are then those of its frames. Else
        they are of the clip that begins with the frame.
        """
        weights = _digest(backbone.autoencoder.state_dict() if backbone.autoencoder else {})
        wanted = [
            (index, variant) for index in range(len(data.sources)) for variant in range(variants)
        ]
        for index, variant in wanted:
            path = self._path(weights, backbone, data, index, variant)
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                unfinished = path.with_suffix(f'.{os.getpid()}')
                torch.save(_encode(backbone, data, index, variant, progress), unfinished)
                unfinished.replace(path)
        loaded = {
            (index, variant): torch.load(
                self._path(weights, backbone, data, index, variant), mmap=True, weights_only=True
            )
            for index, variant in wanted
        }
        return [
            [loaded[index, variant] for variant in range(variants)]
            for index in range(len(data.sources))
        ]

    def _path(
        self, weights: str, backbone: Backbone, data: Demonstrations, index: int, variant: int
    ) -> Path:
        config = backbone.config
        facts = {
            'data': data.sources[index].content_hash(),
            'step': data.step,
            'cameras': [astuple(camera) for camera in data.embodiment.cameras.values()],
            'clip': None if config.frames_alone else config.clip_offsets,
            'encoder': backbone.encoder_label,
            'weights': weights,
            'variant': variant,
        }
        name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
        return self.folder / f'{name}.pt'


@torch.inference_mode()
def _encode(
    backbone: Backbone, data: Demonstrations, index: int, variant: int, progress: Progress
) -> Tensor:
    config, source = backbone.config, data.sources[index]
    clips = not config.frames_alone
    size = _ENCODED_AT_ONCE // (len(config.clip_offsets) if clips else 1)
    device = backbone.device
    what = f'encoding {source.root.name}'
    latents = []
    for episode, frames in enumerate(
        progress(data.videos(index, config.image), what, len(source.episodes))
    ):
        pixels = augmented(frames, episode, variant).to(device)
        starts = torch.arange(len(pixels))[:, None]
        offsets = torch.tensor(config.clip_offsets if clips else (0,))
        rows = torch.minimum(starts + offsets, starts[-1])
        for some in rows.split(size):
            with torch.autocast(device.type, torch.bfloat16):
                clip = pixels[some].transpose(1, 2)
                latents.append(backbone.encode(clip).to('cpu', torch.bfloat16))
    return torch.cat(latents)


@dataclass(frozen=True)
class Examples:
    """Demonstrations as the model sees them: the n-th example starts at the n-th frame."""

    config: ModelConfig
    latents: list[list[Tensor]]
    prompts: Tensor
    processor: Processor
    state: Tensor
    raw_state: NDArray[np.float64]
    raw_action: NDArray[np.float64]
    known: Tensor
    dataset: Tensor
    first: Tensor
    task: Tensor
    last: Tensor

    @classmethod
    def make(
        cls,
        config: ModelConfig,
        data: Demonstrations,
        processor: Processor,
        latents: list[list[Tensor]],
        prompts: Tensor,
    ) -> Examples:
        """`latents` of `LatentCache`; `prompts` (instructions, L, E) embed `data.instructions`.

        A number that a dataset has not is in the middle of its range, and its targets don't count.
        """
        known = np.zeros((len(data.state), config.action.action_dim), dtype=np.float32)
        known[:, : data.action.shape[1]] = ~np.isnan(data.action)
        state = _filled(data.state, processor.state_lower, processor.state_upper)
        middle = 0.5 * (np.array(processor.action_lower) + np.array(processor.action_upper))
        action = np.where(
            np.isnan(data.action), middle + np.nan_to_num(data._state_of_action), data.action
        )
        return cls(
            config=config,
            latents=latents,
            prompts=prompts,
            processor=processor,
            state=processor.encode_state(state),
            raw_state=state,
            raw_action=action,
            known=torch.from_numpy(known),
            dataset=torch.from_numpy(data.dataset),
            first=torch.searchsorted(
                torch.from_numpy(data.dataset), torch.arange(len(data.sources))
            ),
            task=torch.from_numpy(data.task),
            last=torch.from_numpy(data.last),
        )

    def batch(self, start_B: Tensor, variant_B: Tensor) -> Batch:
        """Examples at the frames `start_B`. After an episode its last frame and target stay."""
        last_B1 = self.last[start_B, None]
        chunk_BK = torch.minimum(
            start_B[:, None] + torch.arange(self.config.action.horizon), last_B1
        )
        actions = self.processor.encode_action(
            self.raw_action[chunk_BK], self.raw_state[start_B, None]
        )
        known_B1A = self.known[start_B, None]
        return Batch(
            latents=torch.stack(
                [self._clip(*at) for at in zip(start_B.tolist(), variant_B.tolist(), strict=True)]
            ),
            prompt=self.prompts[self.task[start_B]],
            state=self.state[start_B, None],
            actions=actions,
            mask=known_B1A.expand_as(actions),
        )

    def _clip(self, start: int, variant: int) -> Tensor:
        """Latents (C, T, h, w) of the clip that begins at the frame `start`."""
        dataset = int(self.dataset[start])
        latents, first = self.latents[dataset][variant], int(self.first[dataset])
        if latents.shape[2] > 1:
            return latents[start - first].float()
        rows = start + torch.tensor(self.config.backbone.clip_offsets)
        rows = rows.clamp(max=int(self.last[start])) - first
        return latents[rows][:, :, 0].transpose(0, 1).float()


def _stride(source: Dataset, step: float) -> int:
    """Frames of the dataset in a step [s]."""
    stride = round(source.fps * step)
    if not stride or abs(stride / source.fps - step) > 1e-6:
        raise ValueError(
            f'{source.root}: {source.fps} frames per second do not divide into steps of {step} s'
        )
    return stride


def _places(
    source: Dataset, kind: str, there: tuple[str, ...], names: tuple[str, ...]
) -> list[int | None]:
    """Where the dataset has each of `names`; None where it has not.

    ValueError where it has numbers that the embodiment has not.
    """
    if unknown := [name for name in there if name not in names]:
        raise ValueError(
            f'{source.root}: its {kind} has {", ".join(unknown)}, which the embodiment has not; '
            'name the one of its robot in `embodiment`'
        )
    return [there.index(name) if name in there else None for name in names]


def _bounds(
    parts: Iterable[NDArray[np.float64]], smallest: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of each column; one that hardly changes gets the range `smallest`, below its largest."""
    ends = [(np.nanmin(values, axis=0), np.nanmax(values, axis=0)) for values in parts]
    lower = np.min([low for low, _ in ends], axis=0)
    upper = np.max([high for _, high in ends], axis=0)
    return tuple(np.minimum(lower, upper - smallest).tolist()), tuple(upper.tolist())


def _filled(
    values: NDArray[np.float64], lower: tuple[float, ...], upper: tuple[float, ...]
) -> NDArray[np.float64]:
    return np.where(np.isnan(values), (np.array(lower) + np.array(upper)) / 2, values)


def _digest(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in weights.items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
