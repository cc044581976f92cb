"""RealSense cameras on the topics of realsense2_camera, where that is not installed.

python -m g1_cameras.nodes.realsense_node --ros-args -p cameras:='[head]'
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

from g1_cameras.nodes.publishing import CameraNode
from g1_cameras.realsense import RealSense, librealsense
from g1_description import Camera, load_robot
from g1_ros.main import run
from g1_ros.parameters import declare, parameter


@dataclass(frozen=True)
class RealSenseParameters:
    """Parameters of realsense_node."""

    cameras: list[str] = parameter(['head'], description='Names of the cameras in the embodiment.')
    head_serial: str = parameter(
        '', description='Serial number of that camera; needed where several are plugged in.'
    )
    left_wrist_serial: str = parameter('', description='As head_serial.')
    right_wrist_serial: str = parameter('', description='As head_serial.')


class RealSenseNode(CameraNode):
    """Opens each camera, and again when it was unplugged."""

    def __init__(self) -> None:
        super().__init__('realsense_node')
        given = declare(self, RealSenseParameters)
        cameras = load_robot().embodiment.select_cameras(given.cameras)
        context = librealsense().context()
        for camera in cameras:
            serial = getattr(given, f'{camera.name}_serial', '')
            self.publish(camera, partial(_open, context, camera, serial))


def _open(context: Any, camera: Camera, serial: str) -> RealSense:
    return RealSense(context.query_devices(), camera, serial)


def main() -> int:
    """Runs the node."""
    return run(RealSenseNode)


if __name__ == '__main__':
    sys.exit(main())
