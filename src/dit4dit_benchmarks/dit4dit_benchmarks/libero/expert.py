"""A scripted expert for those of LIBERO's tasks in which one thing is put onto or into another.

It is told where things are and sees no picture. numpy alone. Positions are in the world [m]; states
and actions are as in `protocol`, the gripper as a policy gives it: 1 open, 0 shut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Entry = TypeVar('Entry')

#: What the controller takes an action of 1 for.
_METRES, _RADIANS = 0.05, 0.5
#: Actions for what is missing: it goes at full speed until shortly before it is there.
_GAIN, _TURN_GAIN, _FASTEST_TURN = 1.5 / _METRES, 1.2 / _RADIANS, 0.3
#: [m] from the grasp, sideways and in height, where the fingers shut; and the same for letting go.
_AT_GRASP, _AT_PLACE = (0.012, 0.010), (0.015, 0.015)
_SLOPE = 1.5  # of the way down to a grasp
_DROP = 0.02  # [m] above where it would lie a thing is let go
_LOST = 0.04  # [m] that a thing slips in the hand before it is grasped anew
_SHUT_STEPS = 4  # at least, before fingers that stand still hold something
_STANDING = 0.001  # [m] a step


@dataclass(frozen=True)
class _Place:
    """clearance [m]: of the hand on its way, over where it lets go. slope: of its way down."""

    clearance: float
    slope: float


#: Where the fingers, which open along y, shut: from the thing's own position [m]. By names in
#: LIBERO's scenes, less their numbers.
_GRASPS = {
    'akita_black_bowl': (0.0, -0.05, 0.03),  # its rim
    'butter': (0.0, 0.0, 0.008),
    'chocolate_pudding': (0.0, 0.0, 0.006),
    'cream_cheese': (0.0, 0.0, 0.010),
}
_PLACES = {'plate': _Place(0.1, 1.5), 'basket': _Place(0.2, 4.0)}  # not through its wall


class PickAndPlaceExpert:
    """One attempt: over the thing and down, shut, up and over the place, down, open.

    No two attempts are alike: height of the way and grasp are drawn within a few millimetres.
    """

    def __init__(self, thing: str, place: str, rng: np.random.Generator) -> None:
        """ValueError where it cannot grasp such a thing or does not know such a place."""
        self._thing, self._place = thing, place
        offset = np.array(_known(_GRASPS, thing))
        self._grasp = offset + rng.normal(0, 0.003, 3).clip(-0.005, 0.005)
        self._approach = rng.uniform(0.07, 0.11)
        known = _known(_PLACES, place)
        self._clearance, self._slope = known.clearance + rng.uniform(0.0, 0.03), known.slope
        self._phase: Literal['reach', 'shut', 'carry', 'release'] = 'reach'
        self._steps = 0  # in this phase
        self._gap = 0.0  # between the fingers, a step ago
        self._held = np.zeros(3)  # from the thing to the hand

    @property
    def grasping(self) -> bool:
        """Whether the fingers are shutting: this is no time to push the arm."""
        return self._phase == 'shut'

    def act(self, state: Array, scene: Mapping[str, Array]) -> Array:
        """(7,) action for a state (8,), with things where the scene says."""
        hand, gap = state[:3], float(state[6] - state[7])
        grasp = scene[self._thing] + self._grasp
        release = scene[self._place] + self._held + (0.0, 0.0, _DROP)
        self._change_phase(hand, gap, grasp, release, scene[self._thing])
        self._gap = gap
        match self._phase:
            case 'reach':
                target = _over(grasp, hand, self._approach, _SLOPE)
            case 'shut':
                target = grasp
            case 'carry':
                target = _over(release, hand, self._clearance, self._slope)
                target[:2] = hand[:2] + _ahead(target - hand) * (target - hand)[:2]
            case 'release':
                target = hand
        move = _GAIN * (target - hand)
        move /= max(1.0, np.abs(move).max())
        is_open = self._phase in ('reach', 'release')
        return np.array([*move, *_upright(state[3:6]), float(is_open)])

    def _change_phase(
        self, hand: Array, gap: float, grasp: Array, release: Array, thing: Array
    ) -> None:
        before = self._phase
        if before == 'reach' and _near(grasp - hand, _AT_GRASP):
            self._phase = 'shut'
        elif before == 'shut' and self._steps > _SHUT_STEPS and self._gap - gap < _STANDING:
            self._phase, self._held = 'carry', hand - thing
        elif before == 'carry' and np.linalg.norm(hand - thing - self._held) > _LOST:
            self._phase = 'reach'
        elif before == 'carry' and _near(release - hand, _AT_PLACE):
            self._phase = 'release'
        self._steps = self._steps + 1 if self._phase == before else 0


class Disturbance:
    """What is done beside what the expert wants, whose actions then lead back from there.

    A policy that is trained on both comes where no straight demonstration has been. After Laskey et
    al., DART: Noise Injection for Robust Imitation Learning, 2017.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._drift = np.zeros(6)
        self._push, self._left = np.zeros(3), 0

    def on(self, action: Array) -> Array:
        """(7,) the action with a slow drift on it, and now and then a push of a few steps."""
        self._drift = 0.8 * self._drift + self._rng.normal(0, [0.1] * 3 + [0.02] * 3)
        if not self._left and self._rng.random() < 0.03:
            self._left = int(self._rng.integers(3, 7))
            way = self._rng.normal(0, 1, 3)
            self._push = way / np.linalg.norm(way) * self._rng.uniform(0.5, 1.2)
        moved = action.copy()
        moved[:6] += self._drift
        if self._left:
            self._left -= 1
            moved[:3] += self._push
        moved[:6] = moved[:6].clip(-1, 1)
        return moved


def _known(table: Mapping[str, Entry], name: str) -> Entry:
    kind = name.rstrip('_0123456789')
    if kind not in table:
        raise ValueError(f'the expert knows {", ".join(table)}, got {kind}')
    return table[kind]


def _near(way: Array, within: tuple[float, float]) -> bool:
    return bool(np.linalg.norm(way[:2]) < within[0] and abs(way[2]) < within[1])


def _over(goal: Array, hand: Array, height: float, slope: float) -> Array:
    """Above the goal, the higher the further the hand is to its side: down and sideways at once."""
    away = float(np.linalg.norm((goal - hand)[:2]))
    x, y, z = goal
    return np.array([x, y, z + np.clip(slope * (away - 0.01), 0.0, height)])


def _ahead(way: Array) -> float:
    """Share of a way to the side that is gone while there is height to be gained: up first."""
    if way[2] < 0.03 or np.linalg.norm(way[:2]) < 0.03:
        return 1.0
    return float(np.clip(1.0 - way[2] / 0.1, 0.15, 1.0))


def _upright(axis_angle: Array) -> Array:
    """(3,) turn towards a hand that points straight down: half a turn about x."""
    angle = float(np.linalg.norm(axis_angle))
    x, y, z = np.sin(angle / 2) / max(angle, 1e-9) * axis_angle
    w = np.cos(angle / 2)
    # The half turn times the inverse of where the hand points: (x, w, z, -y).
    missing = 2 * np.array([w, z, -y]) * (1.0 if x >= 0 else -1.0)
    return (_TURN_GAIN * missing).clip(-_FASTEST_TURN, _FASTEST_TURN)
