"""What training changes of a picture: light, colour, place, a covered patch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_GAIN = (0.75, 1.25)  # of all colours together
_TINT = (0.92, 1.08)  # of each
_CONTRAST = (0.85, 1.15)
_SHIFT = 0.02  # of the picture's size, at most, to each side
_ZOOM = (0.97, 1.03)
_NOISE = 0.015  # standard deviation, at most
_COVERED = 0.3  # share of the examples of which a patch is covered,
_PATCH = (0.05, 0.2)  # which has sides of these shares of the picture's


def augmented_anew(pixels_BT3HW: Tensor) -> Tensor:
    """Pictures in [0, 1], every clip changed in its own way and all of its frames alike.

    Draws from the generator of the pictures' device. Shift and zoom are a small share of what moves
    in the picture: the policy then looks at where its hands are, not only at where on the screen.
    """
    moved_BT3HW = _moved(pixels_BT3HW)
    lit_BT3HW = _lit(moved_BT3HW)
    return _covered(lit_BT3HW).clamp(0, 1)


def _moved(pixels_BT3HW: Tensor) -> Tensor:
    count, frames = pixels_BT3HW.shape[:2]
    zoom_B2 = _uniform(pixels_BT3HW, _ZOOM, 1).expand(-1, 2)
    shift_B2 = _uniform(pixels_BT3HW, (-2 * _SHIFT, 2 * _SHIFT), 2)  # of a range from -1 to 1
    theta_B23 = torch.cat([torch.diag_embed(zoom_B2), shift_B2[..., None]], dim=2)
    theta_N23 = theta_B23.repeat_interleave(frames, 0)
    flat_N3HW = pixels_BT3HW.flatten(0, 1)
    grid = F.affine_grid(theta_N23, list(flat_N3HW.shape), align_corners=False)
    moved_N3HW = F.grid_sample(flat_N3HW, grid, padding_mode='border', align_corners=False)
    return moved_N3HW.unflatten(0, (count, frames))


def _lit(pixels_BT3HW: Tensor) -> Tensor:
    gain_B = _uniform(pixels_BT3HW, _GAIN, 1) * _uniform(pixels_BT3HW, _TINT, 3)
    contrast_B = _uniform(pixels_BT3HW, _CONTRAST, 1)
    noise_B = _uniform(pixels_BT3HW, (0.0, _NOISE), 1)
    gain, contrast, noise = (x[:, None, :, None, None] for x in (gain_B, contrast_B, noise_B))
    mean = pixels_BT3HW.mean((1, 2, 3, 4), keepdim=True)
    lit_BT3HW = ((pixels_BT3HW - mean) * contrast + mean) * gain
    return lit_BT3HW + noise * torch.randn_like(lit_BT3HW)


def _covered(pixels_BT3HW: Tensor) -> Tensor:
    """A grey rectangle at the same place of all frames of some clips."""
    height, width = pixels_BT3HW.shape[-2:]
    size_B2, centre_B2 = (_uniform(pixels_BT3HW, r, 2) for r in (_PATCH, (0.0, 1.0)))
    grey_B3 = _uniform(pixels_BT3HW, (0.2, 0.8), 1).expand(-1, 3)
    is_B = _uniform(pixels_BT3HW, (0.0, 1.0), 1)[:, 0] < _COVERED
    inside = []
    for axis, length in enumerate((height, width)):
        places = (torch.arange(length, device=pixels_BT3HW.device) + 0.5) / length
        off = (places - centre_B2[:, axis, None]).abs()
        inside.append(off < size_B2[:, axis, None] / 2)
    mask_BHW = inside[0][:, :, None] & inside[1][:, None, :] & is_B[:, None, None]
    return torch.where(mask_BHW[:, None, None], grey_B3[:, None, :, None, None], pixels_BT3HW)


def _uniform(like: Tensor, ends: tuple[float, float], numbers: int) -> Tensor:
    """(B, numbers) uniform between the ends."""
    low, high = ends
    return low + (high - low) * torch.rand(len(like), numbers, device=like.device)
