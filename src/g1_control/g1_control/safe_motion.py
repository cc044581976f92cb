"""What the arms may do of what is asked: nothing comes too near, no hand is too fast. No ROS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g1_control.clearance import Clearance
from g1_control.hand_speed import HandSpeed
from g1_control.limiter import Limiter
from g1_control.safety import SafetyParameters, walls
from g1_control.slide import ROOM, Slide
from g1_description import Robot
from g1_description.capsules import Approach

Array = NDArray[np.float64]


class SafeMotion:
    """States (3, J) as `Limiter.ahead`; in each cycle, `judge` before `instead`."""

    def __init__(self, robot: Robot, safety: SafetyParameters) -> None:
        margin, speed = safety.self_collision_margin, safety.hand_speed
        clearance = Clearance(robot, walls(safety), margin + ROOM)
        self._slide = Slide(clearance, margin, len(robot.arm_joints))
        self._hand_speed = HandSpeed(None if speed is None else safety.speed * speed)

    def judge(self, limiter: Limiter, candidate: Array) -> tuple[Array, Approach | None]:
        """The candidate with no hand too fast, and what it would bring too near, if anything."""
        candidate = self._hand_speed.limited(limiter, candidate)
        return candidate, self._slide.towards(limiter, candidate)

    def instead(self, limiter: Limiter, candidate: Array) -> Array:
        """The nearest to a candidate that brings too near: along the margin, no hand too fast."""
        slid = self._slide.nearest(limiter, candidate)
        slower = self._hand_speed.limited(limiter, slid)
        if slower is slid or self._slide.good(slower):
            return slower
        return limiter.braking()
