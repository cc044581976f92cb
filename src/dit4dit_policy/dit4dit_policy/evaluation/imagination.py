"""How well a policy imagines: its future picture against the real one, and against standing still.

N examples, T pictures of a clip after the first, H, W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from g1_data import Dataset

if TYPE_CHECKING:
    from rich.table import Table

    from dit4dit_policy.inference.policy import DiT4DiTPolicy

_MOVED = 0.1  # of a colour's range: a pixel that changed by more has moved
_WINDOW, _SIGMA = 11, 1.5  # [px] of SSIM, as Wang et al. have it
_C1, _C2 = 0.01**2, 0.03**2
_SHOWN, _BAND = 8, 18  # rows of the picture, and the height of its heading [px]


@dataclass(frozen=True)
class Moment:
    """A moment of an episode: what there was to see, (3, H, W) in [0, 1], and what came of it.

    later: at the times after it at which the model's clips have pictures.
    """

    now: Tensor
    later: tuple[Tensor, ...]
    instruction: str


@dataclass(frozen=True)
class Likeness:
    """Of pictures to the real ones: PSNR [dB] and SSIM, over all and over the moving pixels."""

    psnr: float
    psnr_moving: float
    ssim: float
    ssim_moving: float


def moments(policy: DiT4DiTPolicy, roots: Sequence[Path], count: int) -> list[Moment]:
    """So many moments spread evenly over the datasets' episodes, with their whole clips.

    ValueError where the datasets have none, no films, or not at the policy's rate.
    """
    offsets = np.array(policy.model.backbone.config.clip_offsets)
    found: list[Moment] = []
    for root in roots:
        data = Dataset(root)
        if not data.schema.films:
            raise ValueError(f'{root}: expected films, it has moments (g1 expert --rearranged)')
        stride = round(data.fps * policy.step)
        ahead = int(offsets[-1]) * stride
        if not stride or abs(stride / data.fps - policy.step) > 1e-6:
            raise ValueError(
                f'{root}: {data.fps} frames a second do not divide into {policy.step:g} s'
            )
        starts = [(e, s) for e in data.episodes for s in range(0, e.length - ahead, stride)]
        share = min(len(starts), max(1, count // len(roots)))
        for at in np.linspace(0, len(starts) - 1, share).round().astype(int):
            episode, start = starts[at]
            rows = start + offsets * stride
            now, *later = (_picture(policy, data, episode.index, int(row)) for row in rows)
            found.append(Moment(now, tuple(later), episode.task))
    if not found:
        raise ValueError('--measure: expected episodes longer than a clip, there are none')
    return found


@torch.inference_mode()
def imagined(
    policy: DiT4DiTPolicy,
    seen: Sequence[Moment],
    steps: int,
    seed: int = 0,
    on_moment: Callable[[], object] = lambda: None,
) -> list[tuple[Tensor, ...]]:
    """What the policy expects at the times of each moment's later pictures, one sample each."""
    generator, results = torch.Generator().manual_seed(seed), []
    for moment in seen:
        results.append(policy.clip_after(moment.now, moment.instruction, steps, generator))
        on_moment()
    return results


@torch.inference_mode()
def encoded_and_decoded(policy: DiT4DiTPolicy, seen: Sequence[Moment]) -> list[tuple[Tensor, ...]]:
    """The real pictures as the autoencoder has them: no imagination can be better."""
    video, results = policy.model.backbone, []
    for moment in seen:
        clip = torch.stack([moment.now, *moment.later], dim=1)[None].to(video.device, video.dtype)
        results.append(tuple(video.decode(video.encode(clip))[0].float().cpu().unbind(1)[1:]))
    return results


