"""The expert's motion: waypoints of the hand become smooth joint positions over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pinocchio
from numpy.typing import NDArray

from g1_description.kinematics import ArmKinematics
from g1_sim.tasks import Waypoint

Array = NDArray[np.float64]

MAX_JOINT_SPEED = 1.5  # [rad/s], below what the control limits admit
_GAP = 0.005  # [m] between the points of a straight line that inverse kinematics solves
_PEAK = 1.875  # highest speed of a minimum-jerk motion over its mean speed
_RIGHT_GRIPPER = 15


@dataclass(frozen=True)
class _Segment:
    start: float  # [s]
    duration: float  # [s]
    path: Array  # (points, 16), evenly spaced
    still: bool  # the hand stands, its gripper opens or closes


class Trajectory:
    """Joint positions over time, chunk order [rad, m]: minimum jerk, from rest to rest.

    `duration` [s]: when the end is reached; its posture is held from then on.
    """

    def __init__(self) -> None:
        self._segments: list[_Segment] = []
        self.duration = 0.0

    @classmethod
    def through(
        cls,
        start: Array,
        waypoints: Sequence[Waypoint],
        kinematics: ArmKinematics,
        pelvis: Array,
    ) -> Trajectory:
        """From a posture (16,) through waypoints, resting at each. pelvis: (3,) in the world.

        Raises UnreachableError for a pose out of reach.
        """
        trajectory = cls()
        posture = np.array(start, float)
        for waypoint in waypoints:
            arms = _path(posture[:14], waypoint, kinematics, pelvis)
            share = np.linspace(0.0, 1.0, len(arms))[:, None]
            path = np.hstack((arms, np.tile(posture[14:], (len(arms), 1))))
            path[:, _RIGHT_GRIPPER] += share[:, 0] * (waypoint.gripper - posture[_RIGHT_GRIPPER])
            trajectory._append(path, waypoint.duration, still=waypoint.pose is None)
            posture = path[-1]
        return trajectory

    @classmethod
    def between(cls, start: Array, end: Array, duration: float) -> Trajectory:
        """From one posture (16,) to another, all joints at once, in `duration` [s] or longer."""
        trajectory = cls()
        trajectory._append(np.stack((start, end)), duration, still=False)
        return trajectory

    @property
    def stops(self) -> list[float]:
        """When the hands have to have come to rest [s]: around every work of a gripper, and last.

        Increasing.
        """
        works = [s for s in self._segments if s.still]
        return sorted({t for s in works for t in (s.start, s.start + s.duration)} | {self.duration})

    def __call__(self, time: float) -> Array:
        """(16,) targets at `time` [s] since the start."""
        segment, share = self._at(time)
        progress = share**3 * (10.0 + share * (6.0 * share - 15.0))
        position = progress * (len(segment.path) - 1)
        index = min(int(position), len(segment.path) - 2)
        before, after = segment.path[index], segment.path[index + 1]
        return before + (position - index) * (after - before)

    def freedom(self, time: float) -> float:
        """How little precision matters at `time`: 0 where the gripper works, 1 a second from it."""
        gaps = [
            max(s.start - time, time - s.start - s.duration, 0.0) for s in self._segments if s.still
        ]
        return min(1.0, *gaps)

    def _append(self, path: Array, duration: float, *, still: bool) -> None:
        """Goes on along `path` (points, 16), no faster than `MAX_JOINT_SPEED`."""
        fastest = np.abs(np.diff(path[:, :14], axis=0)).max(initial=0.0) * (len(path) - 1)
        duration = max(duration, _PEAK * fastest / MAX_JOINT_SPEED)
        self._segments.append(_Segment(self.duration, duration, path, still))
        self.duration += duration

    def _at(self, time: float) -> tuple[_Segment, float]:
        """The segment at `time` and the share of it that has passed."""
        segment = next((s for s in reversed(self._segments) if s.start <= time), self._segments[0])
        return segment, float(np.clip((time - segment.start) / segment.duration, 0.0, 1.0))


def _path(arms: Array, waypoint: Waypoint, kinematics: ArmKinematics, pelvis: Array) -> Array:
    """Arm postures (points, 14) from `arms` to the waypoint."""
    if waypoint.pose is None:
        return np.stack((arms, arms))
    goal = waypoint.pose.copy()
    goal[:3, 3] -= pelvis
    start = kinematics.forward(arms)['right']
    distance = float(np.linalg.norm(goal[:3, 3] - start[:3, 3]))
    steps = max(1, round(distance / _GAP)) if waypoint.straight else 1
    path = [arms]
    for share in np.arange(1, steps + 1) / steps:
        path.append(kinematics.inverse('right', _between(start, goal, share), path[-1]))
    return np.stack(path)


def _between(start: Array, goal: Array, share: float) -> Array:
    """The pose at `share` of the way, turning about one axis."""
    pose = np.eye(4)
    pose[:3, 3] = start[:3, 3] + share * (goal[:3, 3] - start[:3, 3])
    turn = pinocchio.log3(start[:3, :3].T @ goal[:3, :3])
    pose[:3, :3] = start[:3, :3] @ pinocchio.exp3(share * turn)
    return pose
