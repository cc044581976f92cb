"""The slow, smooth motion that a system under test is driven by, as chunks and as targets."""

from __future__ import annotations

import time

import numpy as np
from dit4dit_msgs.msg import ActionChunk
from numpy.typing import NDArray
from trajectory_msgs.msg import JointTrajectory

from g1_description import load_robot
from g1_ros.conversions import joint_trajectory
from g1_ros.stamps import time_message_of

STEP, POINTS = 0.1, 16  # [s], targets a chunk
#: Of a chunk that outlasts whatever keeps this process from its turn.
MANY_POINTS = 60
_SWING, _RATE = 0.12, 0.3  # [rad], [Hz]


class ScriptedMotion:
    """Every arm joint swings slowly about its home; the grippers open and close a little."""

    def __init__(self) -> None:
        self._robot = load_robot()
        self._chunks = 0

    def at(self, time: float) -> NDArray[np.float64]:
        """(16,) targets at `time` [rad, m]."""
        swing = _SWING * np.sin(2 * np.pi * _RATE * time)
        return self._robot.home + np.array([swing] * 14 + [-0.01 - 0.03 * abs(swing)] * 2)

    def chunk(self, stamp: float | None = None, points: int = POINTS) -> ActionChunk:
        """The motion from `stamp` (now) on, as policy_node would send it."""
        trajectory = self.targets(time.time() if stamp is None else stamp, points)
        self._chunks += 1
        return ActionChunk(
            header=trajectory.header,
            task='faults',
            model_id='scripted',
            chunk_id=self._chunks,
            trajectory=trajectory,
        )

    def targets(self, stamp: float, points: int = POINTS) -> JointTrajectory:
        """The motion from `stamp` on, as teleop_node would send it."""
        times = STEP * np.arange(points)
        positions = [self.at(stamp + t) for t in times]
        return joint_trajectory(time_message_of(stamp), self._robot.action_joints, positions, times)


def end_of(trajectory: JointTrajectory) -> float:
    """When its last target is due [s]."""
    stamp, last = trajectory.header.stamp, trajectory.points[-1].time_from_start
    return stamp.sec + last.sec + (stamp.nanosec + last.nanosec) * 1e-9
