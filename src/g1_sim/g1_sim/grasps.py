"""Ways of a hand to take things, to put them down, and to get clear of them, for plans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import product
from typing import TypeVar

import numpy as np
import pinocchio
from numpy.typing import ArrayLike, NDArray

from g1_description import load_robot
from g1_description.kinematics import ArmKinematics, Side
from g1_sim.scene import Scene
from g1_sim.scenery import TABLE_TOP
from g1_sim.waypoints import (
    HANDS,
    SHOULDERS,
    LostError,
    Waypoint,
    direction,
    hand_pose,
    inverse,
    moved,
    put,
    reach,
    turned,
)

Array = NDArray[np.float64]
Way = TypeVar('Way')

OPEN = 0.040  # [m a finger]
TILT = np.radians(28)  # of the approach to what stands, downwards
_TILTS = (TILT, np.radians(40), np.radians(52), np.radians(18))
_LYING_TILTS = tuple(np.radians((50, 62, 75, 40, 30)))
_STEEP = tuple(np.radians((64, 76, 86, 52, 40)))  # of hands that close across what lies sideways
_ABOVE_AXIS = 0.012  # [m] at most between the middle of what lies and where it is taken
_YAWS = (0.0, 0.35, -0.35, 0.7, -0.7)  # [rad] off the straight way from the shoulder
_FINGERTIP, _FINGER_WIDTH = 0.02, 0.02  # [m] beyond the grasp frame, and of a finger
_CLEAR = 0.003  # [m] between fingertips and table
_NEAR = 0.21  # [m] before the pelvis: nearer, nothing is taken
# How far hands reach, by inverse kinematics in steps of 8 mm, pointing 15 to 60 degrees downwards:
# [m] from the shoulder, at three heights over the table [m], in directions outward from it [rad].
_HEIGHTS, _DIRECTIONS = (0.03, 0.08, 0.15), np.linspace(-1.0, 1.0, 9)
_FURTHEST = (
    (0.303, 0.340, 0.378, 0.408, 0.423, 0.430, 0.438, 0.445, 0.453),
    (0.325, 0.370, 0.415, 0.438, 0.453, 0.468, 0.475, 0.482, 0.482),
    (0.355, 0.400, 0.445, 0.468, 0.482, 0.497, 0.505, 0.512, 0.512),
)
_SLACK = 0.01  # [m]
_LOW, _HIGH = 0.16, 0.19  # [m] over the table: below the one, hands first rise to the other
_NEAR_HOME = 0.06  # [m]
_SAME = 0.05  # [m] nearer to where it was, a thing is no better taken than before
_APART = 0.09  # [m] between things that are put down


def other(hand: Side) -> Side:
    """The other hand."""
    return 'left' if hand == 'right' else 'right'


def lowest(tilt: float) -> float:
    """Height [m] over the table at which a hand of that tilt just doesn't touch it."""
    return float(_FINGERTIP * np.sin(tilt) + _FINGER_WIDTH / 2 * np.cos(tilt) + _CLEAR)


def standing(hand: Side, point: ArrayLike, tilts: Sequence[float] = _TILTS) -> Iterator[Array]:
    """Grasps (4, 4) of something upright at `point` of it, best first."""
    for tilt in tilts:
        for off in _YAWS:
            yield hand_pose(point, tilt, direction(hand, point) + off)


def lying(
    hand: Side,
    point: ArrayLike,
    axis: Array,
    tilts: Sequence[float] = _LYING_TILTS,
    above: float = _ABOVE_AXIS,
) -> Iterator[Array]:
    """Grasps (4, 4) across something long that lies along `axis` (3,), at `point` of it.

    above: at most between its middle and where a hand that is turned takes it [m].
    """
    x, y, z = np.asarray(point, float)
    yaw, straight = float(np.arctan2(axis[1], axis[0])), direction(hand, point)
    if np.cos(yaw - straight) < 0:
        yaw += np.pi
    for turn, tilt in product((yaw, yaw + np.pi), tilts):
        yield hand_pose((x, y, max(z, TABLE_TOP + lowest(tilt))), tilt, turn)
    for tilt, off in product(_STEEP, _YAWS):
        yield from _rolled(hand_pose((x, y, z), tilt, straight + off), axis, above)
    # Askew, fingers turn what they close on.
    for off, turn, tilt in product((0.3, -0.3, 0.5, -0.5), (yaw, yaw + np.pi), tilts):
        yield hand_pose((x, y, max(z, TABLE_TOP + lowest(tilt))), tilt, turn + off)


