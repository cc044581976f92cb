"""The expert's motion: goals of both hands become smooth joint positions over time."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
import pinocchio
from numpy.typing import NDArray

from g1_control.minimum_jerk import PEAK, minimum_jerk
from g1_description.kinematics import ArmKinematics, Side, UnreachableError
from g1_description.robot import SIDES
from g1_sim.waypoints import Meeting, Plan, Waypoint

Array = NDArray[np.float64]

MAX_JOINT_SPEED = 1.5  # [rad/s], below what the control limits admit
_GAP = 0.01  # [m] between the points of a straight line that inverse kinematics solves,
_TURN_GAP = 0.15  # [rad] or between them where the hand turns on the way
_JUMP = 0.5  # [rad] between two such points: the arm would swing round to another posture
_WORK = 1e-4  # [m] that fingers move at least when they open or close
_BLEND = 0.4  # of the shorter of two ways: the later one begins so much before the earlier ends
_RUN_OUT = 0.6  # [s] in which the velocity at the start has died away
#: Of each hand in chunk order: its seven joints and its gripper.
_PARTS = {'left': [*range(7), 14], 'right': [*range(7, 14), 15]}


class NoMotionError(ValueError):
    """Arms cannot get to waypoints; `steps` are their places in the plan.

    always: from wherever they come.
    """

    def __init__(self, text: str, steps: tuple[int, ...], always: bool) -> None:
        self.steps, self.always = steps, always
        super().__init__(text)


class _JumpError(ValueError):
    """On a straight way of the hand its arm would have to swing round to another posture."""


@dataclass(frozen=True)
class _Segment:
    start: float  # [s]
    duration: float  # [s]
    path: Array  # (points, 8), evenly spaced
    still: bool  # the hand stands: its gripper opens or closes, or it waits for the other
    precise: bool = False
    step: int = -1  # of the plan

    @property
    def end(self) -> float:
        return self.start + self.duration

    def __call__(self, time: float) -> Array:
        share = np.clip((time - self.start) / self.duration, 0.0, 1.0)
        position = float(minimum_jerk(share)) * (len(self.path) - 1)
        index = min(int(position), len(self.path) - 2)
        before, after = self.path[index], self.path[index + 1]
        return before + (position - index) * (after - before)


@dataclass(frozen=True)
class Work:
    """A hand stands, and its fingers open or close from `start` to `end` [s]."""

    hand: Side
    start: float
    end: float
    closes: bool


@dataclass
class _Track:
    """What one hand does: (8,) joints and gripper over time, minimum jerk from goal to goal.

    Each way begins while the one before still runs out, and both add up, as people's do (Flash and
    Henis, Arm trajectory modifications during reaching, J. Cognitive Neuroscience 1991): the hand
    stops only where it meets the other, and never faster than on the ways alone.
    """

    posture: Array
    segments: list[_Segment] = field(default_factory=list)
    waiting: bool = False  # for the other hand: what comes next begins from rest

    @property
    def duration(self) -> float:
        return self.segments[-1].end if self.segments else 0.0

    def append(
        self, path: Array, duration: float, *, still: bool, precise: bool = False, step: int = -1
    ) -> None:
        """Goes on along `path` (points, 8), no faster than `MAX_JOINT_SPEED`."""
        fastest = np.abs(np.diff(path[:, :7], axis=0)).max(initial=0.0) * (len(path) - 1)
        duration = max(duration, PEAK * fastest / MAX_JOINT_SPEED)
        blend = 0.0
        if self.segments and not self.waiting:
            blend = _BLEND * min(duration, self.segments[-1].duration)
        begin = self.duration - blend
        self.segments.append(_Segment(begin, duration, path, still, precise, step))
        self.posture, self.waiting = path[-1], False

    def wait(self, until: float) -> None:
        self.waiting = True
        if until > self.duration:
            path = np.stack((self.posture, self.posture))
            self.append(path, until - self.duration, still=True)
            self.waiting = True

    def at(self, time: float) -> Array:
        if not self.segments:
            return self.posture
        begun = self.begun(time) or self.segments[:1]
        return begun[0](time) + sum((s(time) - s.path[0] for s in begun[1:]), np.zeros(8))

    def begun(self, time: float) -> list[_Segment]:
        """Those that run at `time`, or the last before."""
        begun = [s for s in self.segments if s.start <= time]
        return [s for s in begun if s.end > time] or begun[-1:]

    def freedom(self, time: float) -> float:
        fine = [s for s in self.segments if s.still or s.precise]
        gaps = [max(s.start - time, time - s.end, 0.0) for s in fine]
        return min(1.0, *gaps, 1.0)


class Trajectory:
    """Joint positions of both hands over time, chunk order [rad, m], to rest at the end.

    `duration` [s]: when the end is reached; its posture is held from then on.
    """

    def __init__(self, start: Array, velocity: Array | None = None) -> None:
        """From posture `start` (16,); velocity (16,) there [rad/s, m/s], by default at rest."""
        start = np.array(start, float)
        self._tracks = {side: _Track(start[_PARTS[side]]) for side in SIDES}
        self._velocity = np.zeros(16) if velocity is None else np.array(velocity, float)
        self._velocity[14:] = 0.0

    @classmethod
    def through(
        cls,
        start: Array,
        plan: Plan,
        kinematics: ArmKinematics,
        pelvis: Array,
        velocity: Array | None = None,
    ) -> Trajectory:
        """From a posture (16,) through a plan. pelvis: (3,) in the world.

        Raises NoMotionError for a pose out of reach, or a line that no arm can draw.
        """
        trajectory = cls(start, velocity)
        arms = np.array(start[:14], float)
        goals = []  # all of them first: an unreachable one is found before lines are drawn
        for index, step in enumerate(plan):
            if isinstance(step, Waypoint) and step.pose is not None:
                try:
                    arms = kinematics.inverse(step.hand, _from_pelvis(step.pose, pelvis), arms)
                except UnreachableError as error:
                    raise NoMotionError(str(error), (index,), always=True) from None
            goals.append(arms)
        for index, (step, goal) in enumerate(zip(plan, goals, strict=True)):
            if isinstance(step, Meeting):
                trajectory._meet()
                continue
            try:
                trajectory._follow(step, index, goal, kinematics, pelvis)
            except (UnreachableError, _JumpError) as error:
                raise NoMotionError(str(error), (index,), always=False) from None
        return trajectory

    @classmethod
    def between(cls, start: Array, end: Array, duration: float) -> Trajectory:
        """From one posture (16,) to another, all joints at once, in `duration` [s] or longer."""
        trajectory = cls(start)
        for side, track in trajectory._tracks.items():
            part = _PARTS[side]
            track.append(np.stack((start[part], end[part])), duration, still=False)
        trajectory._meet()
        return trajectory

    @property
    def duration(self) -> float:
        """Until the last hand has come to rest [s]."""
        return max(track.duration for track in self._tracks.values())

    @property
    def stops(self) -> list[float]:
        """When the hands have to have come to rest [s]: around every work of a gripper, and last.

        Increasing.
        """
        works = [s for track in self._tracks.values() for s in track.segments if s.still]
        return sorted({t for s in works for t in (s.start, s.end)} | {self.duration})

    def __call__(self, time: float) -> Array:
        """(16,) targets at `time` [s] since the start."""
        targets = np.empty(16)
        for side, track in self._tracks.items():
            targets[_PARTS[side]] = track.at(time)
        share = np.clip(time / _RUN_OUT, 0.0, 1.0)
        fading = share * (1.0 + share**2 * (-6.0 + share * (8.0 - 3.0 * share)))
        return targets + _RUN_OUT * fading * self._velocity

    @cached_property
    def works(self) -> list[Work]:
        """What the fingers do, those of each hand in order."""
        return [
            Work(side, s.start, s.end, bool(s.path[-1, 7] < s.path[0, 7]))
            for side, track in self._tracks.items()
            for s in track.segments
            if s.still and abs(s.path[-1, 7] - s.path[0, 7]) > _WORK
        ]

    def works_at(self, hand: Side, time: float) -> bool:
        """Whether the fingers of a hand open or close at that time."""
        return any(w.hand == hand and w.start <= time <= w.end for w in self.works)

    def putting(self, hand: Side, time: float) -> bool:
        """Whether a hand is on the last piece of its way to where its fingers open, or there."""
        segments = self._tracks[hand].segments
        for before, segment in pairwise(segments):
            opens = segment.still and segment.path[-1, 7] > segment.path[0, 7] + _WORK
            if opens and before.start <= time <= segment.end:
                return True
        return False

    def steps(self, hand: Side, time: float) -> tuple[int, ...]:
        """Places in the plan of the waypoints that a hand is going to at `time` [s]; -1: none."""
        return tuple(s.step for s in self._tracks[hand].begun(time)) or (-1,)

    def freedom(self, time: float) -> Array:
        """(14,) how little precision matters for each joint of the arms at `time`.

        0 where the gripper works, where the hand waits for the other and where its way is to be
        precise, 1 a second from there.
        """
        return np.repeat([self._tracks[side].freedom(time) for side in SIDES], 7)

    def _meet(self) -> None:
        for track in self._tracks.values():
            track.wait(self.duration)

    def _follow(
        self, waypoint: Waypoint, step: int, goal: Array, kinematics: ArmKinematics, pelvis: Array
    ) -> None:
        """goal: (14,) posture in which the hand is at the waypoint."""
        track, arm = self._tracks[waypoint.hand], _PARTS[waypoint.hand][:7]
        path = np.stack((track.posture[:7], goal[arm]))
        if waypoint.pose is None:
            path[1] = path[0]
        elif waypoint.straight:
            posture = goal.copy()
            posture[arm] = path[0]
            path = _line(posture, waypoint, kinematics, pelvis)[:, arm]
        openings = np.linspace(track.posture[7], waypoint.gripper, len(path))
        path = np.column_stack((path, openings))
        still = waypoint.pose is None
        track.append(path, waypoint.duration, still=still, precise=waypoint.precise, step=step)


def _line(arms: Array, waypoint: Waypoint, kinematics: ArmKinematics, pelvis: Array) -> Array:
    """Postures (points, 14) from `arms` to the waypoint, the hand on a line."""
    assert waypoint.pose is not None
    hand: Side = waypoint.hand
    goal, start = _from_pelvis(waypoint.pose, pelvis), kinematics.forward(arms)[hand]
    turn = pinocchio.log3(start[:3, :3].T @ goal[:3, :3])
    distance = float(np.linalg.norm(goal[:3, 3] - start[:3, 3]))
    steps = max(1, round(max(distance / _GAP, float(np.linalg.norm(turn)) / _TURN_GAP)))
    path = [arms]
    for share in np.arange(1, steps + 1) / steps:
        pose = np.eye(4)
        pose[:3, 3] = start[:3, 3] + share * (goal[:3, 3] - start[:3, 3])
        pose[:3, :3] = start[:3, :3] @ pinocchio.exp3(share * turn)
        path.append(kinematics.inverse(hand, pose, path[-1]))
        if np.abs(path[-1] - path[-2]).max() > _JUMP:
            raise _JumpError(f'the {hand} arm would have to swing round on a straight way')
    return np.stack(path)


def _from_pelvis(pose: Array, pelvis: Array) -> Array:
    moved = pose.copy()
    moved[:3, 3] -= pelvis
    return moved
