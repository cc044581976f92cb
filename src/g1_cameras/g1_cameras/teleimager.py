"""Pictures of the image server of Unitree's teleoperation (teleimager): JPEGs over ZeroMQ. No ROS.

A camera is a PUB socket of its own: 55555 the head's, 55556 and 55557 the wrists'; a message is one
JPEG and nothing else (https://github.com/unitreerobotics/teleimager).
"""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from g1_cameras.source import CameraImage, CameraLostError
from g1_description import Camera

#: Of the server, as it is shipped.
PORTS = {'head': 55555, 'left_wrist': 55556, 'right_wrist': 55557}
_PATIENCE = 1000  # [ms] for a picture


def zeromq() -> Any:
    """The module zmq; ValueError says how to install it."""
    try:
        import zmq
    except ImportError:
        raise ValueError(
            'pyzmq is not installed; install it in .venv with: pip install pyzmq'
        ) from None
    return zmq


class TeleimagerCamera:
    """One camera of the server at `host`; its pictures are scaled and cut to the camera's size.

    binocular: two views side by side, of which the left one is taken. It connects again by itself.
    """

    def __init__(self, camera: Camera, host: str, port: int, binocular: bool) -> None:
        self.camera, self._binocular = camera, binocular
        self._address = f'tcp://{host}:{port}'
        zmq = zeromq()
        self._socket = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.CONFLATE, 1)  # the newest one
        self._socket.setsockopt(zmq.RCVTIMEO, _PATIENCE)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SUBSCRIBE, b'')
        self._socket.connect(self._address)
        self._silence = zmq.Again

    def read(self) -> CameraImage:
        """The next picture, stamped with when it came."""
        try:
            content = self._socket.recv()
        except self._silence:
            raise CameraLostError(
                f'{self.camera.name}: no image from {self._address} for {_PATIENCE / 1000:g} s; is '
                'the image server running, with enable_zmq for this camera?'
            ) from None
        stamp = time.time_ns()
        try:
            picture = Image.open(io.BytesIO(content)).convert('RGB')
        except (UnidentifiedImageError, OSError) as error:
            raise CameraLostError(
                f'{self.camera.name}: {self._address} sends no JPEG: {error}'
            ) from None
        return CameraImage(self._fitted(picture), stamp)

    def close(self) -> None:
        """Disconnects."""
        self._socket.close()

    def _fitted(self, picture: Image.Image) -> Any:
        """(height, width, 3): scaled to cover the camera's size and cut to it around the middle."""
        if self._binocular:
            picture = picture.crop((0, 0, picture.width // 2, picture.height))
        width, height = self.camera.width, self.camera.height
        scale = min(picture.width / width, picture.height / height)
        left = (picture.width - width * scale) / 2
        top = (picture.height - height * scale) / 2
        box = (left, top, left + width * scale, top + height * scale)
        return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, box))
