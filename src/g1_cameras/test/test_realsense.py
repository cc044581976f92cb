"""RealSense cameras, as librealsense's own software device plays them."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from g1_cameras.realsense import RealSense
from g1_cameras.source import CameraLostError
from g1_description import load_embodiment

rs: Any = pytest.importorskip('pyrealsense2', exc_type=ImportError)

HEAD = load_embodiment().cameras['head']


class Played:
    """A camera of one colour stream, 30 pictures a second, whose brightness is `level`."""

    def __init__(self, serial: str, width: int = 640, height: int = 480) -> None:
        self.level, self.domain = 100, rs.timestamp_domain.system_time
        self.device = rs.software_device()
        self.device.register_info(rs.camera_info.serial_number, serial)
        self._sensor = self.device.add_sensor('RGB Camera')
        video = rs.video_stream()
        video.type, video.fmt, video.index, video.uid = rs.stream.color, rs.format.rgb8, 0, 1
        video.width, video.height, video.fps, video.bpp = width, height, 30, 3
        pinhole = rs.intrinsics()
        pinhole.width, pinhole.height, pinhole.fx, pinhole.fy = width, height, 611.0, 612.0
        pinhole.ppx, pinhole.ppy, pinhole.model = 321.0, 243.0, rs.distortion.none
        pinhole.coeffs = [0.0] * 5
        video.intrinsics = pinhole
        self._size = (height, width)
        self._profile = self._sensor.add_video_stream(video)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(5)

    def _play(self) -> None:
        number = 0
        while not self._stopping.wait(1 / 30):
            number += 1
            frame = rs.software_video_frame()
            frame.pixels = np.full((*self._size, 3), self.level, np.uint8)
            frame.bpp, frame.stride = 3, 3 * self._size[1]
            frame.timestamp, frame.domain = time.time() * 1e3, self.domain
            frame.frame_number, frame.profile = number, self._profile.as_video_stream_profile()
            self._sensor.on_video_frame(frame)


@pytest.fixture
def played() -> Iterator[Played]:
    played = Played('0123')
    yield played
    played.close()


def test_pictures_intrinsics_and_stamps_are_the_cameras(played: Played) -> None:
    camera = RealSense([played.device], HEAD, '')
    pinhole = camera.camera.intrinsics
    assert pinhole is not None
    assert (pinhole.fx, pinhole.fy, pinhole.cx, pinhole.cy) == (611.0, 612.0, 321.0, 243.0)
    first, second = camera.read(), camera.read()
    assert first.pixels.shape == (480, 640, 3)
    assert (first.pixels == 100).all()
    assert 0 < second.stamp - first.stamp < 5e9
    assert abs(time.time_ns() - second.stamp) < 1e9
    camera.close()


def test_a_camera_that_stops_is_lost_and_can_be_opened_again(played: Played) -> None:
    camera = RealSense([played.device], HEAD, '0123')
    camera.read()
    played.close()
    with pytest.raises(CameraLostError, match='head: no image for 1 s; is the camera plugged in'):
        for _ in range(5):
            camera.read()
    camera.close()


def test_the_serial_number_tells_cameras_apart(played: Played) -> None:
    other = Played('4567')
    other.level, both = 200, [played.device, other.device]
    camera = RealSense(both, HEAD, '4567')
    assert (camera.read().pixels == 200).all()
    camera.close()
    with pytest.raises(CameraLostError, match=r'expected one of the RealSense .* 0123, 4567'):
        RealSense(both, HEAD, '')
    with pytest.raises(CameraLostError, match='serial number 89 of the RealSense cameras'):
        RealSense(both, HEAD, '89')
    other.close()


def test_no_camera_and_another_size_are_told() -> None:
    with pytest.raises(CameraLostError, match=r'head: expected one of the RealSense .* none'):
        RealSense([], HEAD, '')
    played = Played('1', 1280, 720)
    with pytest.raises(CameraLostError, match='no colour stream of 640x480'):
        RealSense([played.device], HEAD, '')
    played.close()
