"""What a plan of the scripted expert is made of: goals of the hands, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pinocchio
from numpy.typing import ArrayLike, NDArray

from g1_description.kinematics import Side

Array = NDArray[np.float64]

#: The hands, the one that works where one suffices first.
HANDS: tuple[Side, Side] = ('right', 'left')
#: Where the arms start to reach from: their shoulders, seen from above [m].
SHOULDERS = {'left': np.array([0.0, 0.10]), 'right': np.array([0.0, -0.10])}

_NEAREST = 0.275  # [m] before the pelvis that a hand comes, its wrist level


@dataclass(frozen=True)
class Waypoint:
    """One goal of one hand.

    pose: (4, 4) grasp frame of the hand in the world (x out of the fingers, y the closing
    direction), or None: stay. gripper: opening per finger on arrival [m]. duration: time to get
    there [s], lengthened where a joint would be too fast. straight: the hand moves along a line
    while it turns about one axis, otherwise the joints move in proportion. precise: demonstrations
    don't stray here.
    """

    pose: Array | None
    gripper: float
    duration: float
    straight: bool = False
    hand: Side = 'right'
    precise: bool = False


@dataclass(frozen=True)
class Meeting:
    """Both hands wait here for one another."""


#: Goals of both hands in order. A hand goes on with its next one at once, except at a meeting.
Plan = Sequence[Waypoint | Meeting]


class LostError(Exception):
    """The task cannot be done any more from the present state; says why."""


def direction(hand: Side, position: ArrayLike) -> float:
    """Yaw [rad] in which `hand` reaches from its shoulder straight towards `position` [m]."""
    x, y = np.asarray(position, float)[:2] - SHOULDERS[hand]
    return float(np.arctan2(y, x))


def reach(hand: Side, position: ArrayLike) -> float:
    """Distance [m] of `position` from the shoulder of `hand`, seen from above."""
    return float(np.linalg.norm(np.asarray(position, float)[:2] - SHOULDERS[hand]))


def hand_pose(position: ArrayLike, tilt: float, yaw: float, roll: float = 0.0) -> Array:
    """Grasp frame (4, 4) at `position` [m].

    tilt: of its approach, downwards [rad]; yaw: of its approach, seen from above; roll: about its
    approach, 0 with the closing direction level.
    """
    forward = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    approach = np.cos(tilt) * forward - np.sin(tilt) * np.array([0.0, 0.0, 1.0])
    sideways = np.cross((0.0, 0.0, 1.0), forward)
    pose = np.eye(4)
    pose[:3, :3] = np.stack((approach, sideways, np.cross(approach, sideways)), axis=1)
    pose[:3, :3] = pose[:3, :3] @ pinocchio.exp3(np.array([roll, 0.0, 0.0]))
    pose[:3, 3] = position
    return pose


def moved(pose: Array, back: float = 0.0, up: float = 0.0) -> Array:
    """The hand `back` [m] against its approach as seen from above, and `up` [m]."""
    level = pose[:2, 0] / max(float(np.linalg.norm(pose[:2, 0])), 0.1)
    shifted = pose.copy()
    shifted[:3, 3] += (-back * level[0], -back * level[1], up)
    return shifted


def withdrawn(pose: Array, back: float) -> Array:
    """The hand `back` [m] against the way it points."""
    shifted = pose.copy()
    shifted[:3, 3] -= back * pose[:3, 0]
    return shifted


def turned(pose: Array, angle: float) -> Array:
    """The pose turned about the vertical through its origin by `angle` [rad]."""
    turn = pose.copy()
    turn[:3, :3] = pinocchio.exp3(np.array([0.0, 0.0, angle])) @ pose[:3, :3]
    return turn


def inverse(pose: Array) -> Array:
    """Of a pose (4, 4)."""
    back = np.eye(4)
    back[:3, :3] = pose[:3, :3].T
    back[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return back


def away(pose: Array, back: float, up: float) -> Array:
    """The hand clear of what it has between its fingers: `back` and `up` [m] from there.

    Less far back, but higher, where its wrist would come too near to the trunk.
    """
    forward = max(float(pose[0, 0]), 0.1)
    shorter = float(np.clip((pose[0, 3] - _NEAREST) / forward, 0.0, back))
    return moved(pose, shorter, up + back - shorter)


def take(
    grasp: Array,
    opened: float,
    closed: float,
    *,
    hand: Side = 'right',
    back: float = 0.055,
    up: float = 0.04,
    way: Callable[[Array, float, float], Array] = away,
    precise: bool = False,
) -> list[Waypoint]:
    """To an object from above and before it, and the fingers close around it."""
    return [
        Waypoint(way(grasp, back, up), opened, 1.6, hand=hand),
        Waypoint(grasp, opened, 1.0, True, hand, precise),
        Waypoint(None, closed, 0.5, hand=hand),
    ]


def put(
    goal: Array,
    opened: float,
    closed: float,
    *,
    hand: Side = 'right',
    above: float = 0.06,
    back: float = 0.055,
    up: float = 0.04,
    way: Callable[[Array, float, float], Array] = away,
    straight: bool = True,
    precise: bool = False,
) -> list[Waypoint]:
    """From wherever it is carried to over its place, down, let go, and away from it.

    straight: it is carried along a line, so that it stays as high as it is. precise: demonstrations
    stray on none of these ways.
    """
    return [
        Waypoint(moved(goal, up=above), closed, 1.4, straight, hand, precise),
        Waypoint(goal, closed, 1.0, True, hand, precise),
        Waypoint(None, opened, 0.5, hand=hand),
        Waypoint(way(goal, back, up), opened, 0.8, True, hand, precise),
    ]


def mirrored(plan: Plan) -> list[Waypoint | Meeting]:
    """The same plan for the other hand, on the other side of the robot's middle plane."""
    return [_mirror(step) if isinstance(step, Waypoint) else step for step in plan]


def _mirror(waypoint: Waypoint) -> Waypoint:
    hand: Side = 'left' if waypoint.hand == 'right' else 'right'
    if waypoint.pose is None:
        return replace(waypoint, hand=hand)
    flip = np.diag([1.0, -1.0, 1.0, 1.0])
    return replace(waypoint, pose=flip @ waypoint.pose @ flip, hand=hand)
