"""A plate lies on a pedestal; it goes upright into a slot of the rack."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import mujoco
import numpy as np
from numpy.typing import NDArray

from g1_description.kinematics import Side
from g1_sim import grasps, scenery
from g1_sim.scene import Scene
from g1_sim.scenery import TABLE_TOP
from g1_sim.tasks import SimTask
from g1_sim.waypoints import (
    HANDS,
    LostError,
    Plan,
    Waypoint,
    direction,
    hand_pose,
    moved,
    put,
    take,
)

_RADIUS, _THICKNESS = 0.070, 0.008
_PLATE_COLOUR = (0.93, 0.94, 0.96, 1.0)
_PEDESTAL, _PEDESTAL_HEIGHT = 0.036, 0.090  # radius, height [m]
_PEDESTAL_COLOUR = (0.45, 0.33, 0.24, 1.0)
_RACK_COLOUR = (0.66, 0.45, 0.25, 1.0)
# The rack's frame: x along its slots, origin on the ground in the middle.
_POSTS_X, _POSTS_Y = (-0.032, 0.032), (-0.042, -0.014, 0.014, 0.042)
_POST, _POST_HEIGHT = 0.004, 0.062  # radius, height [m]
_BAR = 0.012  # height of the two bars on which plates stand, at +-_BAR_X
_BAR_X = 0.026
_STANDS = _BAR + float(np.sqrt(_RADIUS**2 - _BAR_X**2))  # height of a plate's centre in the rack

_GRIPPED = _RADIUS - 0.014  # from the centre to between the fingers [m]
_BARELY = _RADIUS - 0.004  # likewise, where there is no room for fingers further in
_CLOSED = 0.0
_LEVEL, _UPRIGHT = 0.97, 0.3  # of the plate's axis, how far it points up
_ALONG, _LOWEST = 0.4, 0.03  # share of a reach that lies in the plate's plane; [m] over the table
_LEAVING = ((0.07, 0.0), (0.045, 0.0), (0.036, 0.02), (0.0, 0.09))  # back, up [m]
_ROLLS = (-np.pi / 2, np.pi / 2)
_ABOVE = 0.07

Array = NDArray[np.float64]


class Task(SimTask):
    object = 'plate'

    def build(self, spec: mujoco.MjSpec) -> None:
        scenery.add_room(spec)
        cylinder = mujoco.mjtGeom.mjGEOM_CYLINDER
        plate = scenery.add_body(spec, 'plate')  # origin in its middle, z out of its front
        scenery.add_solid(
            plate,
            'disc',
            cylinder,
            (_RADIUS, _THICKNESS / 2),
            (0, 0, 0),
            _PLATE_COLOUR,
            mass=0.15,
            hidden=True,
        )
        half = _THICKNESS / 2
        profile = [
            (0.001, -half),
            (0.62 * _RADIUS, -half),
            (_RADIUS, half - 0.003),
            (_RADIUS, half),
            (0.64 * _RADIUS, -half + 0.003),
            (0.001, -half + 0.003),
        ]
        scenery.add_turned(spec, plate, 'plate', profile, _PLATE_COLOUR, sides=28)
        ring = [(0.93 * _RADIUS, half + 0.0003), (0.80 * _RADIUS, half - 0.0018)]
        scenery.add_turned(spec, plate, 'ring', ring, (0.1, 0.2, 0.7, 1.0), sides=28)
        pedestal = scenery.add_body(spec, 'pedestal')
        height = _PEDESTAL_HEIGHT / 2
        scenery.add_solid(
            pedestal,
            'pedestal',
            cylinder,
            (_PEDESTAL, height),
            (0, 0, height),
            _PEDESTAL_COLOUR,
            mass=1.0,
        )
        self._add_rack(spec)

    def _add_rack(self, spec: mujoco.MjSpec) -> None:
        rack, box = scenery.add_body(spec, 'rack'), mujoco.mjtGeom.mjGEOM_BOX
        for y in (-0.05, 0.05):
            scenery.add_solid(
                rack, f'rail_{y}', box, (0.05, 0.006, 0.004), (0, y, 0.004), _RACK_COLOUR, mass=0.4
            )
        for x in (-_BAR_X, _BAR_X):
            size = (0.003, 0.05, _BAR / 2 - 0.002)
            scenery.add_solid(rack, f'bar_{x}', box, size, (x, 0, _BAR / 2 + 0.002), _RACK_COLOUR)
        for x in _POSTS_X:
            for y in _POSTS_Y:
                scenery.add_solid(
                    rack,
                    f'post_{x}_{y}',
                    mujoco.mjtGeom.mjGEOM_CAPSULE,
                    (_POST, (_POST_HEIGHT - 2 * _POST) / 2),
                    (x, y, _POST_HEIGHT / 2),
                    (0.75, 0.76, 0.78, 1.0),
                )
            size = (0.004, 0.05, 0.003)
            scenery.add_solid(rack, f'beam_{x}', box, size, (x, 0, 0.006), _RACK_COLOUR)

    def arrange(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        boxes = [((0.33, -0.22), (0.45, -0.07)), ((0.33, -0.02), (0.42, 0.11))]
        while True:
            plate, rack = scenery.sample_apart(
                rng, boxes, ('right', 'right'), apart=0.175, reach=0.45
            )
            if np.linalg.norm(plate - (0.0, -0.1)) > 0.345 and rack[0] + 0.4 * rack[1] > 0.36:
                break
        yaw = direction('right', rack) + rng.uniform(-0.2, 0.2)
        scenery.place(model, data, 'rack', (*rack, TABLE_TOP), yaw)
        scenery.place(model, data, 'pedestal', (*plate, TABLE_TOP))
        height = TABLE_TOP + _PEDESTAL_HEIGHT + _THICKNESS / 2
        scenery.place(model, data, 'plate', (*plate, height), rng.uniform(-np.pi, np.pi))
        scenery.paint(model, ('ring',), scenery.any_colour(rng))

    def success(self, scene: Scene) -> bool:
        x, y, z = scene.seen_from('rack', 'plate')
        return bool(
            abs(x) < 0.025
            and abs(y) < 0.045
            and abs(z - _STANDS) < 0.012
            and abs(scene.axis('plate')[2]) < np.sin(np.radians(20))
            and scene.upright('rack')
            and not scene.touching('plate', 'world')
            and scene.settled('plate')
            and not scene.held('plate')
        )

    def plan(self, scene: Scene) -> Iterator[Plan]:
        grasps.refuse_lost(scene, 'plate', 'rack', nearer=0.05)
        if not scene.upright('rack', 0.4):
            raise LostError('the rack is turned over')
        plate = scene.pose('plate')
        holder = scene.holder('plate')
        highest = plate[2, 3] + _RADIUS * np.hypot(*plate[:2, 2])
        if highest < TABLE_TOP + _LOWEST and holder is None:
            raise LostError('the plate lies on the table: no finger gets under its rim')
        if holder:
            parked = grasps.park(scene, grasps.other(holder))
            yield from self._put(scene, holder, scene.hand(holder), plate, parked)
            yield from self._lay_back(scene, holder, parked)
            return
        for hand in HANDS:
            start = grasps.alone(scene, hand)
            for grasp, above in product(_rim(hand, plate), (0.06, 0.0)):
                before = grasp.copy()
                before[:3, 3] -= 0.06 * grasp[:3, 0]
                taken = [
                    Waypoint(moved(before, up=above), 0.03, 1.6, hand=hand),
                    Waypoint(before, 0.03, 0.6, True, hand),
                    *take(grasp, 0.03, _CLOSED, hand=hand)[1:],
                ]
                yield from self._put(scene, hand, grasp, plate, [*start, *taken])

    def _put(
        self, scene: Scene, hand: Side, grasp: Array, plate: Array, start: list[Waypoint]
    ) -> Iterator[Plan]:
        """grasp: of the hand that then holds the plate, which is at `plate` (4, 4) by then."""
        grip = np.linalg.inv(grasp) @ plate
        rack = scene.pose('rack')
        along = float(np.arctan2(rack[1, 0], rack[0, 0]))
        if np.cos(along - direction(hand, rack[:3, 3])) < 0.0:
            along += np.pi
        centre = rack[:3, 3] + (0.0, 0.0, _STANDS + 0.004)
        slots, tilts = (0.0, -0.028, 0.028), np.radians((5, 18, 30, -8))
        for (back, up), slot, tilt in product(_LEAVING, slots, tilts):
            over = hand_pose((0, 0, 0), tilt, along, _level(grip))
            over[:3, 3] = centre + slot * rack[:3, 1] - over[:3, :3] @ grip[:3, 3]
            yield [
                *start,
                grasps.lift(hand, grasp, over[2, 3] + _ABOVE - TABLE_TOP, _CLOSED),
                *put(
                    over,
                    0.02,
                    _CLOSED,
                    hand=hand,
                    above=_ABOVE,
                    back=back,
                    up=up,
                    precise=True,
                ),
            ]

    def _lay_back(self, scene: Scene, hand: Side, start: list[Waypoint]) -> Iterator[Plan]:
        """The plate in the hand onto the pedestal, to be taken anew."""
        grasp, plate, pedestal = scene.hand(hand), scene.pose('plate'), scene.pose('pedestal')
        if not scene.upright('pedestal', 0.4):
            return
        goal = grasps.upright(plate)
        goal[:3, 3] = pedestal[:3, 3] + (0.0, 0.0, _PEDESTAL_HEIGHT + _THICKNESS)
        for off in (0.0, 0.4, -0.4, 0.8, -0.8):
            over = grasps.carried(hand, np.linalg.inv(grasp) @ plate, goal, off)
            yield [
                *start,
                grasps.lift(hand, grasp, over[2, 3] + 0.04 - TABLE_TOP, _CLOSED),
                *put(over, 0.03, _CLOSED, hand=hand, above=0.04, back=0.07, up=0.0),
                *grasps.leave(hand, over),
            ]


def _rim(hand: Side, plate: Array) -> Iterator[Array]:
    """Grasps of the rim nearest to the hand: across its thickness, pointing at its middle."""
    middle = plate[:3, 3]
    level = abs(plate[2, 2]) > _LEVEL
    for off in (0.0, 0.3, -0.3, 0.6, 0.9):
        yaw = direction(hand, middle) + off
        if level:
            for roll in _ROLLS:
                grasp = hand_pose(middle, 0.0, yaw, roll)
                grasp[:3, 3] -= _GRIPPED * grasp[:3, 0]
                yield grasp
    if abs(plate[2, 2]) < _UPRIGHT:
        along = float(np.arctan2(plate[0, 2], -plate[1, 2]))
        if np.cos(along - direction(hand, middle)) < 0.0:
            along += np.pi
        for tilt in np.radians((20, 40, 60)):
            grasp = hand_pose(middle, tilt, along)
            grasp[:3, 3] -= _GRIPPED * grasp[:3, 0]
            yield grasp
    if not level:
        yield from _leaning(hand, plate)


def _leaning(hand: Side, plate: Array) -> Iterator[Array]:
    """Grasps of the rim in the plane of a plate that leans on something, or over."""
    middle, normal = plate[:3, 3], plate[:3, 2]
    offs = (0.0, 0.3, -0.3, 0.6, -0.6, 1.2, -1.2)
    for tilt, off in product(np.radians((0, 20, 40, 60, 80)), offs):
        straight = hand_pose(middle, tilt, direction(hand, middle) + off)[:3, 0]
        approach = straight - (straight @ normal) * normal
        length = float(np.linalg.norm(approach))
        if length < _ALONG:
            continue
        approach /= length
        grasp = np.eye(4)
        for gripped, closing in product((_GRIPPED, _BARELY), (normal, -normal)):
            grasp[:3, 3] = middle - gripped * approach
            if grasp[2, 3] > TABLE_TOP + _LOWEST:
                grasp[:3, :3] = np.stack((approach, closing, np.cross(approach, closing)), axis=1)
                yield grasp.copy()


def _level(grip: Array) -> float:
    """Roll of the hand at which what it holds across its thickness stands upright."""
    return 0.0 if abs(grip[1, 2]) > 0.5 else float(np.pi / 2)
