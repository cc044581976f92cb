"""A carton with a flap: one hand holds the flap, the other puts the eggplant in, it is closed."""

from __future__ import annotations

from collections.abc import Iterator
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
from g1_sim.waypoints import (
    LostError,
    Meeting,
    Plan,
    Waypoint,
    direction,
    hand_pose,
    moved,
    put,
    take,
)

# The carton's frame: origin on the ground in its middle, x away from the robot, the flap at +y.
_LENGTH, _WIDTH, _HEIGHT, _BOARD = 0.140, 0.150, 0.075, 0.004  # outside
_HINGE_Y, _HINGE_Z = _WIDTH / 2, _HEIGHT + _BOARD / 2
_FLAP = _WIDTH  # from the hinge to its edge [m]
_OPEN_ANGLE = (1.54, 1.66)  # [rad] of the flap at the beginning
_SHUT = np.radians(15)
_FLUSH = np.radians(20)  # below, no finger gets under the flap
_CARDBOARD, _INNER = (0.74, 0.56, 0.36, 1.0), (0.64, 0.47, 0.29, 1.0)
_TAPE = (0.90, 0.84, 0.68, 1.0)

_EGGPLANT = (0.048, 0.021, 0.019)  # half axes [m]
_PURPLE, _GREEN = (0.30, 0.07, 0.34, 1.0), (0.25, 0.50, 0.15, 1.0)
_ITEM_TILTS = tuple(np.radians((46, 38, 56, 66)))
_CLOSED, _GRIPPED = 0.010, 0.0  # [m a finger] around the eggplant, around the flap

_DROP = 0.045  # [m] that the eggplant falls
_HOLD = 0.090  # from the hinge along the flap to where it is held [m]
_HOLD_X = -_LENGTH / 2 + 0.018  # in the carton's frame: near the flap's front edge
_FREE = 1.4  # [rad] open, the flap leaves the other hand room; less far, it is pulled
_WIDE = 2.05  # [rad] to here first
_RELEASE = np.radians(64)  # from here the flap falls shut by itself
_FLAP_SHOULDER, _FLAP_REACH = (0.0, -0.07), 0.455  # how far off the carton may stand [m]
_LEAVING = (0.045, 0.032)  # [m] back from the flap
_FLAP_TILTS = tuple(np.radians((0, 12, 25)))

Array = NDArray[np.float64]


