"""A spoon lies on its rest; its bowl goes into the dish."""

from __future__ import annotations

from collections.abc import Iterator

import mujoco
import numpy as np
import pinocchio
from numpy.typing import NDArray

from g1_description.kinematics import Side
from g1_sim import grasps, scenery
from g1_sim.scene import Scene
from g1_sim.scenery import TABLE_TOP
from g1_sim.tasks import SimTask
from g1_sim.waypoints import HANDS, LostError, Plan, Waypoint, direction, moved, put, take

# The spoon's frame: origin at the end of its handle, x towards its bowl, z up as it lies.
_HANDLE, _BOWL = 0.135, 0.158  # length of the handle, and where the bowl's centre is [m]
_BOWL_SIZE = (0.029, 0.020, 0.007)
_METAL = (0.80, 0.81, 0.84, 1.0)
_REST_HEIGHT = 0.040  # of what the handle lies on [m]
_SUPPORTS = (0.072, 0.122)  # along the spoon [m]
_REST_COLOUR = (0.25, 0.27, 0.32, 1.0)
_DISH_INSIDE, _DISH_FLOOR, _DISH_HEIGHT, _DISH_WALL = 0.056, 0.006, 0.036, 0.005
_DISH_COLOUR = (0.95, 0.95, 0.97, 1.0)

_GRASPS = (0.024, 0.045, 0.08, 0.11)  # along the handle from its end, the best first [m]
_TILTS = tuple(np.radians((48, 58, 38)))
_CLOSED = 0.0
_DIPS = tuple(np.radians((12, 0)))  # of the bowl as it is put down
_ABOVE = 0.05
_BEYOND = 0.010  # [m] past the dish's middle goes the bowl: short of it, its handle tips it out

Array = NDArray[np.float64]


