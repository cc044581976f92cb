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

_HAND = ('wrist_pitch_link', 'gripper_link')


class PairDistances:
    """Distances of pairs of a geometry at a posture of both arms. One object serves one thread."""

    def __init__(self, model: pinocchio.Model, geometry: pinocchio.GeometryModel) -> None:
        self.model, self.geometry = model, geometry
        self._data, self._distances = model.createData(), geometry.createData()
        self._results = list(self._distances.distanceResults)  # each stays where it is
        objects = geometry.geometryObjects
        #: Names of the two of each pair; a link appears once a capsule.
        self.pairs: list[tuple[str, str]] = [
            (objects[pair.first].name, objects[pair.second].name)
            for pair in geometry.collisionPairs
        ]

    def distances(self, q: Array) -> Array:
        """Between the links of each of `pairs` [m], at arm posture q (14,); negative: overlap."""
        self.nearest(q)
        return np.array([result.min_distance for result in self._results])

    def nearest(self, q: Array) -> float:
        """Smallest distance of all pairs [m] at arm posture q (14,)."""
        pair = pinocchio.computeDistances(self.model, self._data, self.geometry, self._distances, q)
        return float(self._results[pair].min_distance)


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
        for part in parts.geometryObjects:
            if part.name.endswith(_HAND):
                geometry.addGeometryObject(part)
        add_walls(geometry, walls, margin)
        super().__init__(model, geometry)


def add_walls(
    geometry: pinocchio.GeometryModel, walls: Sequence[Wall], margin: float
) -> pinocchio.GeometryModel:
    """The geometry with walls, which stand back by `margin` [m], and their pairs with its hands."""
    hands = [k for k, part in enumerate(geometry.geometryObjects) if part.name.endswith(_HAND)]
    for wall in walls:
        shape = coal.Halfspace(np.array(wall.normal), wall.offset - margin)
        other = geometry.addGeometryObject(
            pinocchio.GeometryObject(wall.name, 0, 0, pinocchio.SE3.Identity(), shape)
        )
        for hand in hands:
            geometry.addCollisionPair(pinocchio.CollisionPair(hand, other))
    return geometry
