"""The pictures of Unitree's image server on the topics of realsense2_camera.

python -m g1_cameras.nodes.teleimager_node --ros-args -p host:=192.168.123.164
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

from g1_cameras.nodes.publishing import CameraNode
from g1_cameras.teleimager import PORTS, TeleimagerCamera, zeromq
from g1_description import load_robot
from g1_ros.main import run
from g1_ros.parameters import declare, parameter


def _port(camera: str) -> Any:
    return parameter(
        PORTS[camera], minimum=1, maximum=65535, description=f'zmq_port of {camera}_camera.'
    )


@dataclass(frozen=True)
class TeleimagerParameters:
    """Parameters of teleimager_node."""

    cameras: list[str] = parameter(['head'], description='Names of the cameras in the embodiment.')
    host: str = parameter('192.168.123.164', description='Where the image server runs.')
    head_port: int = _port('head')
    left_wrist_port: int = _port('left_wrist')
    right_wrist_port: int = _port('right_wrist')
    binocular: bool = parameter(
        False, description='The head camera shows two views side by side; the left one is taken.'
    )


class TeleimagerNode(CameraNode):
    """Subscribes to each camera of the server."""

    def __init__(self) -> None:
        super().__init__('teleimager_node')
        given = declare(self, TeleimagerParameters)
        zeromq()
        for camera in load_robot().embodiment.select_cameras(given.cameras):
            port = getattr(given, f'{camera.name}_port', PORTS['head'])
            binocular = given.binocular and camera.name == 'head'
            self.publish(camera, partial(TeleimagerCamera, camera, given.host, port, binocular))


def main() -> int:
    """Runs the node."""
    return run(TeleimagerNode)


if __name__ == '__main__':
    sys.exit(main())
