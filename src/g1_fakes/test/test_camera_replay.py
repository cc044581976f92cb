"""Recorded pictures come out of the camera's topics: fresh stamps, right size, without end."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image

from g1_fakes.footage import Footage
from g1_ros import qos
from g1_test_support.outside import Outside
from g1_test_support.waiting import DEADLINE

LEVELS = (40, 120, 200)


def grey(level: int, width: int = 320, height: int = 240) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.full((height, width, 3), level, np.uint8), format='rgb24')


def write(path: Path, frames: list[av.VideoFrame], rate: int = 10) -> Path:
    codec = 'png' if path.suffix == '.png' else 'mpeg4'
    with av.open(str(path), 'w', format='image2' if codec == 'png' else None) as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.width, stream.height = frames[0].width, frames[0].height
        stream.pix_fmt = 'rgb24' if codec == 'png' else 'yuv420p'
        for frame in frames:
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write(tmp_path / 'video.mp4', [grey(level) for level in LEVELS])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for k, level in enumerate(LEVELS):
        write(tmp_path / f'{k}.png', [grey(level)])
    (tmp_path / 'notes.txt').write_text('not a picture')
    return tmp_path


def test_a_video_plays_in_its_own_time_and_starts_again(video):
    footage = Footage(str(video), 30.0, 640, 480)
    shown = [footage.at(time) for time in (0.0, 0.05, 0.11, 0.21, 0.35, 10.0)]
    assert {frame.shape for frame in shown} == {(480, 640, 3)}
    levels = [frame.mean() for frame in shown]
    np.testing.assert_allclose(levels[:5], (40, 40, 120, 200, 40), atol=6)
    assert min(abs(levels[5] - level) for level in LEVELS) < 6


def test_a_folder_plays_in_name_order_at_the_rate(folder):
    footage = Footage(str(folder), 10.0, 640, 480)
    levels = [footage.at(time).mean() for time in (0.0, 0.11, 0.21, 0.31)]
    np.testing.assert_allclose(levels, (40, 120, 200, 40), atol=2)


def test_a_wide_picture_is_cut_at_its_sides(tmp_path):
    wide = np.zeros((240, 640, 3), np.uint8)
    wide[:, 160:480] = 255
    path = write(tmp_path / 'wide.png', [av.VideoFrame.from_ndarray(wide, format='rgb24')])
    assert Footage(str(path.parent), 10.0, 640, 480).at(0.0).mean() > 250


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('', 'not there'),
        ('missing.mp4', 'not there'),
        ('empty', 'no picture'),
        ('text', 'no video'),
    ],
)
def test_nothing_to_play_is_said(name, message, tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'text').write_text('hello')
    with pytest.raises(ValueError, match=message):
        Footage(str(tmp_path / name) if name else '', 30.0, 640, 480)


def start(path: str) -> subprocess.Popen:
    code = 'import sys; from g1_fakes.nodes.camera_replay import main; sys.exit(main())'
    return subprocess.Popen(
        [sys.executable, '-c', code, '--ros-args', '-p', f'path:={path}'],
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def replay(video: Path) -> Iterator[subprocess.Popen]:
    process = start(str(video))
    yield process
    process.kill()
    process.wait()


def test_the_node_publishes_images_and_intrinsics_as_the_camera_does(replay, ros_domain):
    images: list[Image] = []
    infos: list[CameraInfo] = []
    topic = 'camera/camera/color'
    with Outside('listener', ros_domain) as listener:
        for kind, name, heard in ((Image, 'image_raw', images), (CameraInfo, 'camera_info', infos)):
            listener.node.create_subscription(
                kind, f'{topic}/{name}', heard.append, qos.SENSOR_DATA
            )
        listener.wait_for(lambda: len(images) >= 20 and infos, 'twenty images')
        now = listener.node.get_clock().now().nanoseconds
    stamps = [image.header.stamp.sec * 10**9 + image.header.stamp.nanosec for image in images]
    assert np.all(np.diff(stamps) > 0)
    assert abs(now - stamps[-1]) < 5e9
    assert (images[0].width, images[0].height, images[0].encoding) == (640, 480, 'rgb8')
    assert images[0].header.frame_id == infos[0].header.frame_id == 'camera_color_optical_frame'
    assert infos[0].width == 640 and infos[0].k[0] > 0
    assert len({image.data[0] // 20 for image in images}) > 1  # it plays


def test_the_node_says_what_path_it_needs():
    process = start('/nowhere.mp4')
    assert process.wait(timeout=DEADLINE) == 2
    assert (
        "expected a video file or a folder of images, got '/nowhere.mp4'" in process.stderr.read()
    )