def _rolled(pose: Array, axis: Array, above: float) -> Iterator[Array]:
    """The hand turned about its approach until its fingers close across `axis` (3,)."""
    roll = float(np.arctan2(-pose[:3, 1] @ axis, pose[:3, 2] @ axis))
    for angle in (roll, roll + np.pi if roll < 0 else roll - np.pi):
        turn = pose.copy()
        turn[:3, :3] = pose[:3, :3] @ pinocchio.exp3(np.array((angle, 0.0, 0.0)))
        approach, closing, across = np.abs(turn[2, :3])
        wide = OPEN + _FINGER_WIDTH / 2
        low = _FINGERTIP * approach + wide * closing + _FINGER_WIDTH / 2 * across + _CLEAR
        up = max(0.0, TABLE_TOP + low - turn[2, 3])
        if up < above:
            turn[2, 3] += up
            yield turn


def upright(pose: Array) -> Array:
    """The same thing (4, 4) with its z axis up, turned no more than needed."""
    return _leaning(pose, np.array([0.0, 0.0, 1.0]))


def flat(pose: Array) -> Array:
    """The same thing (4, 4) with its z axis level, turned no more than needed."""
    axis = pose[:3, 2] * (1.0, 1.0, 0.0)
    return _leaning(pose, axis / max(float(np.linalg.norm(axis)), 1e-6))


def carried(hand: Side, grip: Array, goal: Array, off: float | None = 0.0) -> Array:
    """Where the hand (4, 4) is when what it holds by `grip` is at `goal` (4, 4).

    off: the thing may turn about the vertical, and does, so that the hand reaches this much off the
    straight way from its shoulder [rad]; None: it may not.
    """
    pose = goal @ inverse(grip)
    if off is None:
        return pose
    approach = pose[:2, 0] if np.linalg.norm(pose[:2, 0]) > 0.2 else pose[:2, 2]
    angle = direction(hand, goal[:3, 3]) + off - float(np.arctan2(approach[1], approach[0]))
    return turned(goal, angle) @ inverse(grip)


def lift(hand: Side, pose: Array, height: float, closed: float, back: float = 0.0) -> Waypoint:
    """Up with what is held, the grasp frame to `height` [m] over the table or higher.

    back: nearer to the robot meanwhile [m], where straight up is out of reach.
    """
    up = max(0.02, TABLE_TOP + height - pose[2, 3])
    return Waypoint(moved(pose, back, up), closed, 0.9, True, hand)


def bring_nearer(
    hand: Side,
    grasp: Array,
    start: Sequence[Waypoint],
    opened: float,
    closed: float,
    avoid: Sequence[Array] = (),
    drop: float = 0.0,
) -> Iterator[list[Waypoint]]:
    """Down again where the hand gets at it better, turned or not, to be taken anew from there.

    grasp: of the hand that then holds it, after `start`. avoid: (3,) of what stands about. drop:
    how far down to there [m].
    """
    outward = 1.0 if hand == 'left' else -1.0
    spots = [
        np.array((x, outward * y, grasp[2, 3] - drop + 0.004))
        for x, y in product((0.32, 0.28, 0.36), (0.12, 0.05, 0.0, 0.18))
    ]
    free = [s for s in spots if all(np.linalg.norm(s[:2] - a[:2]) > _APART for a in avoid)]
    for spot, turn in product(free or spots, (0.0, 0.8, -0.8, 1.5, -1.5)):
        if not turn and np.linalg.norm(spot[:2] - grasp[:2, 3]) < _SAME:
            continue
        goal = turned(grasp, turn)
        goal[:3, 3] = spot
        yield [
            *start,
            lift(hand, grasp, grasp[2, 3] - TABLE_TOP + 0.06, closed),
            *put(goal, opened, closed, hand=hand, above=0.05, back=0.02, up=0.08, straight=False),
            *leave(hand, goal),
        ]


def in_turn(ways: Iterable[Iterator[Way]]) -> Iterator[Way]:
    """The first of each, then the second of each, and so on."""
    left = list(ways)
    while left:
        for way in tuple(left):
            try:
                yield next(way)
            except StopIteration:
                left.remove(way)


