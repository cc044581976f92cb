"""What a camera is to the node that publishes it. No ROS."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from g1_description import Camera


class CameraImage(NamedTuple):
    """pixels: (height, width, 3) RGB of the camera's size. stamp: when it was taken [ns, Unix]."""

    pixels: NDArray[np.uint8]
    stamp: int


class CameraLostError(OSError):
    """No pictures, for a reason that the message gives with its remedy; they may come again."""


class CameraSource(Protocol):
    """One camera that is open. `camera` is as the embodiment has it, with its own intrinsics."""

    camera: Camera

    def read(self) -> CameraImage:
        """The next picture; CameraLostError when none comes within a second or so."""
        ...

    def close(self) -> None:
        """Lets go of the camera."""
        ...
