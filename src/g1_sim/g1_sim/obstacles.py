"""Where a motion would run into things on the table that it is not about to take or has put down.

Nothing is simulated: the hands are put to where the motion has them, things stay where they are
until a hand closes on them, then go with it, and stay where it lets go of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import mujoco
import numpy as np
from numpy.typing import NDArray

from g1_description import SIDES, Side
from g1_sim.scene import Scene
from g1_sim.trajectory import NoMotionError, Trajectory
from g1_sim.waypoints import inverse

Array = NDArray[np.float64]

_PERIOD = 0.06  # [s] between the postures that are looked at
_TOUCH = 0.0015  # [m] that shapes may overlap, as hands and things are never quite where they are
_BRUSH = 0.006  # [m] likewise a hand and what it takes or puts down, a thing and where it goes
_DEEPER = 0.002  # [m] that shapes which overlap from the beginning may still come nearer


class TouchError(NoMotionError):
    """A motion would knock against something."""


@dataclass
class _Hand:
    """What one hand has to do with the things about it; they are named by their root bodies."""

    side: Side
    target: int | None = None  # what it closes on next
    carried: int | None = None
    grip: Array = field(default_factory=lambda: np.eye(4))
    place: set[int] = field(default_factory=set)  # where the carried thing goes, and what was there


#: A hand or what it carries, and a thing.
_Pair = tuple[Side, bool, int]


class Obstacles:
    """The things of a scene at one moment, to be looked at while hands move among them."""

    def __init__(self, scene: Scene) -> None:
        self.slack = 0.0  # [m] that everything may overlap more
        self._model = model = scene.model
        self._data = mujoco.MjData(model)
        self._data.qpos[:] = scene.data.qpos
        self._qpos = self._data.qpos.copy()
        self._there = Scene(model, self._data)
        robot, root = model.body('pelvis').id, model.body_rootid
        names = [model.body(index).name for index in range(model.nbody)]
        side = [
            next((k for k, s in enumerate(SIDES) if root[i] == robot and name.startswith(s)), -1)
            for i, name in enumerate(names)
        ]
        self._side = np.array(side)[model.geom_bodyid]  # of each shape, as in SIDES
        self._root = root[model.geom_bodyid]
        # What is fixed is none, nor what has joints of its own: hands work on it by touching it.
        free = model.jnt_type == mujoco.mjtJoint.mjJNT_FREE
        loose = set(root[model.jnt_bodyid[free]]) - set(root[model.jnt_bodyid[~free]]) - {robot}
        self._thing = np.isin(self._root, list(loose))
        self._jointed = bool((~free & (root[model.jnt_bodyid] != robot)).any())
        self._held = {
            side: next((i for i in loose if scene.holder(names[i]) == side), None) for side in SIDES
        }

    def check(self, motion: Trajectory) -> None:
        """Raises TouchError for the first thing that is knocked against."""
        self._data.qpos[:] = self._qpos
        self._put(motion(0.0))
        hands = {side: _Hand(side, carried=self._held[side]) for side in SIDES}
        for hand in hands.values():
            if hand.carried is not None:
                hand.grip = inverse(self._there.hand(hand.side)) @ self._pose(hand.carried)
            self._look_ahead(motion, hand, 0.0)
        allowed: dict[_Pair, float] = {}
        gone: set[int] = set()  # put into something that moves
        works = sorted(motion.works, key=lambda work: work.end if work.closes else work.start)
        for time in np.arange(0.0, motion.duration + _PERIOD, _PERIOD):
            while works and time >= (works[0].end if works[0].closes else works[0].start):
                work = works.pop(0)
                self._carry(motion, hands, work.end if work.closes else work.start)
                hand = hands[work.hand]
                if work.closes:
                    hand.carried, hand.target = hand.target, None
                    if hand.carried is not None:
                        there = self._there.hand(hand.side)
                        hand.grip = inverse(there) @ self._pose(hand.carried)
                    self._look_ahead(motion, hand, work.end)
                else:
                    if hand.carried is not None:
                        hand.place.add(hand.carried)
                        gone |= {hand.carried} if self._jointed else set()
                        hand.carried = None
                    self._look_ahead(motion, hand, work.start)
                for pair, depth in self._touching(hands).items():
                    allowed.setdefault(pair, depth - _DEEPER)
            self._carry(motion, hands, time)
            touching = self._touching(hands)
            allowed = {pair: allowed[pair] for pair in touching if pair in allowed}
            for pair, depth in touching.items():
                side, carried, thing = pair
                hand = hands[side]
                if thing in gone or (thing == hand.target and motion.works_at(side, time)):
                    continue
                near = thing == hand.target or thing in hand.place
                enough = -(_BRUSH if near else _TOUCH) - self.slack
                if carried and thing in hand.place and motion.putting(side, time):
                    enough = -np.inf
                if time == 0.0:
                    allowed[pair] = depth - _DEEPER
                limit = min(enough, allowed.get(pair, enough))
                if depth < limit:
                    what = self._model.body(thing).name
                    raise TouchError(
                        f'the {side} hand would knock against the {what} after {time:.1f} s',
                        motion.steps(side, time),
                        always=False,
                    )
                allowed[pair] = max(limit, min(enough, depth - _DEEPER))

    def _look_ahead(self, motion: Trajectory, hand: _Hand, time: float) -> None:
        """What the hand takes next, or where it lets go of what it carries."""
        takes = hand.carried is None
        works = [
            work
            for work in motion.works
            if work.hand == hand.side and work.start >= time and work.closes == takes
        ]
        if not works:
            return
        kept = self._data.qpos.copy()
        self._put(motion(works[0].end if takes else works[0].start))
        if hand.carried is None:
            one, two = (self._others(finger) for finger in self._fingers(hand.side))
            hand.target = min(one & two or one | two, default=None)
        else:
            self._move(hand.carried, self._there.hand(hand.side) @ hand.grip)
            self._update()
            shapes = np.flatnonzero(self._root == hand.carried)
            hand.place = set().union(*(self._others(shape) for shape in shapes)) - {hand.carried}
        self._data.qpos[:] = kept
        self._update()

    def _carry(self, motion: Trajectory, hands: dict[Side, _Hand], time: float) -> None:
        """Hands, and what they carry, to where they are at that time."""
        self._put(motion(time))
        carrying = [hand for hand in hands.values() if hand.carried is not None]
        for hand in carrying:
            assert hand.carried is not None
            self._move(hand.carried, self._there.hand(hand.side) @ hand.grip)
        if carrying:
            self._update()

    def _put(self, posture: Array) -> None:
        self._there.posture = posture
        self._update()

    def _update(self) -> None:
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_collision(self._model, self._data)

    def _touching(self, hands: dict[Side, _Hand]) -> dict[_Pair, float]:
        """How far hands, and what they carry, and other things overlap [m], negative."""
        carriers = {hand.carried: side for side, hand in hands.items() if hand.carried is not None}
        found: dict[_Pair, float] = {}
        contacts = self._data.contact
        for pair, depth in zip(contacts.geom, contacts.dist, strict=True):
            for one, other in (pair, pair[::-1]):
                thing = int(self._root[other])
                if not self._thing[other]:
                    continue
                if self._side[one] >= 0:
                    side, carried = SIDES[self._side[one]], False
                elif int(self._root[one]) in carriers:
                    side, carried = carriers[int(self._root[one])], True
                else:
                    continue
                if hands[side].carried != thing:
                    key = (side, carried, thing)
                    found[key] = min(found.get(key, 0.0), float(depth))
        return found

    def _fingers(self, side: Side) -> list[NDArray[np.int64]]:
        """The shapes of each of its two fingers."""
        return [
            np.flatnonzero(self._model.geom_bodyid == self._model.body(f'{side}_{finger}_link').id)
            for finger in ('gripper_finger', 'gripper_mirror_finger')
        ]

    def _others(self, shapes: NDArray[np.int64] | np.int64) -> set[int]:
        """The things that any of the shapes touches."""
        pairs = self._data.contact.geom
        of = np.isin(pairs, shapes)
        touched = np.concatenate((pairs[of[:, 0], 1], pairs[of[:, 1], 0]))
        return {int(self._root[geom]) for geom in touched if self._thing[geom]}

    def _pose(self, body: int) -> Array:
        return self._there.pose(self._model.body(body).name)

    def _move(self, body: int, pose: Array) -> None:
        joint = self._data.joint(int(self._model.body_jntadr[body]))
        joint.qpos[:3] = pose[:3, 3]
        mujoco.mju_mat2Quat(joint.qpos[3:], pose[:3, :3].flatten())