def furthest(hand: Side, point: ArrayLike) -> float:
    """Distance [m] from its shoulder, seen from above, at which a hand still gets at something.

    In the direction and at the height of `point` (3,), whatever its own orientation.
    """
    outward = direction(hand, point) * (1.0 if hand == 'left' else -1.0)
    rows = [np.interp(outward, _DIRECTIONS, row) for row in _FURTHEST]
    return float(np.interp(np.asarray(point, float)[2] - TABLE_TOP, _HEIGHTS, rows))


def refuse_lost(
    scene: Scene,
    *bodies: str,
    nearer: float = 0.0,
    along: Sequence[float] | None = None,
    axis: int = 2,
) -> None:
    """Raises LostError when one of the bodies is off the table, or no hand gets at it any more.

    nearer: than its origin, parts of it can be taken [m]. along: where it is taken, along one axis
    of it, by default z, from its origin [m]; None: there, as high as hands reach far.
    """
    for body in bodies:
        place = scene.position(body)
        if place[2] < TABLE_TOP - 0.05:
            raise LostError(f'the {body} fell off the table')
        if scene.holder(body):
            continue
        points = [place + off * scene.axis(body, axis) for off in along or (0.0,)]
        if along is None:
            points[0][2] = max(points[0][2], TABLE_TOP + _HEIGHTS[1])
        if not any(
            p[0] > _NEAR and reach(hand, p) < furthest(hand, p) + nearer + _SLACK
            for p in points
            for hand in HANDS
        ):
            raise LostError(f'the {body} is out of reach')


def clear(scene: Scene, hand: Side) -> list[Waypoint]:
    """Lets go of what the hand may hold and gets it out from between things, if it is low."""
    pose = scene.hand(hand)
    height = pose[2, 3] - TABLE_TOP
    if height > _LOW or _homely(scene, hand) or not scene.near(pose[:3, 3]):
        return []
    yaw, distance = direction(hand, pose[:3, 3]), reach(hand, pose[:3, 3])
    distance = float(np.clip(distance - 0.03, 0.27, 0.34))
    place = SHOULDERS[hand] + distance * np.array((np.cos(yaw), np.sin(yaw)))
    place[0] = max(place[0], 0.27)
    free = hand_pose((*place, TABLE_TOP + _HIGH), np.radians(35), yaw)
    return [
        Waypoint(None, OPEN, 0.4, hand=hand),
        Waypoint(free, OPEN, 1.0, hand=hand),
    ]


def park(scene: Scene, hand: Side) -> list[Waypoint]:
    """Out of the way of the other hand: back to where the robot holds it by itself."""
    if _homely(scene, hand):
        return []
    return [*clear(scene, hand), Waypoint(home(hand), OPEN, 1.6, hand=hand)]


def alone(scene: Scene, hand: Side) -> list[Waypoint]:
    """Before a hand works: the other one out of its way, itself out from between things."""
    return [*park(scene, other(hand)), *clear(scene, hand)]


def ready(hand: Side) -> Array:
    """A hand (4, 4) high over its own side of the table, from where it gets down anywhere."""
    place = np.array((0.27, 0.17 if hand == 'left' else -0.17, TABLE_TOP + _HIGH))
    return hand_pose(place, np.radians(35), direction(hand, place))


def leave(hand: Side, pose: Array, up: float = 0.15) -> list[Waypoint]:
    """From above `pose` towards the robot's side, `up` [m] over what stands there, and home."""
    aside = moved(pose, up=up)
    aside[:2, 3] += 0.6 * (home(hand)[:2, 3] - pose[:2, 3]) * (0.4, 1.0)
    return [
        Waypoint(aside, OPEN, 0.9, True, hand),
        Waypoint(home(hand), OPEN, 1.2, hand=hand),
    ]


@cache
def _homes() -> dict[Side, Array]:
    robot = load_robot()
    hands = ArmKinematics().forward(robot.home[:14])
    for pose in hands.values():
        pose[2, 3] += robot.pelvis_height
    return {side: hands[side] for side in HANDS}


def home(hand: Side) -> Array:
    """The hand (4, 4) as the robot holds it by itself, in the world."""
    return _homes()[hand].copy()


def _homely(scene: Scene, hand: Side) -> bool:
    away = scene.hand(hand)[:3, 3] - home(hand)[:3, 3]
    return bool(np.linalg.norm(away) < _NEAR_HOME)


def _leaning(pose: Array, axis: Array) -> Array:
    turn = pinocchio.Quaternion.FromTwoVectors(pose[:3, 2].copy(), axis).toRotationMatrix()
    stood = pose.copy()
    stood[:3, :3] = turn @ pose[:3, :3]
    return stood
