"""`g1 camera overlay`: does the camera see what the simulated one sees?

g1 camera overlay                          of the running system: its image, its measured posture
g1 camera overlay --picture photo.png      of a picture, in the built-in posture
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from numpy.typing import NDArray
from PIL import Image
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image as ImageMessage
from sensor_msgs.msg import JointState

from g1_description import load_robot
from g1_ros.conversions import rgb_array
from g1_ros.middleware import environment
from g1_ros.qos import NEWEST_SENSOR_DATA
from g1_sim.overlay import overlay, simulated_view
from g1_sim.tasks import simulated_tasks

_PATIENCE = 5.0  # [s]


def main(words: Sequence[str]) -> int:
    """Writes the picture; ValueError or OSError says what is missing."""
    parser = argparse.ArgumentParser(
        prog='g1 camera',
        description='Lays the picture of the head camera over what the simulated camera sees from '
        'the same posture: left both blended, right with the simulated outlines in red. Turn the '
        'camera until they fit: the shipped policy was trained on the simulated pose.',
    )
    parser.add_argument('what', choices=('overlay',))
    parser.add_argument('--picture', type=Path, help='a file instead of the running camera')
    parser.add_argument(
        '--task',
        metavar='TASK',
        default='arrange_flower',
        choices=simulated_tasks(),
        help='whose objects are simulated: one of %(choices)s; default: %(default)s',
    )
    parser.add_argument(
        '--out', type=Path, default=Path('runs/overlay.png'), help='default: %(default)s'
    )
    given = parser.parse_args(words)
    camera = load_robot().embodiment.cameras['head']
    real, joints = _opened(given.picture) if given.picture else _heard(f'{camera.topic}/image_raw')
    picture = Image.fromarray(real).resize((camera.width, camera.height))
    joined = overlay(np.asarray(picture), simulated_view(given.task, joints))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(joined).save(given.out)
    print(f'{given.out}: {_posture(joints)}')
    return 0


def _posture(joints: dict[str, float]) -> str:
    return 'the robot as it is now' if joints else 'the robot in its built-in posture'


def _opened(path: Path) -> tuple[NDArray[np.uint8], dict[str, float]]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert('RGB')), {}


def _heard(topic: str) -> tuple[NDArray[np.uint8], dict[str, float]]:
    """An image, and the newest joint positions, of the running system."""
    os.environ.update(environment({'robot': 'g1'}))
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('g1_camera')
    heard: dict[str, Any] = {}
    try:
        for name, kind in ((topic, ImageMessage), ('joint_states', JointState)):
            node.create_subscription(
                kind, name, partial(heard.__setitem__, name), NEWEST_SENSOR_DATA
            )
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and len(heard) < 2:
            rclpy.spin_once(node, timeout_sec=0.1)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    if topic not in heard:
        raise ValueError(
            f'no image on {topic} within {_PATIENCE:g} s; is the camera on, and ROS_DOMAIN_ID the '
            'same here? --picture FILE takes a picture instead'
        )
    states = heard.get('joint_states', JointState())
    return rgb_array(heard[topic]), dict(zip(states.name, states.position, strict=True))