class Task(SimTask):
    object = 'spoon'

    def build(self, spec: mujoco.MjSpec) -> None:
        scenery.add_room(spec)
        self._add_spoon(spec)
        self._add_rest(spec)
        dish = scenery.add_body(spec, 'dish')
        scenery.add_container(
            dish,
            'dish',
            inside=_DISH_INSIDE,
            wall=_DISH_WALL,
            floor=_DISH_FLOOR,
            height=_DISH_HEIGHT,
            mass=0.35,
            colour=_DISH_COLOUR,
            segments=14,
            hidden=True,
        )
        outside = _DISH_INSIDE + _DISH_WALL
        profile = [
            (0.001, 0.0),
            (0.65 * outside, 0.0),
            (0.9 * outside, 0.45 * _DISH_HEIGHT),
            (outside, _DISH_HEIGHT),
            (_DISH_INSIDE, _DISH_HEIGHT),
            (0.86 * _DISH_INSIDE, 0.45 * _DISH_HEIGHT),
            (0.6 * _DISH_INSIDE, _DISH_FLOOR),
            (0.001, _DISH_FLOOR),
        ]
        scenery.add_turned(spec, dish, 'dish', profile, _DISH_COLOUR)

    def _add_spoon(self, spec: mujoco.MjSpec) -> None:
        spoon = scenery.add_body(spec, 'spoon')
        box, half = mujoco.mjtGeom.mjGEOM_BOX, _HANDLE / 2
        scenery.add_solid(
            spoon, 'handle', box, (half, 0.005, 0.004), (half, 0, 0), _METAL, mass=0.025
        )
        scenery.add_solid(
            spoon,
            'bowl',
            mujoco.mjtGeom.mjGEOM_ELLIPSOID,
            _BOWL_SIZE,
            (_BOWL, 0, 0),
            _METAL,
            mass=0.02,
        )
        scenery.add_decoration(
            spoon,
            'hollow',
            mujoco.mjtGeom.mjGEOM_ELLIPSOID,
            (0.022, 0.0145, 0.003),
            (_BOWL + 0.001, 0, 0.0048),
            (0.45, 0.46, 0.50, 1.0),
        )
        scenery.add_decoration(
            spoon, 'grip', box, (0.03, 0.0062, 0.0046), (0.032, 0, 0), (0.7, 0.1, 0.1, 1.0)
        )

    def _add_rest(self, spec: mujoco.MjSpec) -> None:
        """Two notched supports on a plate; its frame is the spoon's as it lies there."""
        rest, box = scenery.add_body(spec, 'rest'), mujoco.mjtGeom.mjGEOM_BOX
        low, middle = -_REST_HEIGHT - 0.004, sum(_SUPPORTS) / 2
        scenery.add_solid(
            rest,
            'rest',
            box,
            (0.045, 0.03, 0.004),
            (middle, 0, low + 0.004),
            _REST_COLOUR,
            mass=0.4,
        )
        for index, x in enumerate(_SUPPORTS):
            height = _REST_HEIGHT - 0.008
            scenery.add_solid(
                rest,
                f'support_{index}',
                box,
                (0.005, 0.018, height / 2),
                (x, 0, low + 0.008 + height / 2),
                _REST_COLOUR,
            )
            for side in (-1, 1):
                scenery.add_solid(
                    rest,
                    f'lug_{index}_{side}',
                    box,
                    (0.005, 0.005, 0.006),
                    (x, side * 0.013, 0.002),
                    _REST_COLOUR,
                )

    def arrange(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        while True:
            end = rng.uniform((0.265, -0.23), (0.36, -0.06))
            dish = rng.uniform((0.33, -0.06), (0.47, 0.13))
            yaw = direction('right', end) + rng.uniform(-0.35, 0.35)
            along = np.array((np.cos(yaw), np.sin(yaw)))
            tip, away = end + (_BOWL + 0.03) * along, dish - end
            aside = abs(along[0] * away[1] - along[1] * away[0])
            reaches = np.hypot(end[0], end[1] + 0.1) < 0.345
            dish_reach = np.hypot(dish[0], dish[1] + 0.1)
            if reaches and aside > 0.115 and 0.38 < dish_reach < 0.475 and tip[0] < 0.52:
                break
        table = TABLE_TOP + _REST_HEIGHT + 0.004
        scenery.place(model, data, 'spoon', (*end, table), yaw)
        scenery.place(model, data, 'rest', (*end, table), yaw)
        scenery.place(model, data, 'dish', (*dish, TABLE_TOP))
        scenery.paint(model, ('grip',), scenery.warm_colour(rng))
        scenery.paint(model, ('dish',), [0.9 + 0.1 * c for c in scenery.any_colour(rng)])

    def success(self, scene: Scene) -> bool:
        bowl = (scene.pose('spoon') @ (_BOWL, 0.0, 0.0, 1.0))[:3]
        inside = scene.pose('dish')[:3, :3].T @ (bowl - scene.position('dish'))
        return bool(
            np.hypot(*inside[:2]) < _DISH_INSIDE
            and 0.0 < inside[2] < _DISH_HEIGHT
            and scene.upright('dish')
            and scene.settled('spoon')
            and not scene.touching('spoon', 'world')
            and not scene.held('spoon')
        )

    def plan(self, scene: Scene) -> Iterator[Plan]:
        grasps.refuse_lost(scene, 'spoon', along=_GRASPS, axis=0)
        grasps.refuse_lost(scene, 'dish', nearer=0.05)
        if not scene.upright('dish', 0.4):
            raise LostError('the dish is turned over')
        spoon = scene.pose('spoon')
        holder = scene.holder('spoon')
        if holder:
            parked = grasps.park(scene, grasps.other(holder))
            yield from self._put(scene, holder, scene.hand(holder), spoon, parked)
            return
        for hand in HANDS:
            start = grasps.alone(scene, hand)
            for along in _GRASPS:
                point = (spoon @ (along, 0.0, 0.0, 1.0))[:3]
                for grasp in grasps.lying(hand, point, spoon[:3, 0], _TILTS):
                    taken = take(grasp, 0.03, _CLOSED, hand=hand, back=0.02, up=0.05)
                    yield from self._put(scene, hand, grasp, spoon, [*start, *taken])

    def _put(
        self, scene: Scene, hand: Side, grasp: Array, spoon: Array, start: list[Waypoint]
    ) -> Iterator[Plan]:
        """grasp: of the hand that then holds the spoon, which is at `spoon` (4, 4) by then."""
        grip = np.linalg.inv(grasp) @ spoon
        dish = scene.position('dish')
        backwards = spoon[:2, 0] @ grasp[:2, 0] < 0.0  # the bowl is on the robot's side
        roll = float(np.arctan2(spoon[2, 1], spoon[2, 2]))  # it may lie upside down, and stays so
        for dip in _DIPS:
            for off in (0.0, 0.3, -0.3, 0.6, -0.6):
                yaw = direction(hand, dish) + off + (np.pi if backwards else 0.0)
                goal = np.eye(4)
                goal[:3, :3] = pinocchio.rpy.rpyToMatrix(roll, dip, yaw)
                goal[:3, 3] = (*dish[:2], TABLE_TOP + _DISH_FLOOR + 0.018)
                goal[:3, 3] -= (_BOWL - _BEYOND) * goal[:3, 0]
                over = goal @ np.linalg.inv(grip)
                yield [
                    *start,
                    Waypoint(moved(grasp, up=0.07), _CLOSED, 0.9, True, hand),
                    *put(over, 0.03, _CLOSED, hand=hand, above=_ABOVE, back=0.02, up=0.06),
                ]
