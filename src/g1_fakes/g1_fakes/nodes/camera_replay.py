"""Stands in for the head camera on a robot without one: recorded pictures on the camera's topics.

g1 run g1_fakes camera_replay --ros-args -p path:=episode_000000.mp4
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from rclpy.node import Node

from g1_description import load_robot
from g1_fakes.footage import Footage
from g1_ros.camera import CameraPublisher
from g1_ros.main import run
from g1_ros.parameters import declare, parameter
from g1_ros.timers import steady_timer


@dataclass(frozen=True)
class CameraReplayParameters:
    """Parameters of camera_replay."""

    path: str = parameter(
        '', description='Video file, played in its own time, or folder of images, in name order.'
    )
    rate: float = parameter(
        30.0,
        unit='Hz',
        minimum=1.0,
        maximum=60.0,
        description='Messages per second; images per second of a folder.',
    )


class CameraReplay(Node):
    """Publishes what is on show, with the present time as its stamp, over and over."""

    def __init__(self) -> None:
        super().__init__('camera_replay')
        parameters = declare(self, CameraReplayParameters)
        camera = load_robot().embodiment.cameras['head']
        self._footage = Footage(parameters.path, parameters.rate, camera.width, camera.height)
        self._publisher = CameraPublisher(self, camera)
        self._start = time.monotonic()
        steady_timer(self, 1 / parameters.rate, self._show)

    def _show(self) -> None:
        pixels = self._footage.at(time.monotonic() - self._start)
        self._publisher.publish(pixels, self.get_clock().now().nanoseconds)


def main() -> int:
    """Runs the node."""
    return run(CameraReplay)


if __name__ == '__main__':
    sys.exit(main())
