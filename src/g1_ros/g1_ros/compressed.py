"""Compressed images to and from arrays; apart from other conversions, as few nodes need a codec."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

_QUALITY = 85


def compressed_image(header: Header, pixels: NDArray[np.uint8]) -> CompressedImage:
    """(height, width, 3) uint8 RGB as JPEG."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, 'JPEG', quality=_QUALITY)
    return CompressedImage(header=header, format='jpeg', data=buffer.getvalue())


def pixels_of(message: CompressedImage) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB. OSError where it is no image."""
    return np.asarray(Image.open(BytesIO(bytes(message.data))).convert('RGB'))
