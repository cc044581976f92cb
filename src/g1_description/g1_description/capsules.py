"""The arms as pinocchio sees them, with the capsules of its YAML that may not touch.

Both grippers, forearms and upper arms against each other, against torso, head, pelvis and thighs,
and each hand against its own upper arm; waist and legs as they stand at home.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import NamedTuple

import coal
import numpy as np
import pinocchio

from g1_description.kinematics import arm_model
from g1_description.robot import Capsule

_JOINTS_APART = 4  # with fewer joints between them, parts of one arm or arm and body always touch


class Approach(NamedTuple):
    """Two links, or a link and a wall, that come near, and their distance [m]; below 0: overlap."""

    first: str
    second: str
    distance: float
    at_wall: bool = False

    def __str__(self) -> str:
        if self.at_wall:
            return f'{self.first} would come {-self.distance * 1e3:.0f} mm beyond the {self.second}'
        return (
            f'{self.first} and {self.second} would come to {self.distance * 1e3:.0f} mm of each '
            'other'
        )


@cache
def capsule_models(
    capsules: tuple[Capsule, ...],
) -> tuple[pinocchio.Model, pinocchio.GeometryModel]:
    """Both arms, and the capsules (named after their links) with the pairs worth watching.

    Both models are shared by all who ask: leave them as they are. Raises ValueError when a capsule
    belongs to a link that the robot does not have.
    """
    model, geometry = arm_model(), pinocchio.GeometryModel()
    for capsule in capsules:
        _add(capsule, model, geometry)
    joints = [part.parentJoint for part in geometry.geometryObjects]
    for first, second in combinations(range(len(joints)), 2):
        if _may_meet(joints[first], joints[second]):
            geometry.addCollisionPair(pinocchio.CollisionPair(first, second))
    return model, geometry


def _add(capsule: Capsule, model: pinocchio.Model, geometry: pinocchio.GeometryModel) -> None:
    frame = model.getFrameId(capsule.link, pinocchio.FrameType.BODY)
    if frame == len(model.frames):
        raise ValueError(f'capsules in g1_aloha.yaml: the robot has no link {capsule.link}')
    link = model.frames[frame]
    start, end = np.array(capsule.start), np.array(capsule.end)
    turn = pinocchio.Quaternion.FromTwoVectors(np.array([0.0, 0.0, 1.0]), end - start)
    placement = link.placement * pinocchio.SE3(turn.toRotationMatrix(), (start + end) / 2)
    shape = coal.Capsule(capsule.radius, float(np.linalg.norm(end - start)))
    geometry.addGeometryObject(
        pinocchio.GeometryObject(capsule.link, link.parentJoint, frame, placement, shape)
    )


def _may_meet(first: int, second: int) -> bool:
    """Whether parts moved by these joints may meet; 0: the body, 1 to 7 left arm, 8 to 14 right."""
    across = min(first, second) in range(1, 8) and max(first, second) in range(8, 15)
    along = [(joint - 1) % 7 + 1 if joint else 0 for joint in (first, second)]
    return across or abs(along[0] - along[1]) >= _JOINTS_APART
