"""A flower stands loosely in a low stand; its stem goes into the vase."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, product

import mujoco
import numpy as np
from numpy.typing import NDArray

from g1_description.kinematics import Side
from g1_sim import grasps, scenery
from g1_sim.scene import Scene
from g1_sim.scenery import TABLE_TOP
from g1_sim.tasks import SimTask
from g1_sim.waypoints import HANDS, LostError, Plan, Waypoint, moved, put, take

_STEM_RADIUS, _STEM_LENGTH = 0.007, 0.17
_HEAD = 0.028  # radius
_STAND_FLOOR, _STAND_HEIGHT = 0.006, 0.045
_VASE_INSIDE, _VASE_FLOOR, _VASE_HEIGHT = 0.032, 0.008, 0.09
_VASE_COLOUR = (0.10, 0.30, 0.85, 1.0)
_METAL = (0.78, 0.80, 0.82, 1.0)
_STAND_COLOUR = (0.15, 0.15, 0.16, 1.0)
_STEM_COLOUR = (0.10, 0.55, 0.15, 1.0)
_HEART_COLOUR = (0.25, 0.12, 0.05, 1.0)
_HEAD_PARTS = ('flower_head', *(f'petal_{i}' for i in range(6)))

_GRASP = 0.085  # along the stem from its tip, clear of stand and vase [m]
# where it lies: clear of the table, as its head is thick [m]
_LYING_GRASPS = (0.11, 0.085, 0.13, 0.06, 0.03)
_OPEN, _CLOSED = 0.030, 0.0  # [m a finger]
_LEANING = 0.87  # how far the stem points up at least where the flower goes in as it leans
_ABOVE = 0.075  # [m] that it is carried over where it goes


class Task(SimTask):
    object = 'flower'
    own_variants = ('category',)  # a tulip, and a higher vase of metal

    def __init__(self, variant: str = '') -> None:
        super().__init__(variant)
        self._vase_height = _VASE_HEIGHT * (1.15 if variant == 'category' else 1.0)

    def build(self, spec: mujoco.MjSpec) -> None:
        scenery.add_room(spec)
        scenery.add_container(
            scenery.add_body(spec, 'vase'),
            'vase',
            inside=_VASE_INSIDE,
            wall=0.006,
            floor=_VASE_FLOOR,
            height=self._vase_height,
            mass=0.5,
            colour=_METAL if self.variant == 'category' else _VASE_COLOUR,
        )
        scenery.add_container(
            scenery.add_body(spec, 'stand'),
            'stand',
            inside=_STEM_RADIUS + 0.003,
            wall=0.008,
            floor=_STAND_FLOOR,
            height=_STAND_HEIGHT,
            mass=0.4,
            colour=_STAND_COLOUR,
            segments=8,
        )
        # The flower's origin is the tip of its stem, z points to its head.
        flower = scenery.add_body(spec, 'flower')
        half = _STEM_LENGTH / 2
        scenery.add_solid(
            flower,
            'stem',
            mujoco.mjtGeom.mjGEOM_CYLINDER,
            (_STEM_RADIUS, half),
            (0, 0, half),
            _STEM_COLOUR,
            mass=0.03,
        )
        sphere, top = mujoco.mjtGeom.mjGEOM_ELLIPSOID, _STEM_LENGTH + 0.01
        scenery.add_solid(
            flower,
            'flower_head',
            sphere,
            (_HEAD, _HEAD, 0.02),
            (0, 0, top),
            _VASE_COLOUR,
            mass=0.01,
            rolling=0.001,
        )
        scenery.add_decoration(
            flower, 'heart', sphere, (0.014, 0.014, 0.012), (0, 0, top + 0.012), _HEART_COLOUR
        )
        petal = (0.008, 0.013, 0.03) if self.variant == 'category' else (0.02, 0.013, 0.006)
        tulip = self.variant == 'category'
        for index, angle in enumerate(np.arange(6) * np.pi / 3):
            out, up = (0.014, 0.018) if tulip else (0.028, 0.002)
            place = (out * np.cos(angle), out * np.sin(angle), top + up)
            scenery.add_decoration(
                flower, f'petal_{index}', sphere, petal, place, _VASE_COLOUR, angle
            )

    def arrange(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        flower, vase = scenery.sample_pair(
            rng,
            np.array([[0.285, -0.185], [0.445, -0.025]]),
            np.array([[0.28, -0.06], [0.44, 0.10]]),
            apart=0.115,
            reach=0.43,
        )
        scenery.place(model, data, 'vase', (*vase, TABLE_TOP))
        scenery.place(model, data, 'stand', (*flower, TABLE_TOP))
        ground = TABLE_TOP + _STAND_FLOOR
        scenery.place(model, data, 'flower', (*flower, ground), rng.uniform(-np.pi, np.pi))
        scenery.paint(model, _HEAD_PARTS, scenery.warm_colour(rng))

    def success(self, scene: Scene) -> bool:
        tip = scene.seen_from('vase', 'flower')
        inside = np.linalg.norm(tip[:2]) < _VASE_INSIDE and 0.0 < tip[2] < self._vase_height - 0.02
        return bool(
            inside
            and scene.axis('vase')[2] > 0.95  # stands upright
            and scene.settled('flower')
            and not scene.held('flower')
        )

    def plan(self, scene: Scene) -> Iterator[Plan]:
        grasps.refuse_lost(scene, 'vase')
        grasps.refuse_lost(scene, 'flower', along=_LYING_GRASPS)
        if not scene.upright('vase', 0.5):
            raise LostError('the vase lies on the table, as wide as a hand opens')
        flower = scene.pose('flower')
        holder = scene.holder('flower')
        stood = [scene.position(body) for body in ('vase', 'stand')]
        if holder:
            grasp, parked = scene.hand(holder), grasps.park(scene, grasps.other(holder))
            yield from self._put(scene, holder, grasp, flower, parked)
            drop = scene.underside('flower') - TABLE_TOP
            yield from grasps.bring_nearer(holder, grasp, parked, _OPEN, _CLOSED, stood, drop)
            return
        stem = flower[:3, 2]
        for hand in HANDS:
            if stem[2] > 0.8:
                candidates = grasps.standing(hand, flower[:3, 3] + _GRASP * stem)
            else:
                candidates = chain.from_iterable(
                    grasps.lying(hand, flower[:3, 3] + along * stem, stem)
                    for along in _LYING_GRASPS
                )
            start = grasps.alone(scene, hand)
            starts = [
                (grasp, [*start, *take(grasp, _OPEN, _CLOSED, hand=hand, way=moved)])
                for grasp in candidates
            ]
            for grasp, taken in starts:
                yield from self._put(scene, hand, grasp, flower, taken)
            yield from grasps.in_turn(
                grasps.bring_nearer(hand, grasp, taken, _OPEN, _CLOSED, stood)
                for grasp, taken in starts
            )

    def _put(
        self,
        scene: Scene,
        hand: Side,
        grasp: NDArray[np.float64],
        flower: NDArray[np.float64],
        start: list[Waypoint],
    ) -> Iterator[Plan]:
        """grasp: of the hand that then holds the flower, which is at `flower` (4, 4) by then."""
        grip = np.linalg.inv(grasp) @ flower
        leans = [grasps.upright(flower), *([flower.copy()] if flower[2, 2] > _LEANING else [])]
        for goal in leans:
            goal[:2, 3] = scene.position('vase')[:2]
            goal[2, 3] = TABLE_TOP + self._vase_height - 0.045
        ways = product((0.0, 0.07), leans, (_ABOVE, 0.055), (0.0, 0.4, -0.4, 0.8, -0.8))
        for back, goal, above, off in ways:
            hand_goal = grasps.carried(hand, grip, goal, off)
            yield [
                *start,
                grasps.lift(hand, grasp, hand_goal[2, 3] + above - TABLE_TOP, _CLOSED, back),
                *put(hand_goal, _OPEN, _CLOSED, hand=hand, above=above, way=moved, straight=False),
            ]
