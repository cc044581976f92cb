"""How near the arms come to each other and to the body: capsules of the robot's YAML. No ROS."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pinocchio
from numpy.typing import NDArray

from g1_description import Robot
from g1_description.capsules import capsule_models

Array = NDArray[np.float64]


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
        self._model, self._geometry = capsule_models(robot.capsules)
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
