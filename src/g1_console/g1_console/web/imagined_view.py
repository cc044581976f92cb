"""What the policy imagined beside what came, of the same moment."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

import numpy as np
import viser
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

_WIDTH, _HEIGHT = 240, 180  # [px] of each picture
_KEPT = 3.0  # [s] of the camera's pictures
_NEAR = 0.1  # [s] from the moment imagined to the picture that came
_QUALITY = 75  # of JPEG
_NOTHING: Pixels = np.full((6, 16, 3), 235, np.uint8)
_WAITING = 'nothing imagined yet'


class Foresight:
    """Keeps what came and what was imagined until both are there. Stamps in ns."""

    def __init__(self) -> None:
        self._came: deque[tuple[int, Pixels]] = deque()
        self._expected: deque[tuple[int, Pixels]] = deque()

    def came(self, stamp: int, pixels: Pixels) -> None:
        """A picture of the camera, later than those before; nobody keeps it who expects nothing."""
        if self._expected and (not self._came or stamp > self._came[-1][0]):
            self._came.append((stamp, _fitted(pixels)))
        while self._came and self._came[0][0] < stamp - _KEPT * 1e9:
            self._came.popleft()

    def imagined(self, stamp: int, pixels: Pixels) -> None:
        """What is expected to be seen at `stamp`."""
        self._expected.append((stamp, _fitted(pixels)))

    def pair(self) -> tuple[float, Pixels] | None:
        """The newest of both side by side, and how far apart their moments are [s], once.

        None where nothing is new: what was imagined has not come yet, or was never seen.
        """
        found = None
        while self._expected and self._came and self._expected[0][0] <= self._came[-1][0]:
            stamp, expected = self._expected.popleft()
            stamps = [s for s, _ in self._came]
            place = bisect_left(stamps, stamp)
            place -= place > 0 and stamp - stamps[place - 1] < stamps[place] - stamp
            apart = (stamps[place] - stamp) * 1e-9
            if abs(apart) <= _NEAR:
                found = apart, np.concatenate((expected, self._came[place][1]), axis=1)
        return found


class ImaginedView:
    """Made within viser's current folder."""

    def __init__(self, gui: viser.GuiApi) -> None:
        self._view = gui.add_image(_NOTHING, label=_WAITING, jpeg_quality=_QUALITY)
        self.foresight = Foresight()

    def show(self) -> None:
        """Sends what is new."""
        pair = self.foresight.pair()
        if pair is None:
            return
        apart, pixels = pair
        label = f'imagined (left), and what came {abs(apart) * 1e3:.0f} ms from that moment'
        self._view.image = pixels
        if self._view.label != label:
            self._view.label = label

    def clear(self) -> None:
        """Shows nothing: whoever opens the console next sees no old picture."""
        self.foresight = Foresight()
        self._view.image, self._view.label = _NOTHING, _WAITING


def _fitted(pixels: Pixels) -> Pixels:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((_WIDTH, _HEIGHT), Image.Resampling.BILINEAR))
