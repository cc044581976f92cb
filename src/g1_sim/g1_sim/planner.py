"""From the present state of a scene to a motion that does the task, or to why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g1_control.collision import SelfCollision
from g1_description import SIDES, Side, load_robot
from g1_description.kinematics import ArmKinematics, UnreachableError
from g1_sim import grasps
from g1_sim.grasps import OPEN
from g1_sim.obstacles import Obstacles, TouchError
from g1_sim.scene import Scene
from g1_sim.tasks import SimTask
from g1_sim.trajectory import NoMotionError, Trajectory
from g1_sim.waypoints import HANDS, LostError, Meeting, Plan, Waypoint, moved, withdrawn

Array = NDArray[np.float64]

START_SPREAD = 0.06  # [rad] of the arms around home, where demonstrations begin
MARGIN = 0.025  # [m] that every plan keeps between arms and body
_ITERATIONS = 30  # of inverse kinematics: nine in ten goals within reach take 16 or fewer
_PERIOD = 0.04  # [s] between the postures of a motion whose margin is looked at
_LOOKED_AT, _TRIED, _TOUCHED = 30000, 1000, 60  # alternatives of a task, at most

_CLOSED = 0.024  # [m a finger] and less: around something
_BRUSHED = 0.010  # [m] that hands get into things where there is no way around them
_WAYS_OUT = ((0.0, 0.12), (0.06, 0.05))  # back, up [m]

#: A hand's way from one pose (b'': any) to the next, after so many meetings (-1: any number).
_Way = tuple[str, bytes, bytes, int]


class NoWayError(Exception):
    """The expert knows no way from here; says why. lost: nobody could do the task any more."""

    def __init__(self, text: str, lost: bool = False) -> None:
        self.lost = lost
        super().__init__(text)


class TooNearError(NoMotionError):
    """A motion brings parts of the robot nearer to each other than `MARGIN`."""


class _Kinematics(ArmKinematics):
    """Remembers what it was asked: plans of one task share most of their ways."""

    def __init__(self) -> None:
        super().__init__(_ITERATIONS)
        self._known: dict[tuple[Side, bytes, bytes], Array | UnreachableError] = {}

    def forget(self) -> None:
        self._known.clear()

    def inverse(self, side: Side, target: ArrayLike, q: ArrayLike) -> Array:
        asked = (side, np.asarray(target).tobytes(), np.asarray(q).tobytes())
        if asked not in self._known:
            try:
                self._known[asked] = super().inverse(side, target, q)
            except UnreachableError as error:
                self._known[asked] = error
        answer = self._known[asked]
        if isinstance(answer, UnreachableError):
            raise answer
        return answer.copy()


@dataclass
class _Search:
    """For a plan of a task, from a posture (16,) and its velocity."""

    task: SimTask
    scene: Scene
    start: Array
    velocity: Array | None
    hopeless: set[frozenset[_Way]] = field(default_factory=set)  # what no plan may have together
    first: str = ''  # why the first plan cannot be followed
    touched: bool = False  # a plan would knock against something,
    hemmed_in: set[Side] = field(default_factory=set)  # and these hands so at once
    reached: bool = False  # a hand gets to where it takes something


class Planner:
    """Plans of one process; knows the robot's kinematics and where it would touch itself."""

    def __init__(self) -> None:
        self._kinematics, self._collision = _Kinematics(), SelfCollision(load_robot())

    def plan(
        self,
        task: SimTask,
        scene: Scene,
        start: Array | None = None,
        velocity: Array | None = None,
    ) -> Trajectory:
        """The first of the task's plans that the arms can follow at a safe distance.

        It starts at posture `start` with `velocity` (16,) each, by default as the scene has them
        [rad, m]. Raises NoWayError when the task is lost or no plan can be followed.
        """
        given = start is not None
        if start is None:
            start, velocity = scene.posture, scene.velocity
        self._kinematics.forget()
        search = _Search(task, scene, start, velocity)
        search.reached = any(scene.holder(thing) for thing in scene.things)
        obstacles = Obstacles(scene)
        try:
            found = self._first(search, task.plan(scene), obstacles)
            if found is None and search.hemmed_in and not given:
                for before in _ways_out(scene, search.hemmed_in):
                    plans = ([*before, *plan] for plan in task.plan(scene))
                    found = found or self._first(search, plans, obstacles)
            if found is None and search.touched:  # rather brush, or knock, against something
                obstacles.slack = _BRUSHED
                for among in (obstacles, None):
                    found = found or self._first(search, task.plan(scene), among)
        except LostError as error:
            raise NoWayError(str(error), lost=True) from None
        if found is None and not search.reached:
            text = f'no hand gets to where it could take the {task.object}'
            raise NoWayError(text, lost=True)
        if found is None:
            text = f'none of the ways that were tried can be followed; the first: {search.first}'
            raise NoWayError(text)
        return found

    def _first(
        self, search: _Search, plans: Iterator[Plan], obstacles: Obstacles | None
    ) -> Trajectory | None:
        """The first of the plans that can be followed."""
        touched: set[frozenset[_Way]] = set()
        most = len(search.hopeless) + _TRIED
        for plan in islice(plans, _LOOKED_AT):
            ways = _ways(plan)
            present = _present(ways)
            if any(together <= present for together in (*search.hopeless, *touched)):
                continue
            try:
                motion = self.follow(plan, search.start, search.scene.pelvis, search.velocity)
                if obstacles:
                    obstacles.check(motion)
                return motion
            except NoMotionError as error:
                met = [ways[step] for step in error.steps if step >= 0]
                if not met:
                    break  # it is so already at the start
                touch = isinstance(error, TouchError)
                found = touched if touch else search.hopeless
                found.add(frozenset(_hopeless(met, error.always)))
                search.first = search.first or str(error)
                search.touched |= touch
                search.hemmed_in |= {
                    hand for hand in HANDS if touch and (hand, b'start') in {way[:2] for way in met}
                }
                search.reached |= not error.always or max(error.steps) > _taken(plan)
                if len(search.hopeless) > most or len(touched) > _TOUCHED:
                    search.reached = True  # for all that is known
                    break
        return None

    def follow(
        self, plan: Plan, start: Array, pelvis: Array, velocity: Array | None = None
    ) -> Trajectory:
        """A plan as a motion. Raises NoMotionError."""
        motion = Trajectory.through(start, plan, self._kinematics, pelvis, velocity)
        self._check(motion)
        return motion

    def retreat(self, scene: Scene) -> Trajectory:
        """Hands open, and from wherever they are back to where the robot holds them by itself.

        The way that they point first, so that what leans on fingers stays; else up, where that
        keeps the margin; else straight, and control keeps them apart.
        """
        start, velocity = scene.posture, scene.velocity
        opened = [Waypoint(None, OPEN, 0.4, hand=hand) for hand in HANDS]
        home = [Waypoint(grasps.home(hand), OPEN, 1.6, hand=hand) for hand in HANDS]
        far, near = (
            [Waypoint(withdrawn(scene.hand(h), back), OPEN, 1.5, True, h) for h in HANDS]
            for back in (0.09, 0.04)
        )
        up = [Waypoint(moved(scene.hand(h), up=0.10), OPEN, 0.8, True, h) for h in HANDS]
        clear = [step for hand in HANDS for step in grasps.clear(scene, hand)]
        for wait, between in product(([Meeting()], []), (far, near, clear, up, [])):
            plan: Plan = [*opened, *between, *wait, *home]
            try:
                return self.follow(plan, start, scene.pelvis, velocity)
            except NoMotionError:
                continue
        return Trajectory.between(start, load_robot().home, 2.5)

    def clearance(self, posture: Array) -> float:
        """Smallest distance between arms and body at a posture (16,) [m]."""
        return self._collision.nearest(posture[:14])

    def _check(self, motion: Trajectory) -> None:
        """That `MARGIN` is kept, once it is reached; until then nothing comes nearer."""
        wanted = min(MARGIN, self.clearance(motion(0.0)) - 0.003)
        for time in np.arange(0.0, motion.duration + _PERIOD, _PERIOD):
            posture = motion(time)
            distance = self.clearance(posture)
            if distance < wanted:
                pair = self._collision.pairs[
                    int(np.argmin(self._collision.distances(posture[:14])))
                ]
                arms = [hand for hand in SIDES if any(hand in link for link in pair)]
                raise TooNearError(
                    f'{" and ".join(pair)} would come {distance * 1e3:.0f} mm near after '
                    f'{time:.1f} s; {MARGIN * 1e3:.0f} mm are kept',
                    tuple(step for arm in arms for step in motion.steps(arm, time)),
                    always=False,
                )
            wanted = max(wanted, min(MARGIN, distance - 0.003))


