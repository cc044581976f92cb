"""How near the arms come to whatever they may not touch: themselves, the body, walls. No ROS."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g1_control.collision import SelfCollision, WallDistances
from g1_control.safety import Wall
from g1_description import Robot
from g1_description.capsules import Approach

Array = NDArray[np.float64]


class Clearance:
    """Distances [m] at a posture of the arms. One object serves one thread.

    Walls stand back by `margin` [m]: whoever keeps the margin to everything may touch a wall.
    Raises ValueError when a capsule belongs to a link that the robot does not have.
    """

    def __init__(self, robot: Robot, walls: Sequence[Wall] = (), margin: float = 0.0) -> None:
        self._collision, self._margin = SelfCollision(robot), margin
        self._walls = WallDistances(robot, walls, margin) if walls else None
        #: Names of what each distance is between.
        self.pairs = [*self._collision.pairs, *(self._walls.pairs if self._walls else ())]

    def nearest(self, q: Array) -> float:
        """Smallest of all distances at arm posture q (14,)."""
        nearest = self._collision.nearest(q)
        return min(nearest, self._walls.nearest(q)) if self._walls else nearest

    def distances(self, q: Array, below: float = np.inf) -> Array:
        """Of each of `pairs` at arm posture q (14,); negative: overlap.

        Where all of one kind are `below` or more, they may all be told as the least one.
        """
        own = self._collision.distances(q, below)
        if self._walls is None:
            return own
        return np.concatenate((own, self._walls.distances(q, below)))

    def gradients(self, q: Array, below: float) -> tuple[NDArray[np.intp], Array, Array]:
        """The nearest pairs below that distance at arm posture q (14,), as `SelfCollision` does.

        Returns their numbers (P,), distances (P,), and how these change with q (P, 14) [m/rad].
        """
        own = self._collision.gradients(q, below)
        if self._walls is None:
            return own
        near, distances, change = self._walls.gradients(q, below)
        near = near + len(self._collision.pairs)
        return (
            np.concatenate((own[0], near)),
            np.concatenate((own[1], distances)),
            np.concatenate((own[2], change)),
        )

    def approach(self, pair: int, distance: float) -> Approach:
        """One of `pairs` at a distance, in words for a person."""
        first, second = self.pairs[pair]
        at_wall = pair >= len(self._collision.pairs)
        return Approach(first, second, distance - self._margin * at_wall, at_wall)
