"""Pictures of cameras as a model takes them: cropped, resized, in one frame."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dit4dit_policy.model.views import Place
from g1_description import Camera

Picture = NDArray[np.uint8]


def view(image: Picture, camera: Camera, size: tuple[int, int]) -> Picture:
    """A camera's picture (any height, any width, 3) as the model takes it: cropped, at `size`.

    The crop is stated at the camera's own resolution; on another it is scaled.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f'image of {camera.name}: expected (height, width, 3) uint8 RGB, got {image.shape} '
            f'{image.dtype}'
        )
    return resize(image[_shown(camera, image)], size)


def in_its_place(part: Picture, image: Picture, camera: Camera) -> Picture:
    """`image` at the size of `part`, and that, smaller, where it is of it."""
    if camera.crop is None:
        return part
    whole = resize(image, part.shape[:2]).copy()
    place = _shown(camera, whole)
    whole[place] = resize(part, whole[place].shape[:2])
    return whole


def _shown(camera: Camera, image: Picture) -> tuple[slice, slice]:
    """Rows and columns of it that the model is shown."""
    top, left, height, width = camera.crop_at(*image.shape[:2])
    return slice(top, top + height), slice(left, left + width)


def in_one_frame(views: Sequence[Picture], places: Sequence[Place]) -> Picture:
    """(..., H, W, 3) of pictures (..., h, w, 3), each at its rows and columns; black elsewhere."""
    if len(views) == 1:
        return views[0]
    height, width = (max(place[axis].stop for place in places) for axis in range(2))
    frame = np.zeros((*views[0].shape[:-3], height, width, 3), np.uint8)
    for picture, (rows, columns) in zip(views, places, strict=True):
        frame[..., rows, columns, :] = picture
    return frame


def size_of(place: Place) -> tuple[int, int]:
    """(height, width) of a picture there."""
    rows, columns = place
    return rows.stop - rows.start, columns.stop - columns.start


def as_tensor(image: Picture) -> Tensor:
    """(3, H, W) in [0, 1] of (H, W, 3) uint8."""
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def resize(image: Picture, size: tuple[int, int]) -> Picture:
    """`image` (H, W, 3) at `size` (height, width), every pixel the mean of the area it covers.

    As OpenCV's INTER_AREA. Pillow's box filter is that for whole ratios only.
    """
    if image.shape[:2] == size:
        return image
    (rows, columns), (height, width) = image.shape[:2], size
    if rows % height == 0 and columns % width == 0:
        return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))
    lines = _shares(rows, height) @ image.reshape(rows, -1).astype(np.float32)
    pixels = _shares(columns, width) @ lines.reshape(height, columns, 3)
    return np.rint(pixels).astype(np.uint8)


@cache
def _shares(pixels: int, size: int) -> NDArray[np.float32]:
    """(size, pixels): how much of each pixel lies in each of `size` equal parts of a line."""
    edges = np.arange(size + 1) * (pixels / size)
    starts = np.arange(pixels)
    upper = np.minimum(edges[1:, None], starts + 1)
    lower = np.maximum(edges[:-1, None], starts)
    return ((upper - lower).clip(0) * (size / pixels)).astype(np.float32)
