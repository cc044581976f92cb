"""Three cups stand apart; they go into one another, to one upright stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import mujoco
import numpy as np
from numpy.typing import NDArray

from g1_description.kinematics import Side
from g1_sim import grasps, scenery
from g1_sim.grasps import OPEN
from g1_sim.scene import Scene
from g1_sim.scenery import TABLE_TOP
from g1_sim.tasks import SimTask
from g1_sim.waypoints import Meeting, Plan, Waypoint, moved, put, take

_FOOT, _RIM, _HEIGHT, _WALL = 0.021, 0.033, 0.085, 0.002  # radii outside, height, thickness [m]
_STEP = 0.035  # a nested cup stands this much above the one it is in [m]
_SEGMENTS = 10
_GRASP = 0.070  # above a cup's foot: over the rim of the one it goes into [m]
_CLOSED = 0.022  # [m a finger]
_MIDDLE, _FOOT_GRASP, _EDGE = 0.05, 0.035, 0.018  # of what lies, as its rim may be out of reach
_ABOVE_AXIS = 0.02  # [m] that it is taken above its middle at most
_FOOT_OPEN, _FOOT_CLOSED = 0.034, 0.018
_TILTS = tuple(np.radians((20, 12, 28)))
_STANDING_TILTS = tuple(np.radians((20, 35, 8, 50)))
_LYING_TILTS = tuple(np.radians((40, 55, 28, 68, 80, 92)))
_METAL = (0.78, 0.80, 0.82)
_ABOVE = 0.085  # [m] that a cup is carried over the one that it goes into

Array = NDArray[np.float64]


class Task(SimTask):
    object = 'cup_1'
    time_limit = 25.0
    stages = ('begun', 'touched', 'lifted', 'two nested', 'done')
    own_variants = ('category', 'number')  # taller cups of glass and metal; four cups

    def __init__(self, variant: str = '') -> None:
        super().__init__(variant)
        self.cups = tuple(f'cup_{i}' for i in range(4 if variant == 'number' else 3))
        if variant == 'number':
            self.time_limit = 50.0
        self._height = _HEIGHT * (1.12 if variant == 'category' else 1.0)
        self._alpha = 0.5 if variant == 'category' else 1.0

    def build(self, spec: mujoco.MjSpec) -> None:
        scenery.add_room(spec)
        for cup in self.cups:
            self._add_cup(spec, cup)

    def _add_cup(self, spec: mujoco.MjSpec, name: str) -> None:
        """Solid up to where a nested cup's foot stands, and a leaning wall of boxes around."""
        body, colour = scenery.add_body(spec, name), (0.9, 0.2, 0.2, self._alpha)
        height = self._height
        inner = _FOOT + (_RIM - _FOOT) * _STEP / height - _WALL
        profile = [
            (0.001, 0.001),
            (_FOOT, 0.0),
            (_RIM, height),
            (_RIM + 0.001, height - 0.002),
            (_RIM - _WALL, height),
            (inner, _STEP),
            (0.001, _STEP),
        ]
        scenery.add_turned(spec, body, name, profile, colour)
        scenery.add_solid(
            body,
            f'{name}_foot',
            mujoco.mjtGeom.mjGEOM_CYLINDER,
            (_FOOT, _STEP / 2),
            (0, 0, _STEP / 2),
            colour,
            mass=0.05,
            hidden=True,
        )
        lean = float(np.arctan2(_RIM - _FOOT, height))
        width = _RIM * np.tan(np.pi / _SEGMENTS)
        for index in range(_SEGMENTS):
            angle = 2 * np.pi * index / _SEGMENTS
            radius = (_RIM + _FOOT) / 2 - _WALL / 2
            scenery.add_solid(
                body,
                f'{name}_wall_{index}',
                mujoco.mjtGeom.mjGEOM_BOX,
                (_WALL / 2, width, height / 2 / np.cos(lean)),
                (radius * np.cos(angle), radius * np.sin(angle), height / 2),
                colour,
                mass=0.002,
                yaw=angle,
                lean=lean,
                hidden=True,
            )

    def arrange(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        boxes = [
            ((0.30, -0.05), (0.40, 0.05)),
            ((0.30, -0.22), (0.44, -0.09)),
            ((0.30, 0.09), (0.44, 0.22)),
        ]
        hands: tuple[Side, ...] = ('right', 'right', 'left')
        if len(self.cups) > len(boxes):  # two of them on the left
            boxes, hands = [*boxes, boxes[-1]], (*hands, 'left')
        apart = 0.125 if len(self.cups) == 3 else 0.118
        places = scenery.sample_apart(rng, boxes, hands, apart=apart, reach=0.42)
        for cup, place in zip(self.cups, places, strict=True):
            scenery.place(model, data, cup, (*place, TABLE_TOP), rng.uniform(-np.pi, np.pi))
            colour = scenery.any_colour(rng) if self.variant != 'category' else _METAL
            scenery.paint(model, (cup,), colour)

    def success(self, scene: Scene) -> bool:
        return len(self._stack(scene)) == len(self.cups) and all(
            scene.settled(cup) and not scene.held(cup) and scene.upright(cup, 0.15)
            for cup in self.cups
        )

    def progress(self, scene: Scene) -> str:
        if self.success(scene):
            return 'done'
        if len(self._stack(scene)) > 1:
            return 'two nested'
        if any(scene.lifted(cup) for cup in self.cups):
            return 'lifted'
        return 'touched' if any(scene.held(cup) for cup in self.cups) else 'begun'

    def plan(self, scene: Scene) -> Iterator[Plan]:
        grasps.refuse_lost(scene, *self.cups, along=(_EDGE, _GRASP))
        stack = self._stack(scene)
        rest = [cup for cup in self.cups if cup not in stack]
        # What is in a hand first, then what stands, the right hand's before the left one's, and of
        # each hand's the nearest: it is in the way to the others.
        rest.sort(
            key=lambda cup: (
                scene.holder(cup) is None,
                not scene.upright(cup),
                scene.position(cup)[1] >= 0.0,
                np.linalg.norm(scene.position(cup) - grasps.home(self._hand(scene, cup))[:3, 3]),
            )
        )
        if stack and all(scene.upright(cup) for cup in rest):
            yield from self._all(scene, stack, rest)
        for cup in rest:
            yield from self._one(scene, stack, cup)

    def _all(self, scene: Scene, stack: Sequence[str], rest: Sequence[str]) -> Iterator[Plan]:
        """Both hands at once, else one after the other; hands by the side, else the other ones."""
        base = scene.position(stack[0])
        for swap, tilt, at_once in product((False, True), _TILTS, (True, False)):
            plan: list[Waypoint | Meeting] = []
            hands = [self._hand(scene, cup, swap) for cup in rest]
            for index, (cup, hand) in enumerate(zip(rest, hands, strict=True)):
                if not at_once:
                    plan.append(Meeting())
                if hand not in hands[:index] and scene.holder(cup) is None:
                    plan += grasps.clear(scene, hand)
                height = _STEP * (len(stack) + index)
                goal = np.array((*base[:2], base[2] + height + 0.004))
                plan += self._move(scene, cup, hand, goal, tilt, index)
            yield plan

    def _one(self, scene: Scene, stack: Sequence[str], cup: str) -> Iterator[Plan]:
        """A single cup, however it lies: onto the stack, else upright, else nearer or turned."""
        pose, holder = scene.pose(cup), scene.holder(cup)
        by_side = self._hand(scene, cup)
        hands = (holder,) if holder else (by_side, grasps.other(by_side))
        if stack:
            x, y, z = scene.position(stack[0])
            top = [np.array((x, y, z + _STEP * len(stack) + 0.004))]
            for hand in hands:
                starts = self._taken(scene, cup, hand, (_GRASP,))
                yield from self._stand(scene, pose, hand, starts, top)
        for hand in hands if not stack or not scene.upright(cup, 0.3) else ():
            starts = self._taken(scene, cup, hand, (_GRASP, _MIDDLE))
            yield from self._stand(scene, pose, hand, starts, self._spots(scene, cup, hand))
        others = [scene.position(other) for other in self.cups if other != cup]
        for hand in hands:
            starts = self._taken(scene, cup, hand, (_GRASP, _FOOT_GRASP, _EDGE))
            parked = grasps.park(scene, grasps.other(hand))
            yield from grasps.in_turn(
                grasps.bring_nearer(hand, grasp, [*parked, *start], OPEN, _FOOT_CLOSED, others)
                for grasp, start in starts
            )

    def _taken(
        self, scene: Scene, cup: str, hand: Side, heights: Sequence[float]
    ) -> list[tuple[Array, list[Waypoint]]]:
        """Grasps (4, 4) of a cup at heights over its foot [m], each with the way there."""
        if scene.holder(cup):
            return [(scene.hand(hand), [])]
        pose, found = scene.pose(cup), []
        for height in heights:
            point = pose[:3, 3] + height * pose[:3, 2]
            candidates = (
                grasps.standing(hand, point, _STANDING_TILTS)
                if scene.upright(cup, 0.5)
                else grasps.lying(hand, point, pose[:3, 2], _LYING_TILTS, _ABOVE_AXIS)
            )
            closed = _CLOSED if height == _GRASP else _FOOT_CLOSED
            opened = OPEN if height == _GRASP else _FOOT_OPEN
            for grasp in candidates:
                taken = take(grasp, opened, closed, hand=hand, back=0.03, up=0.06)
                found.append((grasp, [*grasps.clear(scene, hand), *taken]))
        return found

    def _stand(
        self,
        scene: Scene,
        pose: Array,
        hand: Side,
        starts: Sequence[tuple[Array, list[Waypoint]]],
        goals: Sequence[Array],
    ) -> Iterator[Plan]:
        """The cup at `pose` (4, 4), taken in one of many ways, upright to one of `goals` (3,)."""
        offs, highs = (0.0, 0.4, -0.4, 0.8, -0.8), (True, False)
        for goal, off, (grasp, start), high in product(goals, offs, starts, highs):
            aim = grasps.upright(pose)
            aim[:3, 3] = goal
            over = grasps.carried(hand, np.linalg.inv(grasp) @ pose, aim, off)
            closed = start[-1].gripper if start else _CLOSED
            height = over[2, 3] + _ABOVE - TABLE_TOP if high else _GRASP + 0.04
            yield [
                *grasps.park(scene, grasps.other(hand)),
                *start,
                grasps.lift(hand, grasp, height, closed),
                *put(
                    over,
                    OPEN,
                    closed,
                    hand=hand,
                    above=_ABOVE,
                    back=0.06,
                    up=0.03,
                    straight=False,
                ),
                *grasps.leave(hand, over),
            ]

    def _spots(self, scene: Scene, cup: str, hand: Side) -> list[Array]:
        """Free places (3,) on the table for a cup's foot, the freest first."""
        others = [scene.position(other)[:2] for other in self.cups if other != cup]
        outward = 1.0 if hand == 'left' else -1.0
        spots = [np.array((x, outward * y)) for x in (0.34, 0.30, 0.38) for y in (0.02, 0.1, 0.18)]
        spots.sort(key=lambda spot: -min(float(np.linalg.norm(spot - o)) for o in others))
        return [np.array((*spot, TABLE_TOP + 0.004)) for spot in spots[:4]]

    def _hand(self, scene: Scene, cup: str, swap: bool = False) -> Side:
        holder = scene.holder(cup)
        if holder:
            return holder
        right = scene.position(cup)[1] < 0.0
        return 'right' if right != swap else 'left'

    def _move(
        self, scene: Scene, cup: str, hand: Side, goal: Array, tilt: float, index: int
    ) -> list[Waypoint | Meeting]:
        """One cup onto the stack; the other hand is out of the way by then."""
        pose = scene.pose(cup)
        if scene.holder(cup) == hand:
            grasp, taken = scene.hand(hand), []
        else:
            point = pose[:3, 3] + _GRASP * pose[:3, 2]
            grasp = next(grasps.standing(hand, point, (tilt,)))
            taken = take(grasp, OPEN, _CLOSED, hand=hand, back=0.06, up=0.03)
        aim = grasps.upright(pose)
        aim[:3, 3] = goal
        over = grasps.carried(hand, np.linalg.inv(grasp) @ pose, aim)
        parked = grasps.park(scene, grasps.other(hand)) if index == 0 else []
        release = put(over, OPEN, _CLOSED, hand=hand, above=_ABOVE, back=0.06, up=0.03)
        assert release[-1].pose is not None
        return [
            *taken,
            grasps.lift(hand, grasp, over[2, 3] + _ABOVE - TABLE_TOP, _CLOSED),
            *parked,
            Meeting(),
            *release,
            Waypoint(moved(release[-1].pose, up=0.08), OPEN, 0.7, True, hand),
            Waypoint(grasps.home(hand), OPEN, 1.5, hand=hand),
        ]

    def _stack(self, scene: Scene) -> Sequence[str]:
        """The longest stack, from its foot; of several the one nearest to the middle, if any."""
        best: list[str] = []
        for foot in sorted(self.cups, key=lambda cup: abs(scene.position(cup)[1])):
            if scene.position(foot)[2] > TABLE_TOP + 0.012 or not scene.upright(foot, 0.5):
                continue
            if scene.holder(foot):
                continue
            stack = [foot]
            while above := [cup for cup in self.cups if _nested(scene, stack[-1], cup)]:
                stack.append(above[0])
            if len(stack) > len(best):
                best = stack
        return best


def _nested(scene: Scene, lower: str, upper: str) -> bool:
    if lower == upper or scene.held(upper):
        return False
    x, y, z = scene.seen_from(lower, upper)
    return bool(np.hypot(x, y) < 0.007 and abs(z - _STEP) < 0.008)
