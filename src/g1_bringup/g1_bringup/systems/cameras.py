"""The cameras of the real robot: RealSense, those of Unitree's image server, or a recording."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from g1_bringup.system import (
    G1,
    Argument,
    ArgumentError,
    Given,
    Include,
    Node,
    Value,
    is_installed,
    texts,
)
from g1_description import Camera, load_robot

_ALL = tuple(load_robot().embodiment.cameras)

#: Of every robot; by default the head camera alone.
CAMERAS = Argument(
    'cameras',
    ('head',),
    f'Cameras in use, with commas between them; there are: {", ".join(_ALL)}.',
    _ALL,
)
#: Of the real robot only.
CAMERA_HARDWARE = (
    Argument(
        'camera',
        'realsense',
        'Cameras of the real robot: realsense, by realsense2_camera or, where that is not there, '
        "by pyrealsense2; teleimager takes the images of the server of Unitree's teleoperation; "
        'replay plays camera_file. A simulated robot has its own.',
        ('realsense', 'teleimager', 'replay', 'none'),
    ),
    Argument(
        'camera_host',
        '',
        'Where the image server of camera:=teleimager runs; empty: 192.168.123.164.',
    ),
    Argument('camera_file', '', 'Video file, or folder of images, that camera:=replay plays.'),
    *(
        Argument(
            f'{name}_serial',
            '',
            f'Serial number of the RealSense camera {name}; needed where there are several.',
        )
        for name in _ALL
    ),
)

_PACKAGE = 'realsense2_camera'
CAMERA_REPLAY = Node(
    'g1_fakes',
    'camera_replay',
    parameters=(('path', Given('camera_file')),),
    when=(*G1, ('camera', 'replay')),
)


def _realsense(camera: Camera) -> Include:
    """The node of one camera: a D435i in the head, D405s on the wrists.

    A D405 has no colour sensor of its own: its colours come from the depth module, and older
    versions of librealsense call the topic image_rect_raw.
    """
    namespace, name, _ = camera.topic.split('/')
    module = 'rgb_camera' if camera.name == 'head' else 'depth_module'
    return Include(
        _PACKAGE,
        'rs_launch.py',
        arguments=(
            ('camera_namespace', namespace),
            ('camera_name', name),
            # Without a letter before it, a launch file takes it for a number.
            ('serial_no', Given(f'{camera.name}_serial', prefix='_')),
            (f'{module}.color_profile', f'{camera.width}x{camera.height}x30'),
            (f'{module}.color_format', 'RGB8'),
            ('enable_depth', 'false'),
            ('publish_tf', 'false'),
        ),
        remappings=(('~/color/image_rect_raw', '~/color/image_raw'),),
        when=(*G1, ('camera', 'realsense'), ('cameras', camera.name)),
    )


_SERIALS = tuple((f'{name}_serial', Given(f'{name}_serial')) for name in _ALL)
#: Beside REALSENSE: what publishes cameras without a ROS installation.
CAMERA_NODES = (
    CAMERA_REPLAY,
    Node(
        'g1_cameras',
        'realsense_node',
        parameters=(('cameras', Given('cameras')), *_SERIALS),
        when=(*G1, ('camera', 'realsense')),
        in_place_of=_PACKAGE,
    ),
    Node(
        'g1_cameras',
        'teleimager_node',
        parameters=(('cameras', Given('cameras')), ('host', Given('camera_host'))),
        when=(*G1, ('camera', 'teleimager')),
    ),
)
REALSENSE = tuple(_realsense(camera) for camera in load_robot().embodiment.cameras.values())


def check_cameras(values: Mapping[str, Value]) -> None:
    """A recording has to be there; several cameras are told apart by their serial numbers."""
    camera, cameras, file = values['camera'], texts(values['cameras']), str(values['camera_file'])
    if camera == 'replay' and values['robot'] == 'sim':
        raise ArgumentError('camera:=replay needs robot:=g1; a simulated robot has its own camera')
    if camera == 'replay' and not (file and Path(file).exists()):
        raise ArgumentError(
            f'camera_file:={file} is not there; camera:=replay needs a video file or a folder of '
            'images'
        )
    if camera == 'replay' and cameras != ('head',):
        raise ArgumentError(
            f'camera:=replay plays the head camera only, got {", ".join(cameras)} by cameras:= or '
            'as the checkpoint looks at them'
        )
    _check_installed(values)
    if values.get('machine') == 'workstation':
        return
    missing = [name for name in cameras if not values[f'{name}_serial']]
    if values['robot'] == 'g1' and camera == 'realsense' and len(cameras) > 1 and missing:
        raise ArgumentError(
            f'{", ".join(f"{name}_serial" for name in missing)}: expected the serial number of '
            'each camera where there are several; rs-enumerate-devices -s lists them'
        )


def _check_installed(values: Mapping[str, Value]) -> None:
    """What reads the cameras of the real robot has to be there."""
    camera = values['camera'] if values['robot'] == 'g1' else 'none'
    if values.get('machine') == 'workstation':
        return
    if camera == 'realsense' and not (is_installed(_PACKAGE) or _is_module('pyrealsense2')):
        raise ArgumentError(
            'camera:=realsense needs realsense2_camera (sudo apt-get install '
            'ros-jazzy-realsense2-camera), or pyrealsense2 (pip install pyrealsense2 in .venv, and '
            'sudo apt-get install libusb-1.0-0); camera:=none does without'
        )
    if camera == 'teleimager' and not _is_module('zmq'):
        raise ArgumentError('camera:=teleimager needs pyzmq: pip install pyzmq in .venv')


def _is_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
