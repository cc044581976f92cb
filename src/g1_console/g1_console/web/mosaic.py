"""The images of several cameras as one picture: the first large, the others beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

_WIDTH, _HEIGHT = 320, 240  # [px] of the large one; the others have half of each


def mosaic(images: Sequence[Pixels]) -> Pixels:
    """The first image at 320x240, up to two more at half of it below each other on its right."""
    first, *others = images
    large = _scaled(first, _WIDTH, _HEIGHT)
    if not others:
        return large
    right = np.full((_HEIGHT, _WIDTH // 2, 3), 235, np.uint8)
    for row, image in enumerate(others[:2]):
        half = _HEIGHT // 2
        right[row * half : (row + 1) * half] = _scaled(image, _WIDTH // 2, half)
    return np.concatenate((large, right), axis=1)


def _scaled(pixels: Pixels, width: int, height: int) -> Pixels:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    factor = max(1, min(image.width // width, image.height // height))
    image = image.reduce(factor) if factor > 1 else image
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)
