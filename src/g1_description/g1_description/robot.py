"""The robot's own side of its YAML: motors, gains, grippers, what may not touch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from g1_description.embodiment import (
    GRIPPER,
    HARDWARE,
    Embodiment,
    embodiment_path,
    entry,
    keys,
    read_embodiment,
)

Side = Literal['left', 'right']
SIDES: tuple[Side, Side] = ('left', 'right')


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
    """A G1 with two ALOHA 2 grippers: its embodiment, and what only its own side asks for.

    joints: the 29 of the body in motor order. arm_joints: 14 names, left then right.
    gripper_joints: one prismatic joint a gripper, 0 closed to `gripper_stroke` m; `gripper_effort`
    N is its drive's force. pelvis_height: over the floor, standing [m]. capsules: of trunk, arms
    and grippers, for self-collision.
    """

    embodiment: Embodiment
    joints: tuple[Joint, ...]
    arm_joints: tuple[str, ...]
    gripper_joints: tuple[str, str]
    gripper_stroke: float
    gripper_home: float
    gripper_effort: float
    pelvis_height: float
    capsules: tuple[Capsule, ...]

    @property
    def arms(self) -> tuple[Joint, ...]:
        """The 14 arm joints, in the order of `arm_joints`."""
        by_name = {joint.name: joint for joint in self.joints}
        return tuple(by_name[name] for name in self.arm_joints)

    @property
    def action_joints(self) -> tuple[str, ...]:
        """The 16 joints of a chunk, a dataset state and a dataset action, in their order."""
        return self.arm_joints + self.gripper_joints

    @property
    def state_joints(self) -> tuple[str, ...]:
        """The 31 joints of /joint_states: the body in motor order, then the grippers."""
        return tuple(joint.name for joint in self.joints) + self.gripper_joints

    @property
    def action_lower(self) -> NDArray[np.float64]:
        """(16,) lower limits of `action_joints` [rad, m]."""
        return self.embodiment.bounds(self.action_joints)[0]

    @property
    def action_upper(self) -> NDArray[np.float64]:
        """(16,) upper limits of `action_joints` [rad, m]."""
        return self.embodiment.bounds(self.action_joints)[1]

    @property
    def home(self) -> NDArray[np.float64]:
        """(16,) posture of `action_joints` that the robot holds by itself [rad, m]."""
        return self.embodiment.home(self.action_joints)


@cache
def load_robot(name: str | Path | None = None) -> Robot:
    """The robot of the embodiment of that name, or of that YAML file.

    None is that of the environment variable G1_EMBODIMENT, or `g1_aloha`. Raises ValueError naming
    file and entry, where one is missing, unknown or at odds.
    """
    path = embodiment_path(name)
    try:
        content = yaml.safe_load(path.read_text())
        return _robot(read_embodiment(content), content.get('hardware'))
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None


def _robot(embodiment: Embodiment, hardware: Any) -> Robot:
    sections = keys(hardware, 'hardware', HARDWARE)
    gripper = keys(sections['gripper'], 'gripper', GRIPPER)
    joints = tuple(
        entry(Joint, f'joints.{name}', {'name': name, **joint})
        for name, joint in sections['joints'].items()
    )
    arms = embodiment.action_names[: -len(gripper['joints'])]
    _check_joints(joints, arms)
    if embodiment.action_names != (*arms, *gripper['joints']):
        raise ValueError(
            f'groups: expected the arms and then {", ".join(gripper["joints"])}, '
            f'got {", ".join(embodiment.action_names)}'
        )
    return Robot(
        embodiment=embodiment,
        joints=joints,
        arm_joints=arms,
        gripper_joints=tuple(gripper['joints']),
        gripper_stroke=gripper['stroke'],
        gripper_home=gripper['home'],
        gripper_effort=gripper['effort'],
        pelvis_height=sections['pelvis_height'],
        capsules=_capsules(sections['capsules']),
    )


def _capsules(content: Any) -> tuple[Capsule, ...]:
    """As listed, and those of the left arm once more for the right."""
    parts = keys(content, 'capsules', ('body', 'left_arm'))
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


def _check_joints(joints: tuple[Joint, ...], arms: tuple[str, ...]) -> None:
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
        raise ValueError(f'groups: {", ".join(sorted(unknown))} not listed under hardware.joints')
