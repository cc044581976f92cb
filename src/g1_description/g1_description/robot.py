"""The robot as `config/g1.yaml` states it: joints, limits, gains, chunk layout, camera."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml
from numpy.typing import NDArray

from g1_node.config import config_path

T = TypeVar('T')


@dataclass(frozen=True)
class Joint:
    """One motor of the body. Angles in rad, velocity in rad/s, effort in N m, gains in SI."""

    name: str
    motor: int
    lower: float
    upper: float
    velocity: float
    effort: float
    kp: float
    kd: float
    home: float


@dataclass(frozen=True)
class Camera:
    """The head's colour camera: image size and pinhole intrinsics [px], optical frame.

    position: of the colour sensor in d435_link [m].
    """

    name: str
    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    frame: str
    position: tuple[float, float, float]

    @property
    def fovy(self) -> float:
        """Vertical field of view in degrees."""
        return float(np.degrees(2 * np.arctan(self.height / (2 * self.fy))))


@dataclass(frozen=True)
class Capsule:
    """A part of a link as all that is within `radius` of the line between two points [m].

    start, end: in the frame of `link`.
    """

    link: str
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float


@dataclass(frozen=True)
class Robot:
    """A G1 with two ALOHA 2 grippers.

    joints: the 29 of the body in motor order. arm_joints: 14 names, left then right.
    gripper_joints: one prismatic joint a gripper, 0 closed to `gripper_stroke` m; `gripper_effort`
    N is its drive's force. pelvis_height: over the floor, standing [m]. capsules: of trunk, arms
    and grippers, for self-collision.
    """

    joints: tuple[Joint, ...]
    arm_joints: tuple[str, ...]
    gripper_joints: tuple[str, str]
    gripper_stroke: float
    gripper_home: float
    gripper_effort: float
    camera: Camera
    pelvis_height: float
    capsules: tuple[Capsule, ...]

    @property
    def arms(self) -> tuple[Joint, ...]:
        """The 14 arm joints, in the order of `arm_joints`."""
        by_name = {joint.name: joint for joint in self.joints}
        return tuple(by_name[name] for name in self.arm_joints)

    @property
    def chunk_joints(self) -> tuple[str, ...]:
        """The 16 joints of a chunk, a dataset state and a dataset action, in their order."""
        return self.arm_joints + self.gripper_joints

    @property
    def state_joints(self) -> tuple[str, ...]:
        """The 31 joints of /joint_states: the body in motor order, then the grippers."""
        return tuple(joint.name for joint in self.joints) + self.gripper_joints

    @property
    def chunk_lower(self) -> NDArray[np.float64]:
        """(16,) lower limits of `chunk_joints` [rad, m]."""
        return np.array([joint.lower for joint in self.arms] + [0.0, 0.0])

    @property
    def chunk_upper(self) -> NDArray[np.float64]:
        """(16,) upper limits of `chunk_joints` [rad, m]."""
        return np.array([joint.upper for joint in self.arms] + [self.gripper_stroke] * 2)

    @property
    def home(self) -> NDArray[np.float64]:
        """(16,) posture of `chunk_joints` that the robot holds by itself [rad, m]."""
        return np.array([joint.home for joint in self.arms] + [self.gripper_home] * 2)


@cache
def load_robot(path: Path | None = None) -> Robot:
    """The robot described by `path`, by default the installed `config/g1.yaml`.

    Raises ValueError naming the entry that is missing, unknown or at odds with another.
    """
    path = path or config_path('g1.yaml')
    try:
        return _robot(yaml.safe_load(path.read_text()))
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None


def _robot(content: Any) -> Robot:
    sections = _keys(
        content, 'file', 'joints', 'arms', 'gripper', 'camera', 'pelvis_height', 'capsules'
    )
    gripper = _keys(sections['gripper'], 'gripper', 'joints', 'stroke', 'home', 'effort')
    joints = tuple(
        _entry(Joint, f'joints.{name}', {'name': name, **joint})
        for name, joint in sections['joints'].items()
    )
    _check_joints(joints, sections['arms'])
    camera = {**sections['camera'], 'position': tuple(sections['camera'].get('position', ()))}
    return Robot(
        joints=joints,
        arm_joints=tuple(sections['arms']),
        gripper_joints=tuple(gripper['joints']),
        gripper_stroke=gripper['stroke'],
        gripper_home=gripper['home'],
        gripper_effort=gripper['effort'],
        camera=_entry(Camera, 'camera', camera),
        pelvis_height=sections['pelvis_height'],
        capsules=_capsules(sections['capsules']),
    )


def _capsules(content: Any) -> tuple[Capsule, ...]:
    """As listed, and those of the left arm once more for the right."""
    parts = _keys(content, 'capsules', 'body', 'left_arm')
    body, left = ([_capsule(row) for row in parts[part]] for part in ('body', 'left_arm'))
    right = [
        Capsule(
            capsule.link.replace('left_', 'right_'),
            (capsule.start[0], -capsule.start[1], capsule.start[2]),
            (capsule.end[0], -capsule.end[1], capsule.end[2]),
            capsule.radius,
        )
        for capsule in left
    ]
    return (*body, *left, *right)


def _capsule(row: Any) -> Capsule:
    match row:
        case [str(link), [x1, y1, z1], [x2, y2, z2], float(radius)] if radius > 0:
            return Capsule(link, (x1, y1, z1), (x2, y2, z2), radius)
    raise ValueError(f'capsules: expected [link, [x, y, z], [x, y, z], radius], got {row!r}')


def _check_joints(joints: tuple[Joint, ...], arms: list[str]) -> None:
    for index, joint in enumerate(joints):
        if joint.motor != index:
            raise ValueError(
                f'joints.{joint.name}: expected motor {index} (listed in motor order), '
                f'got {joint.motor}'
            )
        if not joint.lower <= joint.home <= joint.upper:
            raise ValueError(
                f'joints.{joint.name}: expected home from {joint.lower} to {joint.upper} rad, '
                f'got {joint.home}'
            )
    unknown = set(arms) - {joint.name for joint in joints}
    if unknown:
        raise ValueError(f'arms: {", ".join(sorted(unknown))} not listed under joints')


def _entry(kind: type[T], where: str, values: dict[str, Any]) -> T:
    return kind(**_keys(values, where, *(f.name for f in fields(kind))))  # type: ignore[arg-type]


def _keys(values: Any, where: str, *expected: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ValueError(f'{where}: expected a mapping with {", ".join(expected)}, got {values!r}')
    missing, unknown = set(expected) - set(values), set(values) - set(expected)
    if missing or unknown:
        raise ValueError(
            f'{where}: expected {", ".join(expected)}'
            + (f'; missing: {", ".join(sorted(missing))}' if missing else '')
            + (f'; unknown: {", ".join(sorted(map(str, unknown)))}' if unknown else '')
        )
    return values
