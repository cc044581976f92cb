"""Pictures of Unitree's image server: a PUB socket a camera, a JPEG a message, nothing else."""

import io
import time
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image as ImageMessage

from g1_cameras.source import CameraLostError
from g1_cameras.teleimager import TeleimagerCamera
from g1_description import load_embodiment
from g1_ros.qos import SENSOR_DATA
from g1_test_support.outside import Outside
from g1_test_support.processes import Program, module
from g1_test_support.waiting import wait_until

zmq = pytest.importorskip('zmq')

HEAD = load_embodiment().cameras['head']


class Server:
    """One camera of the server; `send` publishes a picture."""

    def __init__(self, port: int = 0) -> None:
        self._socket = zmq.Context.instance().socket(zmq.PUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(f'tcp://127.0.0.1:{port or "*"}')
        self.port = int(self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(':')[2])

    def send(self, width: int, height: int) -> None:
        """Red in the left half, green in the right one."""
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 1] = 220
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, 'JPEG', quality=90)
        self._socket.send(content.getvalue())

    def send_text(self) -> None:
        self._socket.send(b'no picture')

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def seen(server: Server, camera: TeleimagerCamera, width: int, height: int) -> np.ndarray:
    """What the camera reads; a subscriber misses what is sent before it is there."""

    def read() -> np.ndarray | None:
        server.send(width, height)
        try:
            return camera.read().pixels
        except CameraLostError:
            return None

    pixels: list[np.ndarray] = []

    def there() -> bool:
        found = read()
        if found is not None:
            pixels.append(found)
        return found is not None

    wait_until(there, 'a picture')
    return pixels[0]


@pytest.mark.parametrize(('width', 'height'), [(640, 480), (1920, 1080), (320, 400)])
def test_a_picture_of_any_size_covers_that_of_the_camera(server, width, height):
    camera = TeleimagerCamera(HEAD, '127.0.0.1', server.port, binocular=False)
    pixels = seen(server, camera, width, height)
    assert pixels.shape == (480, 640, 3)
    assert (pixels[240, 40].argmax(), pixels[240, 600].argmax()) == (0, 1)
    assert pixels[240, 310:330, 0].max() > 100 and pixels[240, 310:330, 1].max() > 100  # the middle
    camera.close()


def test_of_two_views_side_by_side_the_left_one_is_taken(server):
    camera = TeleimagerCamera(HEAD, '127.0.0.1', server.port, binocular=True)
    pixels = seen(server, camera, 1280, 480)
    assert pixels.shape == (480, 640, 3)
    assert (pixels.argmax(axis=2) == 0).mean() > 0.98
    camera.close()


def test_silence_and_nonsense_are_told_with_what_to_do(server):
    camera = TeleimagerCamera(HEAD, '127.0.0.1', server.port, binocular=False)
    seen(server, camera, 640, 480)
    with pytest.raises(CameraLostError, match=r'no image from tcp://127\.0\.0\.1:.*server'):
        for _ in range(3):
            camera.read()
    server.send_text()
    with pytest.raises(CameraLostError, match='sends no JPEG'):
        camera.read()
    camera.close()


def test_the_node_publishes_as_realsense2_camera_does_and_outlives_the_server(server):
    images: list[ImageMessage] = []
    infos: list[CameraInfo] = []
    words = ('-p', 'host:=127.0.0.1', '-p', f'head_port:={server.port}')
    node = module('g1_cameras.nodes.teleimager_node', '--ros-args', *words)
    with Program(node) as program, Outside('listener') as listener:
        topic = HEAD.topic
        for kind, name, heard in (
            (ImageMessage, 'image_raw', images),
            (CameraInfo, 'camera_info', infos),
        ):
            listener.node.create_subscription(kind, f'{topic}/{name}', heard.append, SENSOR_DATA)

        def come(source: Server) -> bool:
            source.send(640, 480)
            time.sleep(0.03)
            return len(images) >= 5 and bool(infos)

        wait_until(lambda: come(server), lambda: f'five images; {program.output}')
        assert (images[-1].width, images[-1].height, images[-1].encoding) == (640, 480, 'rgb8')
        assert images[-1].header.frame_id == HEAD.frame
        server.close()
        program.wait_for('head: no image from')
        again = Server(server.port)
        images.clear()
        wait_until(lambda: come(again), lambda: f'images of the server back; {program.output}')
        again.close()
        assert program.interrupt() == 0
