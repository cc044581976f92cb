"""Frames as the backbone encodes them, kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit4dit_policy.model.backbone import Backbone
from dit4dit_policy.progress import Track
from dit4dit_policy.training.demonstrations import Demonstrations
from dit4dit_policy.training.row_file import mapped_rows, write_rows

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
                    with unfinished.open('wb') as file:
                        count = int((data.dataset == index).sum())
                        pieces = _encode(backbone, data, index, variant, track)
                        write_rows(file, count, (some.view(torch.int16).numpy() for some in pieces))
                    unfinished.replace(path)
                with path.open('rb') as file:
                    found[-1].append(torch.from_numpy(mapped_rows(file)).view(torch.bfloat16))
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
        return self.folder / f'{name}.npy'


@torch.inference_mode()
def _encode(
    backbone: Backbone, data: Demonstrations, index: int, variant: int, track: Track
) -> Iterator[Tensor]:
    """Latents (n, C, T, h, w) bfloat16, a few frames at a time."""
    config, source = backbone.config, data.sources[index]
    clips = not config.frames_alone
    size = _ENCODED_AT_ONCE // (len(config.clip_offsets) if clips else 1)
    device = backbone.device
    what = f'encoding {source.root.name}'
    for episode, frames in enumerate(
        track(data.videos(index, config.places), what, len(source.episodes))
    ):
        starts = torch.arange(len(frames))[:, None]
        offsets = torch.tensor(config.clip_offsets if clips else (0,))
        rows = torch.minimum(starts + offsets, starts[-1])
        for some in rows.split(size):
            pixels = augmented(frames[some.flatten().numpy()], episode, variant).to(device)
            clip = pixels.unflatten(0, some.shape).transpose(1, 2)
            with torch.autocast(device.type, torch.bfloat16):
                yield backbone.encode(clip).to('cpu', torch.bfloat16)


def _digest(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in weights.items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
