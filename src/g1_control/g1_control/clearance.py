"""How near the arms come to whatever they may not touch: themselves, the body, walls. No ROS."""

from __future__ import annotations

from collections.abc import Sequence

from g1_control.collision import PairDistances, add_walls
from g1_control.safety import Wall
from g1_description import Robot
from g1_description.capsules import Approach, capsule_models


class Clearance(PairDistances):
    """Distances [m] at a posture of the arms. One object serves one thread.

    Walls stand back by `margin` [m]: whoever keeps the margin to everything may touch a wall.
    Raises ValueError when a capsule belongs to a link that the robot does not have.
    """

    def __init__(self, robot: Robot, walls: Sequence[Wall] = (), margin: float = 0.0) -> None:
        model, parts = capsule_models(robot.capsules)
        super().__init__(model, add_walls(parts.copy(), walls, margin))
        self._own, self._margin = len(parts.collisionPairs), margin

    def approach(self, pair: int, distance: float) -> Approach:
        """One of `pairs` at a distance, in words for a person."""
        first, second = self.pairs[pair]
        at_wall = pair >= self._own
        return Approach(first, second, distance - self._margin * at_wall, at_wall)
