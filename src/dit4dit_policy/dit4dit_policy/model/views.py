"""Where the pictures of several cameras stand in the one frame that a backbone sees.

The first at the left in its full size. The others follow to its right: in full size side by side,
or in half of it each way, two in a column, of which the last may lack one.
"""

from __future__ import annotations

from typing import Literal

#: Height and width of the pictures after the first, as a share of its own.
FurtherViews = Literal['full', 'half']

Size = tuple[int, int]
#: Rows and columns of a picture in a frame.
Place = tuple[slice, slice]
#: (H, W) of the first picture, how many there are, and the size of the others.
Layout = tuple[Size, int, FurtherViews]


def view_places(image: Size, views: int, further: FurtherViews) -> list[Place]:
    """Rows and columns of each picture in the frame; image: (H, W) of the first."""
    height, width = image
    first = (slice(0, height), slice(0, width))
    if further == 'full':
        return [(first[0], slice(v * width, (v + 1) * width)) for v in range(views)]
    half, narrow = height // 2, width // 2
    corners = [(v % 2 * half, width + v // 2 * narrow) for v in range(views - 1)]
    return [first, *((slice(t, t + half), slice(left, left + narrow)) for t, left in corners)]


def frame_size(image: Size, views: int, further: FurtherViews) -> Size:
    """(height, width) of the frame."""
    return image[0], max((c.stop for _, c in view_places(image, views, further)), default=0)
