"""How near the arms come to each other and to the body: capsules of `config/g1.yaml`. No ROS.

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
from numpy.typing import NDArray

from g1_description import Robot
from g1_description.kinematics import arm_model
from g1_description.robot import Capsule

Array = NDArray[np.float64]

_JOINTS_APART = 4  # with fewer joints between them, parts of one arm or arm and body always touch


class Approach(NamedTuple):
    """Two links that come nearer to each other, to `distance` [m]; below 0 they overlap."""

    first: str
    second: str
    distance: float


class SelfCollision:
    """Distances between parts of the robot at a posture of its arms. One object serves one thread.

    Raises ValueError when a capsule belongs to a link that the robot does not have.
    """

    def __init__(self, robot: Robot) -> None:
        self._model, self._geometry = _models(robot.capsules)
        self._data, self._distances = self._model.createData(), self._geometry.createData()
        objects = self._geometry.geometryObjects
        #: Names of the two links of each pair; a link appears once a capsule.
        self.pairs: list[tuple[str, str]] = [
            (objects[pair.first].name, objects[pair.second].name)
            for pair in self._geometry.collisionPairs
        ]

    def distances(self, q: Array) -> Array:
        """Between the links of each of `pairs` [m], at arm posture q (14,); negative: overlap."""
        self._nearest(q)
        return np.array([result.min_distance for result in self._distances.distanceResults])

    def approach(self, start: Array, end: Array, margin: float) -> Approach | None:
        """The pair that going from posture `start` to `end` (14,) brings nearer, below `margin` m.

        The nearest one at `end`; None when there is none. Pairs that are too near already may part.
        """
        if self._nearest(end) >= margin:
            return None
        after = self.distances(end)
        closing = (after < margin) & (after < self.distances(start))
        if not closing.any():
            return None
        worst = int(np.argmin(np.where(closing, after, np.inf)))
        return Approach(*self.pairs[worst], float(after[worst]))

    def _nearest(self, q: Array) -> float:
        """Smallest distance of all pairs [m]; those of each are in `_distances` then."""
        pair = pinocchio.computeDistances(
            self._model, self._data, self._geometry, self._distances, q
        )
        return float(self._distances.distanceResults[pair].min_distance)


@cache
def _models(capsules: tuple[Capsule, ...]) -> tuple[pinocchio.Model, pinocchio.GeometryModel]:
    """Both arms, and the capsules with the pairs of them that are worth watching."""
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
        raise ValueError(f'capsules in config/g1.yaml: the robot has no link {capsule.link}')
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
