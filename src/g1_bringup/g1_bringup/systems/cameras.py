"""The cameras: of the real robot nodes of realsense2_camera, or a recording."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from g1_bringup.system import G1, Argument, ArgumentError, Given, Include, Node, Value, texts
from g1_description import Camera, load_robot

_ALL = tuple(load_robot().embodiment.cameras)

#: Of every robot; the default is the head camera alone.
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
        'Cameras of the real robot; replay plays camera_file. A simulated robot has its own.',
        ('realsense', 'replay', 'none'),
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
        'realsense2_camera',
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
        raise ArgumentError('camera:=replay plays the head camera only; leave cameras:=head')
    missing = [name for name in cameras if not values[f'{name}_serial']]
    if values['robot'] == 'g1' and camera == 'realsense' and len(cameras) > 1 and missing:
        raise ArgumentError(
            f'{", ".join(f"{name}_serial" for name in missing)}: expected the serial number of '
            'each camera where there are several; rs-enumerate-devices -s lists them'
        )
