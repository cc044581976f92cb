"""The cameras' images in the browser, as one picture: the first large, the others beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import viser

from g1_console.web.mosaic import Pixels, mosaic
from g1_console.web.running_system import NewestImage

_QUALITY = 70  # of JPEG
_NOTHING: Pixels = np.full((6, 8, 3), 235, np.uint8)
_PATIENCE = 0.3  # [s] without an image of the large camera, after which the others do not wait


class CameraViews:
    """All cameras that are heard; made within viser's current folder."""

    def __init__(self, gui: viser.GuiApi, cameras: Iterable[str]) -> None:
        self._cameras = tuple(cameras)
        self._view = gui.add_image(_NOTHING, label='no camera is heard', jpeg_quality=_QUALITY)
        self._sent: dict[str, int] = {}  # stamps of the images shown [ns]
        #: From the camera's stamp until its newest image was given to the browser's socket [s].
        self.delays: dict[str, float] = {}

    def show(self, images: Mapping[str, NewestImage], now: int) -> None:
        """Sends what is new, at the rate of the large camera; now: node time [ns]."""
        names = [name for name in self._cameras if name in images]
        new = [name for name in names if images[name].stamp != self._sent.get(name)]
        if not new:
            return
        if names[0] not in new and (now - images[names[0]].stamp) * 1e-9 < _PATIENCE:
            return
        label = ' · '.join(name.replace('_', ' ') for name in names)
        if self._view.label != label:
            self._view.label = label
        self._view.image = mosaic([images[name].pixels for name in names])
        for name in new:
            self._sent[name] = images[name].stamp
            self.delays[name] = (now - images[name].stamp) * 1e-9

    def clear(self) -> None:
        """Shows nothing: whoever opens the console next sees no old image."""
        if self._sent:
            self._view.image, self._view.label = _NOTHING, 'no camera is heard'
        self._sent, self.delays = {}, {}
