"""Checks of grippers and camera."""

from __future__ import annotations

from g1_console.preflight.finding import Check, Finding, Level, grade
from g1_console.snapshot import CAMERA_INFO, IMAGE, Snapshot
from g1_description import load_robot

_IMAGE_RATE = 10.0  # [Hz]; two for every chunk
_IMAGE_AGE = 0.2  # [s] the policy takes none older
_GRIPPER_RATE = 10.0  # [Hz]
_ANOTHER_CLOCK = 10.0  # [s] beyond which stamps have nothing to do with this clock
_CLOCKS_AGREE, _CLOCKS_DIFFER = 0.02, 0.05  # [s]; chunks stamped 0.05 s ahead are refused


def gripper(side: str) -> Check:
    """A check of one gripper: it is heard and without a fault."""

    def check(s: Snapshot) -> Finding | None:
        topic, fault = s.topic(f'{side}_gripper/state'), s.gripper_faults.get(side, '')
        found = f'{topic.rate:.0f} Hz' if topic.heard else 'no state heard'
        return grade(
            f'{side} gripper',
            fault or found,
            f'is its power on and its USB cable in, and is gripper_node running ({side}_port in '
            'config/grippers.yaml)?',
            fail=bool(fault) or not topic.heard or topic.rate < _GRIPPER_RATE,
        )

    return check


def gripper_port(side: str) -> Check:
    """A check of the USB port of one gripper."""

    def check(s: Snapshot) -> Finding | None:
        if s.robot == 'sim' or s.machine == 'workstation' or side not in s.computer.ports:
            return None
        state = s.topic(f'{side}_gripper/state')
        if state.heard and 'gripper_node' not in state.publishers:
            return None  # gripper:=none, or another driver
        port, problem = s.computer.ports[side]
        return grade(
            f'{side} gripper port',
            f'{port} {problem}'.strip(),
            'plug the U2D2 in; name the port in config/grippers.yaml; and for access: '
            'sudo usermod -a -G dialout $USER, then log in again',
            fail=bool(problem),
        )

    return check


def camera(s: Snapshot) -> Finding | None:
    """Images come, of the size and colours that a policy knows."""
    topic, wanted = s.topic(IMAGE), load_robot().embodiment.cameras['head']
    if not topic.heard:
        found = 'nobody publishes images' if not topic.publishers else 'no image comes'
        remedy = (
            'is the D435i in a USB 3 port, and was robot.launch.py started with camera:=realsense? '
            '(sudo apt-get install ros-jazzy-realsense2-camera)'
            if not topic.publishers
            else 'images get lost on the way: is config/fastdds.xml in use on both sides, and '
            'net.core.rmem_max large enough?'
        )
        without = s.machine == 'robot' and not topic.publishers  # as camera:=none has it
        return Finding('camera', Level.WARN if without else Level.FAIL, found, remedy)
    size = (s.picture.width, s.picture.height) if s.picture else None
    found = f'{topic.rate:.0f} Hz'
    if s.picture:
        found += f', {s.picture.width}x{s.picture.height} {s.picture.encoding}'
    return grade(
        'camera',
        found,
        f'expected {wanted.width}x{wanted.height} rgb8 or bgr8 at 15 Hz or more: '
        'rgb_camera.color_profile:=640x480x30 rgb_camera.color_format:=RGB8',
        fail=topic.rate < _IMAGE_RATE / 2
        or s.picture is None
        or s.picture.encoding not in ('rgb8', 'bgr8'),
        warn=topic.rate < _IMAGE_RATE or size != (wanted.width, wanted.height),
    )


def image_age(s: Snapshot) -> Finding | None:
    """Images are young when they come."""
    offset = s.topic(IMAGE).offset
    if offset is None:
        return None
    if abs(offset) > _ANOTHER_CLOCK:
        return Finding(
            'image age',
            Level.FAIL,
            f'stamped by another clock, {abs(offset):.0f} s {"behind" if offset > 0 else "ahead"}',
            'set that of the camera (realsense2_camera: rgb_camera.global_time_enabled:=true), or '
            'chrony on the computer that it is plugged into',
        )
    return grade(
        'image age',
        f'{offset * 1e3:.0f} ms from stamp to arrival',
        f'the policy takes no image older than {_IMAGE_AGE * 1e3:.0f} ms: network or computer too '
        'slow, or clocks that differ',
        fail=not -_CLOCKS_DIFFER < offset < _IMAGE_AGE,
        warn=offset > _IMAGE_AGE / 2,
    )


def camera_info(s: Snapshot) -> Finding | None:
    """The intrinsics come with the images."""
    topic = s.topic(CAMERA_INFO)
    if not s.topic(IMAGE).heard:
        return None
    return grade(
        'camera_info',
        f'{topic.rate:.0f} Hz' if topic.heard else 'none',
        'recordings need the intrinsics that come with the images',
        warn=not topic.heard,
    )
