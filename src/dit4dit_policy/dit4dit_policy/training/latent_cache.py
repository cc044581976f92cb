"""Frames as the backbone encodes them, kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit4dit_policy.model.backbone import Backbone
from dit4dit_policy.training.demonstrations import Demonstrations
from dit4dit_policy.training.terminal import Track

_ENCODED_AT_ONCE = 64  # frames


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
        self, backbone: Backbone, data: Demonstrations, variants: int, track: Track
    ) -> list[list[Tensor]]:
        """For each dataset and variant, latents (n, C, T, h, w) bfloat16 of its n frames.

        T is 1 where a frame is encoded alone: a clip's latents are then those of its frames. Else
        they are of the clip that begins with the frame.
        """
        weights = _digest(backbone.autoencoder.state_dict() if backbone.autoencoder else {})
        found: list[list[Tensor]] = []
        for index in range(len(data.sources)):
            found.append([])
            for variant in range(variants):
                path = self._path(weights, backbone, data, index, variant)
                if not path.is_file():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    unfinished = path.with_suffix(f'.{os.getpid()}')
                    torch.save(_encode(backbone, data, index, variant, track), unfinished)
                    unfinished.replace(path)
                found[-1].append(torch.load(path, mmap=True, weights_only=True))
        return found

    def _path(
        self, weights: str, backbone: Backbone, data: Demonstrations, index: int, variant: int
    ) -> Path:
        config = backbone.config
        facts = {
            'data': data.sources[index].content_hash(),
            'step': data.embodiment.step,
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
    backbone: Backbone, data: Demonstrations, index: int, variant: int, track: Track
) -> Tensor:
    config, source = backbone.config, data.sources[index]
    clips = not config.frames_alone
    size = _ENCODED_AT_ONCE // (len(config.clip_offsets) if clips else 1)
    device = backbone.device
    what = f'encoding {source.root.name}'
    latents = []
    for episode, frames in enumerate(
        track(data.videos(index, config.image), what, len(source.episodes))
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


def _digest(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in weights.items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
