"""A demonstration that was followed, and its frames with everything elsewhere.

What stands on the table is moved, each thing by itself, and with it what the hands do to it, as far
as they have not done it yet: the state, the targets that follow and the state of the keyframe are
of that arrangement. What stands fast or has parts that move stays. What a hand holds sits in it a
little otherwise, as after a grasp that was not perfect, and is taken to where it belongs all the
same. Hands are often a little off their way, from where the targets lead back. After MimicGen
(Mandlekar et al., CoRL 2023), but nothing is acted out again. Offsets are over the table, (3,) [m]
in the world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.inference.chunk_policy import Observation
from g1_data.grips import next_grips
from g1_description import SIDES, load_robot
from g1_description.kinematics import ArmKinematics
from g1_sim.expert import Expert, follow
from g1_sim.planner import Planner
from g1_sim.rollout import CHUNK_STEPS
from g1_sim.simulation import Simulation
from g1_sim.waypoints import inverse

Array = NDArray[np.float64]

_SPREAD, _FARTHEST = 0.025, 0.05  # [m] by which a thing is moved each way: deviation, and at most
_APART = 0.115  # [m] that things are apart, or as they were
_TRIES = 6  # of arrangements that the arms cannot follow, before a frame is left out
# A hand goes to a thing, or with it to another one, as demonstrated from `_BEFORE` frames before it
# takes or leaves it until `_AFTER` after that; `_RETREAT` later it is on its way no longer.
_BEFORE, _AFTER, _RETREAT = 10, 3, 12
# It may be astray, by so much [m] at most, and by so much a frame since it was there and until it
# has to be, `_FINE` frames before it takes or leaves a thing: then it goes down, into or around it.
_ASTRAY, _ASTRAY_PER_FRAME, _FINE = 0.03, 0.003, 7
_BACK_IN = 8  # frames at most, until it is on its way again
_ON_THE_WAY = 0.3  # share of the moments in which a hand is on it
_GRIPPING = 8  # frames from where a hand begins to close until it holds a thing
_FLICKER = 3  # frames in which a hand may seem not to hold a thing
_BESIDE = 0.06  # [m] over the table from where a hand closes, it closes on a thing
_CARRIED = 0.02  # [m] that a thing is moved at least when it is carried
_TURNED, _SHIFTED = 0.1, 0.003  # [rad, m] by which a thing sits elsewhere in a hand, deviations
_IN_HAND = 0.8  # share of the moments in which one does
_DEPTH = 0.002  # [m] to which a thing may be in what it did not touch,
_AHEAD, _ABOUT = 5, 4  # looked at every so many frames ahead, and demonstrated so many from there
_COMES_TO_REST = 8  # frames in which something is touched by what was put down onto it


class Carry(NamedTuple):
    """A thing in a hand, from one frame to another one; and onto what it is put, if a thing."""

    begin: int
    end: int
    hand: int
    onto: str | None


class Elsewhere(NamedTuple):
    """Offsets over the table of each group of things, and of what is held how it is in the hand.

    slips: (4, 4), in the frame of the hand, of things that sit in it otherwise than demonstrated.
    """

    offsets: Mapping[int, Array]
    slips: Mapping[Carry, Array]


class Arrangement(NamedTuple):
    """What is shown, and what belongs to it.

    qpos (nq,): of everything. state (16,), targets (K, 16) from then on, keyframe (16,), a state:
    in chunk order [rad, m].
    """

    qpos: Array
    state: Array
    targets: Array
    keyframe: Array


@dataclass
class _Frame:
    qpos: Array
    state: Array
    action: Array
    holders: Mapping[str, int | None]
    touching: Sequence[tuple[str, str]]
    overlaps: set[tuple[int, int]]  # what touches
    hands: Sequence[Array]  # (4, 4) each


class Course:
    """A demonstration that was followed: where everything was, and what was carried where.

    Its simulation is used to look at arrangements: `moment` leaves it in one.
    """

    def __init__(self, simulation: Simulation, planner: Planner, expert: Expert) -> None:
        """Follows it, `simulation` freshly reset. `rollout` is how that went."""
        self._frames: list[_Frame] = []
        self._scene = scene = simulation.scene
        model = simulation.model
        self._things = scene.things
        places = model.jnt_qposadr[[model.body(thing).jntadr[0] for thing in self._things]]
        self._place = {t: slice(p, p + 3) for t, p in zip(self._things, places, strict=True)}
        hinged = model.body_rootid[model.jnt_bodyid[model.jnt_type != mujoco.mjtJoint.mjJNT_FREE]]
        self._stays = [t for t in self._things if model.body(t).id in hinged]

        def look(seen: Observation) -> None:
            hands = {thing: scene.holder(thing) for thing in self._things}
            pairs = [(a, b) for k, a in enumerate(self._things) for b in self._things[:k]]
            self._frames.append(
                _Frame(
                    simulation.data.qpos.copy(),
                    seen.state,
                    expert.target(seen.stamp),
                    {t: None if hand is None else SIDES.index(hand) for t, hand in hands.items()},
                    [pair for pair in pairs if scene.touching(*pair)],
                    scene.overlaps(0.0),
                    [scene.hand(side) for side in SIDES],
                )
            )

        self.rollout = follow(simulation, planner, expert, observer=look)
        self._kinematics = ArmKinematics()

    def __len__(self) -> int:
        return len(self._frames)

    @cached_property
    def _actions(self) -> Array:
        return np.stack([frame.action for frame in self._frames])

    @cached_property
    def _keyframe(self) -> NDArray[np.int64]:
        return self._next_grips(slice(14, None))

    @cached_property
    def _grips(self) -> list[list[int]]:
        """Of each hand, the frames in which it begins to open or close."""
        hands = (self._next_grips(slice(column, column + 1)) for column in (14, 15))
        return [sorted({*frames.tolist()} - {len(self) - 1}) for frames in hands]

    def _next_grips(self, columns: slice) -> NDArray[np.int64]:
        targets, last = self._actions[:, columns], np.full(len(self), len(self) - 1)
        return next_grips(targets, np.full(targets.shape[1], load_robot().gripper_stroke), last)

    @cached_property
    def _group(self) -> dict[str, int]:
        """A number for each thing, the same for those that touch one another at first."""
        group = {thing: number for number, thing in enumerate(self._things)}
        for one, other in self._frames[0].touching:
            joined = group[other]
            group = {t: group[one] if number == joined else number for t, number in group.items()}
        return group

    @cached_property
    def carries(self) -> dict[str, list[Carry]]:
        """Of each thing, in order."""
        return {thing: self._carries(thing) for thing in self._things}

    def _carries(self, thing: str) -> list[Carry]:
        holders = [frame.holders[thing] for frame in self._frames]
        found, begin = [], 0
        while begin < len(holders):
            hand = holders[begin]
            if hand is None:
                begin += 1
                continue
            end = begin
            for frame in range(begin + 1, len(holders)):
                if holders[frame] == hand:
                    end = frame
                elif frame - end > _FLICKER:
                    break
            way = self._position(end, thing) - self._position(begin, thing)
            if np.linalg.norm(way) > _CARRIED:
                found.append(Carry(begin, end, hand, self._below(thing, end)))
            begin = end + 1
        return found

    def _position(self, frame: int, thing: str) -> Array:
        return self._frames[frame].qpos[self._place[thing]]

    def _below(self, thing: str, end: int) -> str | None:
        """The lowest of what it touches as soon as it touches anything after it was put down."""
        for frame in range(end + 1, min(end + 1 + _COMES_TO_REST, len(self))):
            pairs = self._frames[frame].touching
            if touched := [b if a == thing else a for a, b in pairs if thing in (a, b)]:
                return min(touched, key=lambda other: self._position(frame, other)[2])
        return None

    def moment(self, frame: int, rng: np.random.Generator) -> Arrangement | None:
        """The frame with everything elsewhere; None where the arms do not get there."""
        for _ in range(_TRIES):
            made = self._moment(frame, rng)
            if made is not None:
                return made
        return None

    def _moment(self, frame: int, rng: np.random.Generator) -> Arrangement | None:
        offsets = {
            number: np.append(rng.normal(0.0, _SPREAD, 2).clip(-_FARTHEST, _FARTHEST), 0.0)
            for number in sorted(set(self._group.values()))
        }
        offsets |= {self._group[thing]: np.zeros(3) for thing in self._stays}
        elsewhere = Elsewhere(offsets, self._slips(frame, rng))
        keyframe = int(self._keyframe[frame])
        rows = np.arange(frame, frame + CHUNK_STEPS)
        of_hands = self._hand_offsets(np.append(rows, keyframe), frame, elsewhere, rng)
        if not self._apart(frame, self._offsets(frame, elsewhere, of_hands[0])):
            return None
        state = self._moved(self._frames[frame].state, of_hands[0])
        shown = self._moved(self._frames[keyframe].state, of_hands[-1])
        if state is None or shown is None:
            return None
        targets: list[Array] = []
        for row, offset in zip(rows.clip(max=len(self) - 1), of_hands, strict=False):
            if (target := self._moved(self._actions[row], offset)) is None:
                return None
            targets.append(target)
        qposes: list[Array] = []
        for ahead in range(0, CHUNK_STEPS, _AHEAD):
            row = min(frame + ahead, len(self) - 1)
            qposes.append(self._qpos(row, elsewhere, of_hands[ahead]))
            if not self._free(row, qposes[-1], targets[ahead]):
                return None
        return Arrangement(qposes[0], state, np.array(targets), shown)

    def _slips(self, frame: int, rng: np.random.Generator) -> dict[Carry, Array]:
        """How what is held in the frame sits in its hand: turned about it, and shifted."""
        slips = {}
        for carries in self.carries.values():
            for carry in carries:
                if carry.begin + _AFTER < frame < carry.end and rng.uniform() < _IN_HAND:
                    turned = rng.normal(0.0, (_TURNED, _TURNED, 0.0))
                    quaternion = np.empty(4)
                    mujoco.mju_euler2Quat(quaternion, turned, 'xyz')
                    slips[carry] = _pose(rng.normal(0.0, _SHIFTED, 3), quaternion)
        return slips

    def _slipped(self, frame: int, elsewhere: Elsewhere) -> dict[str, tuple[Array, Array]]:
        """By how much (3,) each thing that has slipped is elsewhere than in its hand, and turned.

        The second is (3, 3), of the thing in the world.
        """
        found = {}
        for thing, carries in self.carries.items():
            for carry in carries:
                slip = elsewhere.slips.get(carry)
                if slip is not None and carry.begin <= frame <= carry.end:
                    seen, place = self._frames[frame], self._place[thing]
                    pose = _pose(seen.qpos[place], seen.qpos[place.stop : place.stop + 4])
                    hand = seen.hands[carry.hand]
                    moved = hand @ slip @ inverse(hand) @ pose
                    found[thing] = moved[:3, 3] - pose[:3, 3], moved[:3, :3]
        return found

    def _qpos(self, frame: int, elsewhere: Elsewhere, of_hands: Array) -> Array:
        """(nq,) of the frame, the things elsewhere and the robot not yet."""
        qpos = self._frames[frame].qpos.copy()
        for thing, offset in self._offsets(frame, elsewhere, of_hands).items():
            qpos[self._place[thing]] += offset
        for thing, (_, turn) in self._slipped(frame, elsewhere).items():
            stop = self._place[thing].stop
            mujoco.mju_mat2Quat(qpos[stop : stop + 4], turn.ravel())
        return qpos

    def _free(self, frame: int, qpos: Array, posture: Array) -> bool:
        """Whether nothing is in what it did not touch about when that was demonstrated."""
        model, data = self._scene.model, self._scene.data
        data.qpos[:] = qpos
        self._scene.posture = posture
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        about = self._frames[max(frame - _ABOUT, 0) : frame + _ABOUT + 1]
        return self._scene.overlaps(_DEPTH) <= set().union(*(seen.overlaps for seen in about))

    def _moved(self, posture: Array, offsets: Array) -> Array | None:
        """(16,) with the hands elsewhere by (2, 3)."""
        arms = self._kinematics.moved(posture[:14], offsets)
        return None if arms is None else np.append(arms, posture[14:])

    def _hand_offsets(
        self, frames: Array, now: int, elsewhere: Elsewhere, rng: np.random.Generator
    ) -> Array:
        """(N, 2, 3) of both hands in `frames` (N,), off their way at `now`."""
        found = np.empty((len(frames), len(SIDES), 3))
        for hand in range(len(SIDES)):
            events = sorted(self._events(hand, elsewhere), key=lambda event: event[0])
            times, values = _way(events)
            for axis in range(3):
                found[:, hand, axis] = np.interp(frames, times, values[:, axis])
            off, back = _astray([*self._grips[hand], *(time for time, _ in events)], now, rng)
            found[:, hand] += ((back - frames) / (back - now)).clip(0.0, 1.0)[:, None] * off
        return found

    def _events(self, hand: int, elsewhere: Elsewhere) -> list[tuple[int, Array]]:
        """When it takes and leaves things, and by how much that is elsewhere."""
        events = []
        for thing, carries in self.carries.items():
            for carry in carries:
                if carry.hand == hand:
                    events.append((carry.begin, self._at_rest(thing, carry.begin, elsewhere)))
                    slipped = self._slipped(carry.end, elsewhere).get(thing)
                    back = np.zeros(3) if slipped is None else slipped[0]
                    events.append((carry.end, self._left(carry, elsewhere) - back))
        taken = [time for time, _ in events]
        for time in self._grips[hand]:  # of what stands fast, as a handle, or of what slipped
            if all(abs(time - other) > _GRIPPING for other in taken):
                events.append((time, self._beside(hand, time, elsewhere)))
        return events

    def _beside(self, hand: int, frame: int, elsewhere: Elsewhere) -> Array:
        """By how much a thing at that hand is elsewhere; where there is none, nothing is."""
        seen = self._frames[frame]
        place = self._kinematics.forward(seen.state[:14])[SIDES[hand]][:2, 3]
        away = {t: np.linalg.norm(self._position(frame, t)[:2] - place) for t in self._things}
        thing = min(away, key=lambda t: away[t])
        return self._at_rest(thing, frame, elsewhere) if away[thing] < _BESIDE else np.zeros(3)

    def _left(self, carry: Carry, elsewhere: Elsewhere) -> Array:
        """By how much what was carried is elsewhere afterwards: as what it was put onto."""
        on = carry.onto
        return np.zeros(3) if on is None else self._at_rest(on, carry.end, elsewhere)

    def _at_rest(self, thing: str, frame: int, elsewhere: Elsewhere) -> Array:
        before = [carry for carry in self.carries[thing] if carry.end < frame]
        return (
            self._left(before[-1], elsewhere) if before else elsewhere.offsets[self._group[thing]]
        )

    def _offsets(self, frame: int, elsewhere: Elsewhere, of_hands: Array) -> dict[str, Array]:
        offsets = {t: self._offset(t, frame, elsewhere, of_hands) for t in self._things}
        slipped = self._slipped(frame, elsewhere)
        return offsets | {t: offsets[t] + off for t, (off, _) in slipped.items()}

    def _offset(self, thing: str, frame: int, elsewhere: Elsewhere, of_hands: Array) -> Array:
        for carry in self.carries[thing]:
            if carry.begin <= frame <= carry.end:
                held: Array = of_hands[carry.hand]
                return held
        return self._at_rest(thing, frame, elsewhere)

    def _apart(self, frame: int, offsets: Mapping[str, Array]) -> bool:
        """Whether no two things that stand have come too near to each other."""
        standing = [
            thing
            for thing, carries in self.carries.items()
            if not any(carry.begin - 2 <= frame <= carry.end + 2 for carry in carries)
        ]
        for number, one in enumerate(standing):
            for other in standing[:number]:
                between = (self._position(frame, one) - self._position(frame, other))[:2]
                moved = between + (offsets[one] - offsets[other])[:2]
                least = min(float(np.linalg.norm(between)), _APART) - 0.003
                if np.linalg.norm(moved) < least:
                    return False
        return True


def _pose(position: Array, quaternion: Array) -> Array:
    pose, turn = np.eye(4), np.empty(9)
    mujoco.mju_quat2Mat(turn, quaternion)
    pose[:3, :3], pose[:3, 3] = turn.reshape(3, 3), position
    return pose


def _way(events: Sequence[tuple[int, Array]]) -> tuple[Array, Array]:
    """Frames (N,) and offsets (N, 3) of a hand, between which it goes straight."""
    times, values = [], []
    if not events or events[0][0] > _BEFORE + 2:
        times, values = [0.0], [np.zeros(3)]
    for time, offset in events:
        begin = max(time - _BEFORE, times[-1] + 1) if times else float(time - _BEFORE)
        times += [begin, max(time + _AFTER, begin + 0.5)]
        values += [offset, offset]
    times.append(times[-1] + _RETREAT)
    return np.array(times), np.array([*values, np.zeros(3)])


def _astray(events: Sequence[int], now: int, rng: np.random.Generator) -> tuple[Array, float]:
    """How far (3,) [m] a hand is off its way, and the frame in which it is on it again."""
    since = now - max((time for time in events if time < now), default=-np.inf) - _AFTER
    until = min((time for time in events if time >= now), default=np.inf) - _FINE - now
    frames = min(_BACK_IN, until)
    most = min(_ASTRAY, _ASTRAY_PER_FRAME * min(since, frames))
    if most <= 0.0 or rng.uniform() < _ON_THE_WAY:
        return np.zeros(3), now + 1.0
    off: Array = rng.uniform(-most, most, 3) * (1.0, 1.0, 0.4)
    return off, now + frames
