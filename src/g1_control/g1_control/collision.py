"""How near the arms come to each other, to the body and to walls, by the robot's capsules. No ROS.

A wall is a plane of the world around: the table's, or an end of the workspace.
"""

from __future__ import annotations

from collections.abc import Sequence

import coal
import numpy as np
import pinocchio
from numpy.typing import NDArray

from g1_control.safety import Wall
from g1_description import Robot
from g1_description.capsules import capsule_models

Array = NDArray[np.float64]

_PAIRS = 12  # of capsules whose gradients are asked for at once
_HAND = ('wrist_pitch_link', 'gripper_link')
_NEXT, _LAST = [1, 2, 0], [2, 0, 1]  # of a cross product

_JOINTS = np.arange(1, 15)  # 1 to 7 the left arm, 8 to 14 the right one; 0 is the body
#: (15, 14) whether what hangs on a joint is moved by each of the joints.
_MOVES = np.array([(k >= _JOINTS) & ((_JOINTS > 7) == (k > 7)) & (k > 0) for k in range(15)], float)


class PairDistances:
    """Distances of pairs of a geometry at a posture of both arms. One object serves one thread."""

    def __init__(self, model: pinocchio.Model, geometry: pinocchio.GeometryModel) -> None:
        self._model, self._geometry = model, geometry
        self._data, self._distances = model.createData(), geometry.createData()
        self._posture, self._nearest = b'', np.inf  # the last one asked for, and its least distance
        objects = geometry.geometryObjects
        #: Names of the two of each pair; a link appears once a capsule.
        self.pairs: list[tuple[str, str]] = [
            (objects[pair.first].name, objects[pair.second].name)
            for pair in geometry.collisionPairs
        ]
        self._parents = np.array(
            [
                (objects[pair.first].parentJoint, objects[pair.second].parentJoint)
                for pair in geometry.collisionPairs
            ]
        )

    def distances(self, q: Array, below: float = np.inf) -> Array:
        """Between the links of each of `pairs` [m], at arm posture q (14,); negative: overlap.

        Where all are `below` or more, they may all be told as the least one: that is fast.
        """
        nearest = self.nearest(q)
        if nearest >= below:
            return np.full(len(self.pairs), nearest)
        return np.array([result.min_distance for result in self._distances.distanceResults])

    def nearest(self, q: Array) -> float:
        """Smallest distance of all pairs [m] at arm posture q (14,)."""
        posture = q.tobytes()
        if posture != self._posture:
            pair = pinocchio.computeDistances(
                self._model, self._data, self._geometry, self._distances, q
            )
            self._nearest = float(self._distances.distanceResults[pair].min_distance)
            self._posture = posture
        return self._nearest

    def gradients(self, q: Array, below: float) -> tuple[NDArray[np.intp], Array, Array]:
        """Pairs nearer than `below` [m] at arm posture q (14,), at most the nearest _PAIRS of them.

        Returns their numbers (P,), distances (P,) [m], and how these change with q (P, 14) [m/rad]:
        for points p1 and p2 where the parts are nearest, and n the direction from the first to the
        second, d' = n . (J2 - J1) q'.
        """
        distances = self.distances(q, below)
        near = np.flatnonzero(distances < below)
        if len(near) > _PAIRS:
            near = near[np.argpartition(distances[near], _PAIRS)[:_PAIRS]]
        if not len(near):
            return near, distances[near], np.zeros((0, 14))
        jacobian = pinocchio.computeJointJacobians(self._model, self._data, q)
        results = self._distances.distanceResults
        chosen = [results[pair] for pair in near.tolist()]
        normal = np.array([result.normal for result in chosen]).reshape(-1, 3)
        change = np.zeros((len(near), 14))
        for sign, end, points in (
            (-1.0, 0, [result.getNearestPoint1() for result in chosen]),
            (1.0, 1, [result.getNearestPoint2() for result in chosen]),
        ):
            point = np.array(points).reshape(-1, 3)
            moment = point[:, _NEXT] * normal[:, _LAST] - point[:, _LAST] * normal[:, _NEXT]
            wrench = np.concatenate((normal, moment), axis=1)
            change += sign * _MOVES[self._parents[near, end]] * (wrench @ jacobian)
        return near, distances[near], change


class SelfCollision(PairDistances):
    """Of parts of the robot that may meet.

    Raises ValueError when a capsule belongs to a link that the robot does not have.
    """

    def __init__(self, robot: Robot) -> None:
        super().__init__(*capsule_models(robot.capsules))


class WallDistances(PairDistances):
    """Of both hands (wrist, palm, open fingers) to walls, which stand back by `margin` [m]."""

    def __init__(self, robot: Robot, walls: Sequence[Wall], margin: float) -> None:
        model, parts = capsule_models(robot.capsules)
        geometry = pinocchio.GeometryModel()
        hands = [part for part in parts.geometryObjects if part.name.endswith(_HAND)]
        numbers = [geometry.addGeometryObject(part) for part in hands]
        for wall in walls:
            shape = coal.Halfspace(np.array(wall.normal), wall.offset - margin)
            other = geometry.addGeometryObject(
                pinocchio.GeometryObject(wall.name, 0, 0, pinocchio.SE3.Identity(), shape)
            )
            for number in numbers:
                geometry.addCollisionPair(pinocchio.CollisionPair(number, other))
        super().__init__(model, geometry)
