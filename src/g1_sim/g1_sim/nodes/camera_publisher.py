"""The head camera's topics, as realsense2_camera offers them."""

from __future__ import annotations

import array

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from g1_description import load_robot
from g1_node import qos

_TOPIC = 'camera/camera/color'


class CameraPublisher:
    """Publishes images and their camera_info on behalf of `node`."""

    def __init__(self, node: Node) -> None:
        camera = load_robot().camera
        self._frame = camera.frame
        self._images = node.create_publisher(Image, f'{_TOPIC}/image_raw', qos.SENSOR_DATA)
        self._infos = node.create_publisher(CameraInfo, f'{_TOPIC}/camera_info', qos.SENSOR_DATA)
        self._info = _camera_info()
        self._image = Image(
            width=camera.width, height=camera.height, encoding='rgb8', step=3 * camera.width
        )

    def publish(self, pixels: NDArray[np.uint8], stamp: int) -> None:
        """`pixels` (height, width, 3) in RGB, taken at `stamp` [ns]."""
        header = Header(frame_id=self._frame)
        header.stamp.sec, header.stamp.nanosec = divmod(stamp, 10**9)
        self._image.header = self._info.header = header
        self._image.data = array.array('B', pixels.tobytes())
        self._images.publish(self._image)
        self._infos.publish(self._info)


def _camera_info() -> CameraInfo:
    """Intrinsics of the head camera, without distortion; the header is the image's."""
    camera = load_robot().camera
    fx, fy, cx, cy = camera.fx, camera.fy, camera.cx, camera.cy
    return CameraInfo(
        width=camera.width,
        height=camera.height,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )
