"""How near the arms come to each other and to the body: capsules of the robot's YAML. No ROS."""

from __future__ import annotations

import numpy as np
import pinocchio
from numpy.typing import NDArray

from g1_description import Robot
from g1_description.capsules import capsule_models

Array = NDArray[np.float64]

_PAIRS = 12  # of capsules whose gradients are asked for at once
_NEXT, _LAST = [1, 2, 0], [2, 0, 1]  # of a cross product


class SelfCollision:
    """Distances between parts of the robot at a posture of its arms. One object serves one thread.

    Raises ValueError when a capsule belongs to a link that the robot does not have.
    """

    def __init__(self, robot: Robot) -> None:
        self._model, self._geometry = capsule_models(robot.capsules)
        self._data, self._distances = self._model.createData(), self._geometry.createData()
        self._posture = self._known = np.empty(0)  # the last one asked for, and its distances
        objects = self._geometry.geometryObjects
        #: Names of the two links of each pair; a link appears once a capsule.
        self.pairs: list[tuple[str, str]] = [
            (objects[pair.first].name, objects[pair.second].name)
            for pair in self._geometry.collisionPairs
        ]
        self._parents = np.array(
            [
                (objects[pair.first].parentJoint, objects[pair.second].parentJoint)
                for pair in self._geometry.collisionPairs
            ]
        )
        joints = np.arange(1, 15)  # 1 to 7 the left arm, 8 to 14 the right one; 0 is the body
        #: (15, 14) whether what hangs on a joint is moved by each of the joints.
        self._moves = np.array(
            [(joints <= k) & ((joints > 7) == (k > 7)) & (k > 0) for k in range(15)], float
        )

    def distances(self, q: Array) -> Array:
        """Between the links of each of `pairs` [m], at arm posture q (14,); negative: overlap."""
        if not np.array_equal(q, self._posture):
            self.nearest(q)
            self._posture = q.copy()
            self._known = np.array([r.min_distance for r in self._distances.distanceResults])
        return self._known.copy()

    def nearest(self, q: Array) -> float:
        """Smallest distance of all pairs [m] at arm posture q (14,)."""
        self._posture = np.empty(0)
        pair = pinocchio.computeDistances(
            self._model, self._data, self._geometry, self._distances, q
        )
        return float(self._distances.distanceResults[pair].min_distance)

    def gradients(self, q: Array, below: float) -> tuple[NDArray[np.intp], Array, Array]:
        """Pairs nearer than `below` [m] at arm posture q (14,), at most the nearest _PAIRS of them.

        Returns their numbers (P,), distances (P,) [m], and how these change with q (P, 14) [m/rad]:
        for points p1 and p2 where the parts are nearest, and n the direction from the first to the
        second, d' = n . (J2 - J1) q'.
        """
        distances = self.distances(q)
        near = np.flatnonzero(distances < below)
        if len(near) > _PAIRS:
            near = near[np.argpartition(distances[near], _PAIRS)[:_PAIRS]]
        pinocchio.computeJointJacobians(self._model, self._data, q)
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
            change += sign * self._moves[self._parents[near, end]] * (wrench @ self._data.J)
        return near, distances[near], change