class Task(SimTask):
    object = 'item'
    time_limit = 35.0
    near_starts = False
    own_variants = ('object',)  # corn instead of the eggplant
    stages = ('begun', 'touched', 'lifted', 'inside', 'done')

    def build(self, spec: mujoco.MjSpec) -> None:
        scenery.add_room(spec)
        self._add_carton(spec)
        item = scenery.add_body(spec, 'item')  # lies along its x axis
        ellipsoid = mujoco.mjtGeom.mjGEOM_ELLIPSOID
        corn = self.variant == 'object'
        colour = (0.93, 0.77, 0.20, 1.0) if corn else _PURPLE
        scenery.add_solid(
            item, 'fruit', ellipsoid, _EGGPLANT, (0, 0, 0), colour, mass=0.09, rolling=0.003
        )
        bulge = (0.034, 0.0165, 0.0165) if corn else (0.026, 0.0225, 0.0195)
        scenery.add_decoration(item, 'bulge', ellipsoid, bulge, (0.016, 0, 0), colour)
        calyx = (0.026, 0.0205, 0.0185) if corn else (0.010, 0.014, 0.013)
        place = (-0.028 if corn else -0.042, 0, 0)
        scenery.add_decoration(item, 'calyx', ellipsoid, calyx, place, _GREEN)
        scenery.add_decoration(
            item, 'stalk', mujoco.mjtGeom.mjGEOM_BOX, (0.008, 0.003, 0.003), (-0.054, 0, 0), _GREEN
        )

    def _add_carton(self, spec: mujoco.MjSpec) -> None:
        carton, box = scenery.add_body(spec, 'carton'), mujoco.mjtGeom.mjGEOM_BOX
        x, y, z, t = _LENGTH / 2, _WIDTH / 2, _HEIGHT / 2, _BOARD / 2
        for name, size, place, colour in (
            ('bottom', (x, y, t), (0, 0, t), _INNER),
            ('front', (t, y, z), (t - x, 0, z), _CARDBOARD),
            ('back', (t, y, z), (x - t, 0, z), _CARDBOARD),
            ('left', (x, t, z), (0, y - t, z), _CARDBOARD),
            ('right', (x, t, z), (0, t - y, z), _CARDBOARD),
        ):
            scenery.add_solid(carton, f'carton_{name}', box, size, place, colour, mass=0.25)
        scenery.add_decoration(carton, 'tape', box, (4e-4, 0.014, z), (-x - 2e-4, 0, z), _TAPE)
        scenery.add_decoration(
            carton, 'arrow', box, (4e-4, 0.004, 0.018), (-x - 2e-4, -0.045, z), (0.2, 0.2, 0.2, 1)
        )
        lid = carton.add_body(name='lid', pos=(0.0, _HINGE_Y, _HINGE_Z))
        lid.add_joint(
            name='lid',
            type=mujoco.mjtJoint.mjJNT_HINGE,
            axis=(-1.0, 0.0, 0.0),
            range=(0.0, 2.3),
            limited=True,
            damping=(0.002, 0.0, 0.0),
            frictionloss=0.015,
            armature=1e-4,
        )
        middle = (0, -_FLAP / 2, 0)
        scenery.add_solid(lid, 'flap', box, (x, _FLAP / 2, t), middle, _CARDBOARD, mass=0.06)
        scenery.add_decoration(lid, 'tape_lid', box, (x, 0.014, t + 3e-4), middle, _TAPE)

    def arrange(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        while True:
            carton = rng.uniform((0.37, -0.04), (0.43, 0.09))
            item = rng.uniform((0.29, -0.21), (0.40, -0.05))
            reaches = np.hypot(item[0], item[1] + 0.1) < 0.365
            # Not too near for the hand at the flap, not too far for the other one.
            fits = (
                carton[0] + 0.45 * carton[1] > 0.412
                and np.hypot(carton[0], carton[1] + 0.07) < 0.42
            )
            if reaches and fits and carton[1] - item[1] > 0.155:
                break
        scenery.place(model, data, 'carton', (*carton, TABLE_TOP), rng.uniform(-0.1, 0.1))
        data.joint('lid').qpos[0] = rng.uniform(*_OPEN_ANGLE)
        yaw = direction('right', item) + rng.uniform(-0.4, 0.4)
        yaw += np.pi * rng.integers(2)
        scenery.place(model, data, 'item', (*item, TABLE_TOP + _EGGPLANT[2]), yaw)

    def success(self, scene: Scene) -> bool:
        return bool(
            self._inside(scene)
            and scene.joint('lid') < _SHUT
            and scene.upright('carton')
            and scene.settled('item')
            and not any(scene.held(body) for body in ('item', 'lid', 'carton'))
        )

    def progress(self, scene: Scene) -> str:
        if self.success(scene):
            return 'done'
        if self._inside(scene) and not scene.held('item'):
            return 'inside'
        if scene.lifted('item'):
            return 'lifted'
        return 'touched' if scene.held('item') or scene.held('lid') else 'begun'

    def plan(self, scene: Scene) -> Iterator[Plan]:
        grasps.refuse_lost(scene, 'item')
        grasps.refuse_lost(scene, 'carton', nearer=0.03)
        if not scene.upright('carton', 0.4):
            raise LostError('the carton is turned over')
        if np.hypot(*(scene.position('carton')[:2] - _FLAP_SHOULDER)) > _FLAP_REACH:
            raise LostError('the carton was pushed to where no hand reaches its flap')
        angle = scene.joint('lid')
        if angle < _FLUSH and not self._inside(scene):
            raise LostError('the flap lies shut and flush with the carton, the item outside')
        inside = self._inside(scene) and scene.holder('item') is None
        holding = scene.holder('lid') == 'left'
        # The item first, and the flap only when it is in: a hand that misses the flap shuts it. It
        # is held open meanwhile where it would be in the way.
        free = angle > _FREE and not holding and not inside
        widths = (angle,) if inside or free else (_WIDE, angle)
        first = [] if holding else (grasps.park if free else grasps.clear)(scene, 'left')
        for wide, tilt, from_left, back in product(widths, _FLAP_TILTS, (True, False), _LEAVING):
            hold = [] if holding else self._take_flap(scene, angle, tilt, from_left)
            if wide > angle:
                there = self._flap(scene, wide, tilt)
                hold.append(Waypoint(there, _GRIPPED, 0.7, True, 'left', precise=True))
            shut = self._shut(scene, wide, tilt, back)
            if inside:
                yield [*grasps.park(scene, 'right'), *first, *hold, *shut]
                continue
            for work in self._insert(scene):
                if free:
                    yield [*first, *work, Meeting(), *hold, *shut]
                else:
                    yield [*first, *hold, *work, Meeting(), *shut]

    def _flap(self, scene: Scene, angle: float, tilt: float) -> Array:
        """The left hand (4, 4) at the flap's front edge when that is open by `angle` [rad]."""
        carton = scene.pose('carton')
        along = np.array((0.0, -np.cos(angle), np.sin(angle)))  # from the hinge
        hand = hand_pose((0, 0, 0), tilt, 0.0)
        turn = angle - np.pi / 2  # at a right angle the flap stands, and the hand is level
        c, s = np.cos(turn), np.sin(turn)
        hand[:3, :3] = np.array(((1, 0, 0), (0, c, s), (0, -s, c))) @ hand[:3, :3]
        hand[:3, 3] = np.array((_HOLD_X, _HINGE_Y, _HINGE_Z)) + _HOLD * along
        return carton @ hand

    def _take_flap(
        self, scene: Scene, angle: float, tilt: float, from_left: bool
    ) -> list[Waypoint]:
        flap = self._flap(scene, angle, tilt)
        aside = hand_pose(flap[:3, 3] + (-0.04, 0.12, 0.05), tilt, 0.0)
        return [
            *([Waypoint(aside, 0.03, 1.3, hand='left')] if from_left else []),
            Waypoint(moved(flap, back=0.05), 0.03, 1.2, from_left, 'left', precise=True),
            Waypoint(flap, 0.03, 0.9, True, 'left', precise=True),
            Waypoint(None, _GRIPPED, 0.5, hand='left'),
        ]

    def _shut(self, scene: Scene, angle: float, tilt: float, back: float) -> list[Waypoint]:
        """Along its arc to where it falls shut, and `back` [m] away."""
        steps = max(1, round((angle - _RELEASE) / 0.35))
        angles = np.linspace(angle, min(angle, _RELEASE), steps + 1)[1:]
        way = [self._flap(scene, float(a), tilt) for a in angles]
        return [
            *(Waypoint(pose, _GRIPPED, 0.5, True, 'left', precise=True) for pose in way),
            Waypoint(None, 0.012, 0.3, hand='left'),
            Waypoint(moved(way[-1], back=back), 0.012, 0.6, True, 'left', precise=True),
            Waypoint(grasps.home('left'), OPEN, 1.5, hand='left'),
        ]

    def _insert(self, scene: Scene) -> Iterator[list[Waypoint | Meeting]]:
        """The right hand takes the item and, once the flap is held, puts it in."""
        hand: Side = 'right'
        item, carton = scene.pose('item'), scene.pose('carton')
        starts: list[tuple[Array, list[Waypoint]]] = []
        if scene.holder('item') == hand:
            starts.append((scene.hand(hand), []))
        else:
            for grasp in grasps.lying(hand, item[:3, 3], item[:3, 0], _ITEM_TILTS):
                taken = take(grasp, 0.034, _CLOSED, hand=hand, back=0.02, up=0.085, precise=True)
                starts.append((grasp, [*grasps.clear(scene, hand), *taken]))
        for grasp, start in starts:
            grip = np.linalg.inv(grasp) @ item
            for x, y in ((0.0, -0.02), (0.0, -0.035), (-0.025, -0.03)):
                goal = (carton @ (x, y, _BOARD + _EGGPLANT[2] + _DROP, 1.0))[:3]
                for off in (0.25, 0.5, 0.0, 0.75):
                    for tilt in np.radians((45, 58, 32, 20)):
                        over = hand_pose((0, 0, 0), tilt, direction(hand, goal) + off)
                        over[:3, 3] = goal - over[:3, :3] @ grip[:3, 3]
                        yield [
                            *start,
                            grasps.lift(hand, grasp, over[2, 3] + 0.05 - TABLE_TOP, _CLOSED),
                            Meeting(),
                            *put(
                                over,
                                0.028,
                                _CLOSED,
                                hand=hand,
                                above=0.05,
                                back=0.0,
                                up=0.10,
                                precise=True,
                            ),
                            *grasps.leave(hand, over),
                        ]

    def _inside(self, scene: Scene) -> bool:
        x, y, z = scene.seen_from('carton', 'item')
        return bool(abs(x) < _LENGTH / 2 and abs(y) < _WIDTH / 2 and 0.0 < z < _HEIGHT - 0.01)
