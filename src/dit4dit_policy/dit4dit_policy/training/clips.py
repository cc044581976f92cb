"""Clips as the backbone encodes them: what an example shows the model.

Shapes: N frames of all demonstrations, B examples, T frames of a clip, C channels of latents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit4dit_policy.model.backbone import Backbone
from dit4dit_policy.training.augmentation import augmented_anew
from dit4dit_policy.training.demonstrations import Demonstrations


class Clips(Protocol):
    """Encodes the clips that begin at given frames."""

    def encoded(self, start_B: Tensor, augmented: bool, whole: int | None = None) -> Tensor:
        """Latents (B, C, T, h, w); after its episode a clip stays at the last frame.

        augmented: as for training, drawn from torch's generators; else as the robot sees it. whole:
        only so many of the first have to have more than their first frame; None: all.
        """


@dataclass(frozen=True)
class CachedClips:
    """Of latents that were encoded once, each dataset in some variants; see `LatentCache`."""

    latents: Sequence[Sequence[Tensor]]
    dataset: Tensor
    first: Tensor
    last: Tensor
    offsets: tuple[int, ...]

    @classmethod
    def of(
        cls, latents: Sequence[Sequence[Tensor]], data: Demonstrations, offsets: tuple[int, ...]
    ) -> CachedClips:
        """`latents` of the demonstrations; `offsets` of a clip's frames, 0 first."""
        dataset = torch.from_numpy(data.dataset)
        first = torch.searchsorted(dataset, torch.arange(len(data.sources)))
        return cls(latents, dataset, first, torch.from_numpy(data.last), offsets)

    def encoded(self, start_B: Tensor, augmented: bool, whole: int | None = None) -> Tensor:
        """One of the variants; the first is as the robot sees it."""
        count = len(self.latents[0]) if augmented else 1
        variant_B = torch.randint(count, (len(start_B),))
        pairs = zip(start_B.tolist(), variant_B.tolist(), strict=True)
        return torch.stack([self._clip(*pair) for pair in pairs])

    def _clip(self, start: int, variant: int) -> Tensor:
        dataset = int(self.dataset[start])
        latents, first = self.latents[dataset][variant], int(self.first[dataset])
        if latents.shape[2] > 1:
            return latents[start - first].float()
        rows = start + torch.tensor(self.offsets)
        rows = rows.clamp(max=int(self.last[start])) - first
        return latents[rows][:, :, 0].transpose(0, 1).float()


class FreshClips:
    """Of pictures where the backbone's device has them, changed and encoded for every example."""

    def __init__(
        self, backbone: Backbone, frames_NHW3: NDArray[np.uint8], last_N: NDArray[np.int64]
    ) -> None:
        self._backbone = backbone
        self._frames_NHW3 = torch.from_numpy(frames_NHW3).to(backbone.device)
        self._last_N = torch.from_numpy(last_N)
        self._offsets_T = torch.tensor(backbone.config.clip_offsets)

    def encoded(self, start_B: Tensor, augmented: bool, whole: int | None = None) -> Tensor:
        """Each example with light, colour, place and a covered patch of its own.

        Frames that nobody has asked for are 0.
        """
        if whole is None or whole >= len(start_B) or not self._backbone.config.frames_alone:
            return self._encoded(start_B, self._offsets_T, augmented)
        clips = self._encoded(start_B[:whole], self._offsets_T, augmented)
        frames = self._encoded(start_B[whole:], self._offsets_T[:1], augmented)
        missing = (0, 0, 0, 0, 0, clips.shape[2] - 1)
        return torch.cat([clips, torch.nn.functional.pad(frames, missing)])

    def _encoded(self, start_B: Tensor, offsets_T: Tensor, augmented: bool) -> Tensor:
        rows_BT = torch.minimum(start_B[:, None] + offsets_T, self._last_N[start_B, None])
        device = self._frames_NHW3.device
        frames_BTHW3 = self._frames_NHW3[rows_BT.to(device)]
        pixels_BT3HW = frames_BTHW3.permute(0, 1, 4, 2, 3).float() / 255
        if augmented:
            pixels_BT3HW = augmented_anew(pixels_BT3HW)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == 'cuda'):
            return self._backbone.encode(pixels_BT3HW.transpose(1, 2)).float()