def likeness(seen: Sequence[Moment], shown: Sequence[tuple[Tensor, ...]]) -> Likeness:
    """Of the last picture of each clip that is shown to the real one, means over the moments.

    The PSNR is of the mean squared error of all moments together.
    """
    errors, moving, structure = [], [], []
    for moment, pictures in zip(seen, shown, strict=True):
        real, guess = moment.later[-1], pictures[-1].clamp(0, 1)
        errors.append((guess - real).square().mean(0))
        moving.append((real - moment.now).abs().amax(0) > _MOVED)
        structure.append(ssim(guess, real))
    error_NHW, moving_NHW = torch.stack(errors), torch.stack(moving)
    ssim_NHW = torch.stack(structure)
    return Likeness(
        psnr=_decibel(error_NHW),
        psnr_moving=_decibel(error_NHW[moving_NHW]),
        ssim=float(ssim_NHW.mean()),
        ssim_moving=float(ssim_NHW[moving_NHW].mean()),
    )


def standing_still(seen: Sequence[Moment]) -> list[tuple[Tensor, ...]]:
    """The present picture, again and again."""
    return [(moment.now,) * len(moment.later) for moment in seen]


def ssim(a_3HW: Tensor, b_3HW: Tensor) -> Tensor:
    """(H, W) structural similarity around each pixel (Wang et al., TIP 2004), mean of colours."""
    places = torch.arange(_WINDOW) - _WINDOW // 2
    weight = torch.exp(-places.square() / (2 * _SIGMA**2))
    weight = weight / weight.sum()
    window = (weight[:, None] * weight)[None, None]

    def mean(x_3HW: Tensor) -> Tensor:
        padded = F.pad(x_3HW[:, None], (_WINDOW // 2,) * 4, mode='reflect')
        return F.conv2d(padded, window)[:, 0]

    mean_a, mean_b = mean(a_3HW), mean(b_3HW)
    var_a, var_b = mean(a_3HW**2) - mean_a**2, mean(b_3HW**2) - mean_b**2
    covariance = mean(a_3HW * b_3HW) - mean_a * mean_b
    above = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    below = (mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2)
    return (above / below).mean(0)


def likeness_table(title: str, rows: dict[str, Likeness]) -> Table:
    """For people: a row a way to guess the future."""
    from rich.table import Table

    table = Table(title=title)
    table.add_column('picture')
    for name in (r'PSNR \[dB]', 'of what moves', 'SSIM', 'of what moves'):
        table.add_column(name, justify='right')
    for name, row in rows.items():
        decibels = (f'{row.psnr:.2f}', f'{row.psnr_moving:.2f}')
        table.add_row(name, *decibels, f'{row.ssim:.3f}', f'{row.ssim_moving:.3f}')
    return table


def draw(
    seen: Sequence[Moment], shown: Sequence[tuple[Tensor, ...]], time: float, path: Path
) -> None:
    """Some of the moments: now, imagined and real, a row each."""
    count = min(_SHOWN, len(seen))
    picked = [int((row + 0.5) * len(seen) / count) for row in range(count)]
    height, width = seen[0].now.shape[1:]
    labels = ('now', f'imagined, +{time:.1f} s', f'real, +{time:.1f} s')
    page = Image.new('RGB', (3 * width, _BAND + len(picked) * height), (24, 24, 28))
    for column, label in enumerate(labels):
        place = (column * width + 4, 3)
        ImageDraw.Draw(page).text(place, label, (255, 214, 102), ImageFont.load_default(11))
    for row, at in enumerate(picked):
        pictures = (seen[at].now, shown[at][-1].clamp(0, 1), seen[at].later[-1])
        for column, picture in enumerate(pictures):
            pixels = (picture.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            page.paste(Image.fromarray(pixels), (column * width, _BAND + row * height))
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path)


def _picture(policy: DiT4DiTPolicy, data: Dataset, episode: int, row: int) -> Tensor:
    cameras = policy.processor.embodiment.cameras.values()
    images = {c.name: next(iter(data.frames(episode, c, row, row + 1))) for c in cameras}
    return policy.processor.encode_images(images)


def _decibel(squared_error: Tensor) -> float:
    return float(-10 * torch.log10(squared_error.mean()))
