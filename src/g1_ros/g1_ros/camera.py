"""A camera's topics, as realsense2_camera offers them."""

from __future__ import annotations

import array

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from g1_description import Camera
from g1_ros import qos


class CameraPublisher:
    """Publishes images and their camera_info on behalf of `node`."""

    def __init__(self, node: Node, camera: Camera) -> None:
        self._frame = camera.frame
        self._images = node.create_publisher(Image, f'{camera.topic}/image_raw', qos.SENSOR_DATA)
        self._infos = node.create_publisher(
            CameraInfo, f'{camera.topic}/camera_info', qos.SENSOR_DATA
        )
        self._info = camera_info(camera)
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


def camera_info(camera: Camera) -> CameraInfo:
    """Intrinsics of a camera that states them, without distortion; the header is the image's."""
    pinhole = camera.intrinsics
    if pinhole is None:
        raise ValueError(f'camera {camera.name}: expected intrinsics in its embodiment, got none')
    fx, fy, cx, cy = pinhole.fx, pinhole.fy, pinhole.cx, pinhole.cy
    return CameraInfo(
        width=camera.width,
        height=camera.height,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )
