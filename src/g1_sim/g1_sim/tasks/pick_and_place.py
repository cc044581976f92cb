"""A can stands on the table; it goes onto the plate."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, product

import mujoco
import numpy as np
from numpy.typing import NDArray

from g1_description.kinematics import Side
from g1_sim import grasps, scenery
from g1_sim.grasps import OPEN
from g1_sim.scene import Scene
from g1_sim.scenery import TABLE_TOP
from g1_sim.tasks import SimTask
from g1_sim.waypoints import (
    HANDS,
    Plan,
    Waypoint,
    direction,
    hand_pose,
    put,
    reach,
    take,
)

_RADIUS, _HEIGHT = 0.024, 0.10
_PLATE_INSIDE, _PLATE_FLOOR, _PLATE_HEIGHT = 0.07, 0.008, 0.016
_PLATE_COLOUR = (0.10, 0.30, 0.85, 1.0)
_GREEN = (0.15, 0.55, 0.20)
_BYSTANDERS = ('bystander_0', 'bystander_1')
_LABEL_COLOUR = (0.95, 0.95, 0.95, 1.0)

_GRASP = 0.074  # above the can's foot [m]
_CLOSED = 0.012  # [m a finger]
_REACH = 0.405  # from the shoulder, to put the can down [m]


class Task(SimTask):
    own_variants: tuple[str, ...] = ('object', 'number')  # a green mug; two bystanders
    #: How high the can's foot is carried [m], the first that is in reach.
    carried: tuple[float, ...] = (0.06,)

    def build(self, spec: mujoco.MjSpec) -> None:
        scenery.add_room(spec)
        scenery.add_container(
            scenery.add_body(spec, 'plate'),
            'plate',
            inside=_PLATE_INSIDE,
            wall=0.008,
            floor=_PLATE_FLOOR,
            height=_PLATE_HEIGHT,
            mass=0.4,
            colour=_PLATE_COLOUR,
            segments=16,
        )
        self.add_can(spec, 'object', 'can', 0.027 if self.variant == 'object' else _RADIUS)
        for name in _BYSTANDERS if self.variant == 'number' else ():
            self._add_bystander(spec, name)

    def add_can(self, spec: mujoco.MjSpec, body: str, name: str, radius: float = _RADIUS) -> None:
        """A can of that name, its origin at the centre of its foot; its geom is painted later."""
        can, half = scenery.add_body(spec, body), _HEIGHT / 2
        cylinder, box = mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_BOX
        scenery.add_solid(
            can,
            name,
            cylinder,
            (radius, half),
            (0, 0, half),
            _PLATE_COLOUR,
            mass=0.12,
            rolling=0.001,
        )
        for part, size, place in (
            ('label', (0.004, 0.008, 0.035), (radius - 0.002, 0.0, half)),
            ('lid', (radius - 0.004, 0.004, 0.001), (0.0, 0.0, _HEIGHT)),
        ):
            scenery.add_decoration(can, f'{name}_{part}', box, size, place, _LABEL_COLOUR)

    def _add_bystander(self, spec: mujoco.MjSpec, name: str) -> None:
        body, half = scenery.add_body(spec, name), 0.022
        colour = (0.35, 0.30, 0.45, 1.0)
        box = mujoco.mjtGeom.mjGEOM_BOX
        scenery.add_solid(body, name, box, (half,) * 3, (0, 0, half), colour, mass=0.1)

    def arrange(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        can, plate = scenery.sample_pair(
            rng,
            np.array([[0.285, -0.185], [0.445, -0.025]]),
            np.array([[0.28, -0.06], [0.44, 0.10]]),
            apart=0.12,
            reach=0.435,
        )
        scenery.place(model, data, 'plate', (*plate, TABLE_TOP))
        scenery.place(model, data, 'object', (*can, TABLE_TOP), rng.uniform(-np.pi, np.pi))
        colour = scenery.warm_colour(rng)
        scenery.paint(model, ('can',), _GREEN if self.variant == 'object' else colour)
        for name in _BYSTANDERS if self.variant == 'number' else ():
            scenery.place(
                model, data, name, (*_beside(rng, can, plate), TABLE_TOP), rng.uniform(0, 3)
            )

    def success(self, scene: Scene) -> bool:
        offset = scene.position('object') - scene.position('plate')
        return bool(
            np.linalg.norm(offset[:2]) < _PLATE_INSIDE
            and scene.touching('object', 'plate')
            and not scene.touching('object', 'world')
            and scene.settled('object')
            and not scene.held('object')
        )

    def plan(self, scene: Scene) -> Iterator[Plan]:
        grasps.refuse_lost(scene, 'object', 'plate')
        can = scene.pose('object')
        holder = scene.holder('object')
        if holder:
            grasp, plate = scene.hand(holder), scene.position('plate')
            parked = grasps.park(scene, grasps.other(holder))
            yield from self._put(scene, holder, grasp, can, parked)
            drop = scene.underside('object') - TABLE_TOP
            yield from grasps.bring_nearer(holder, grasp, parked, OPEN, _CLOSED, [plate], drop)
            return
        for hand in HANDS:
            if scene.upright('object', 0.5):
                candidates = grasps.standing(hand, can[:3, 3] + _GRASP * can[:3, 2])
            else:
                candidates = chain.from_iterable(
                    grasps.lying(hand, can[:3, 3] + share * _HEIGHT * can[:3, 2], can[:3, 2])
                    for share in (0.5, 0.3, 0.7)
                )
            start = grasps.alone(scene, hand)
            starts = [
                (grasp, [*start, *take(grasp, OPEN, _CLOSED, hand=hand, back=0.045, up=0.06)])
                for grasp in candidates
            ]
            for grasp, taken in starts:
                yield from self._put(scene, hand, grasp, can, taken)
            for grasp, taken in starts:
                yield from grasps.bring_nearer(
                    hand, grasp, taken, OPEN, _CLOSED, [scene.position('plate')]
                )

    def _put(
        self,
        scene: Scene,
        hand: Side,
        grasp: NDArray[np.float64],
        can: NDArray[np.float64],
        start: list[Waypoint],
    ) -> Iterator[Plan]:
        """grasp: of the hand that then holds the can, which is at `can` (4, 4) as it is taken."""
        grip = np.linalg.inv(grasp) @ can
        plate = scene.position('plate')
        # A little before the plate's centre, more where that is far: easier to reach.
        back = max(0.015, reach(hand, plate) - _REACH)
        nearer = hand_pose(plate, 0.0, direction(hand, plate))
        nearer = (nearer[:3, 3] - back * nearer[:3, 0])[:2]
        for goal in (grasps.upright(can), grasps.flat(can)):
            lies = goal[2, 2] < 0.5
            if lies and can[2, 2] > 0.9:
                return
            goal[:2, 3] = nearer - (0.5 * _HEIGHT * goal[:2, 2] if lies else 0.0)
            goal[2, 3] = TABLE_TOP + _PLATE_FLOOR + 0.004 + (_RADIUS if lies else 0.0)
            for foot, back, off in product(self.carried, (0.0, 0.07), (0.0, 0.4, -0.4, 0.8, -0.8)):
                hand_goal = grasps.carried(hand, grip, goal, off)
                yield [
                    *start,
                    grasps.lift(hand, grasp, _GRASP + foot, _CLOSED, back),
                    *put(
                        hand_goal,
                        OPEN,
                        _CLOSED,
                        hand=hand,
                        above=0.052,
                        back=0.045,
                        up=0.06,
                        straight=False,
                    ),
                ]


def _beside(
    rng: np.random.Generator, can: NDArray[np.float64], plate: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A place (x, y) [m] behind the work: the hand does not come there."""
    while True:
        place = rng.uniform((0.46, -0.25), (0.60, 0.25))
        if min(np.linalg.norm(place - can), np.linalg.norm(place - plate)) > 0.13:
            return place