def _ways_out(scene: Scene, hands: set[Side]) -> Iterator[list[Waypoint]]:
    """Of hands that hold nothing, from between things: up, back, or high over their own side."""
    free = hands - {scene.holder(body) for body in scene.things}
    for back, up in _WAYS_OUT if free else ():
        yield [
            Waypoint(moved(scene.hand(hand), back, up), scene.opening(hand), 0.8, True, hand)
            for hand in free
        ]
    if free:
        yield [Waypoint(grasps.ready(hand), OPEN, 1.2, True, hand) for hand in free]


def _taken(plan: Plan) -> int:
    """The step in which fingers first close on something."""
    steps = enumerate(plan)
    return next((i for i, s in steps if isinstance(s, Waypoint) and s.gripper < _CLOSED), len(plan))


def _ways(plan: Plan) -> list[_Way]:
    """Of each step of a plan, the way that leads to it."""
    at: dict[str, bytes] = {'left': b'start', 'right': b'start'}
    ways: list[_Way] = []
    meetings = 0
    for step in plan:
        if isinstance(step, Waypoint):
            goal = at[step.hand] if step.pose is None else np.round(step.pose, 6).tobytes()
            ways.append((step.hand, at[step.hand], goal, meetings))
            at[step.hand] = goal
        else:
            meetings += 1
            ways.append(('both', b'', b'', meetings))
    return ways


def _hopeless(met: list[_Way], always: bool) -> Iterator[_Way]:
    """What a plan must not have: two ways at the same time, or one at any time."""
    for hand, before, goal, meetings in met:
        yield hand, b'' if always else before, goal, meetings if len(met) > 1 else -1


def _present(ways: list[_Way]) -> set[_Way]:
    """The ways of a plan in all the forms that `_hopeless` names them in."""
    return {
        (hand, origin, goal, when)
        for hand, before, goal, meetings in ways
        for origin in (before, b'')
        for when in (meetings, -1)
    }
