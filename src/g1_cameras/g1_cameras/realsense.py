"""RealSense cameras through librealsense's Python binding (PyPI pyrealsense2). No ROS."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from g1_cameras.source import CameraImage, CameraLostError
from g1_description import Camera
from g1_description.embodiment import Intrinsics

_RATE = 30  # [Hz]
_PATIENCE = 1000  # [ms] for a picture
_OLDEST = 5.0  # [s]; a stamp that is older, or of the future, is of another clock


def librealsense() -> Any:
    """The module pyrealsense2; ValueError says how to install it."""
    try:
        import pyrealsense2
    except ImportError as error:
        raise ValueError(
            f'pyrealsense2 cannot be loaded ({error}); install it in .venv with: '
            'pip install pyrealsense2, and: sudo apt-get install libusb-1.0-0'
        ) from None
    return pyrealsense2


class RealSense:
    """The colour stream of one camera, 30 Hz, of the size that the embodiment asks for.

    devices: those plugged in, of librealsense. serial: of the camera; '' for the only one. A D405
    has no colour sensor of its own: its depth module has the stream. Raises CameraLostError where
    no such camera is plugged in.
    """

    def __init__(self, devices: Iterable[Any], camera: Camera, serial: str) -> None:
        self._rs = librealsense()
        self._sensor, profile = self._find(devices, camera, serial)
        pinhole = profile.as_video_stream_profile().get_intrinsics()
        intrinsics = Intrinsics(fx=pinhole.fx, fy=pinhole.fy, cx=pinhole.ppx, cy=pinhole.ppy)
        self.camera = replace(camera, intrinsics=intrinsics)
        self._name = camera.name
        self._frames = self._rs.frame_queue(1)  # the newest one
        self._sensor.open(profile)
        self._sensor.start(self._frames)

    def read(self) -> CameraImage:
        """The next picture, with the camera's stamp where that counts as this computer does."""
        came, frame = self._frames.try_wait_for_frame(_PATIENCE)
        if not came:
            raise CameraLostError(
                f'{self._name}: no image for {_PATIENCE / 1000:g} s; is the camera plugged in?'
            )
        now = time.time()
        taken = frame.get_timestamp() * 1e-3
        domain = self._rs.timestamp_domain
        known = frame.get_frame_timestamp_domain() in (domain.global_time, domain.system_time)
        if not (known and now - _OLDEST < taken <= now):
            taken = now
        return CameraImage(np.array(frame.get_data(), np.uint8), round(taken * 1e9))

    def close(self) -> None:
        """Stops the stream; a camera that is gone has stopped it already."""
        for step in (self._sensor.stop, self._sensor.close):
            try:
                step()
            except RuntimeError:
                continue

    def _find(self, plugged_in: Iterable[Any], camera: Camera, serial: str) -> tuple[Any, Any]:
        devices = [device for device in plugged_in if device.query_sensors()]
        serials = [device.get_info(self._rs.camera_info.serial_number) for device in devices]
        if serial not in ('', *serials) or not devices or (not serial and len(devices) > 1):
            wanted = f'the one with serial number {serial}' if serial else 'one'
            raise CameraLostError(
                f'{camera.name}: expected {wanted} of the RealSense cameras plugged in, there are: '
                f'{", ".join(serials) or "none"}'
            )
        device = devices[serials.index(serial) if serial else 0]
        for sensor in device.query_sensors():
            for profile in sensor.get_stream_profiles():
                if self._fits(profile, camera):
                    return sensor, profile
        raise CameraLostError(
            f'{camera.name}: this RealSense has no colour stream of {camera.width}x{camera.height} '
            f'at {_RATE} Hz in RGB8; USB 2 has fewer than USB 3'
        )

    def _fits(self, profile: Any, camera: Camera) -> bool:
        if profile.stream_type() != self._rs.stream.color:
            return False
        video = profile.as_video_stream_profile()
        found = (video.width(), video.height(), profile.fps(), profile.format())
        return bool(found == (camera.width, camera.height, _RATE, self._rs.format.rgb8))
