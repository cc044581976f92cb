"""A small cabinet on the table: its drawer is opened, a block goes in, and it is closed again."""

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

# The cabinet's frame: origin on the ground in its middle, x from its front to its back.
_DEPTH, _WIDTH, _HEIGHT, _BOARD = 0.15, 0.16, 0.100, 0.008
_FRONT = -_DEPTH / 2
_TRAVEL = 0.080  # [m] that the drawer comes out
_FLOOR, _SIDE, _INSIDE = 0.018, 0.045, 0.062  # of the drawer: top of its floor, of its sides; half
_KNOB_OUT, _KNOB_HEIGHT = 0.038, 0.052  # of the handle's bar: before the front, over the ground
_WOOD, _DRAWER_WOOD = (0.55, 0.36, 0.20, 1.0), (0.72, 0.52, 0.31, 1.0)
_METAL = (0.82, 0.82, 0.84, 1.0)

_BLOCK = 0.018  # half its edge [m]
_GRASP = 0.022  # over the table, to take it [m]
_BLOCK_TILTS = tuple(np.radians((42, 52, 62)))
_HANDLE_TILTS = tuple(np.radians((35, 48, 60, 22, 70)))
_HANDLE_YAWS = (0.0, -0.3, 0.3, -0.6, 0.6)  # [rad] off straight at the front
_ASIDE = 0.4  # [rad]
_DROP_TILTS = tuple(np.radians((42, 55, 30, 18)))
_CLOSED = 0.012  # [m a finger] around the block,
_GRIPPED = 0.0  # around the handle
_WIDTHS = (_TRAVEL, 0.068)  # [m] to which it is opened
_OPENED = 0.062  # [m] of the drawer's way, from which a block goes in
_NEARER, _DROP = 0.006, 0.060  # [m] than the middle of the opening; over the floor, to be let go

Array = NDArray[np.float64]


class Task(SimTask):
    object = 'block'
    time_limit = 35.0
    near_starts = False
    stages = ('begun', 'opened', 'lifted', 'inside', 'done')

    def build(self, spec: mujoco.MjSpec) -> None:
        scenery.add_room(spec)
        box = mujoco.mjtGeom.mjGEOM_BOX
        # It is screwed to the table.
        cabinet = spec.worldbody.add_body(name='cabinet', pos=(0.46, 0.02, TABLE_TOP))
        half, board = _DEPTH / 2, _BOARD / 2
        for name, size, place in (
            ('bottom', (half, _WIDTH / 2, 0.003), (0, 0, 0.003)),
            ('top', (half, _WIDTH / 2, board), (0, 0, _HEIGHT - board)),
            ('left', (half, board, _HEIGHT / 2), (0, _WIDTH / 2 - board, _HEIGHT / 2)),
            ('right', (half, board, _HEIGHT / 2), (0, board - _WIDTH / 2, _HEIGHT / 2)),
            ('back', (board, _WIDTH / 2, _HEIGHT / 2), (half - board, 0, _HEIGHT / 2)),
        ):
            scenery.add_solid(cabinet, f'cabinet_{name}', box, size, place, _WOOD)
        self._add_drawer(cabinet)
        block = scenery.add_body(spec, 'block')
        scenery.add_solid(block, 'block', box, (_BLOCK,) * 3, (0, 0, _BLOCK), _METAL, mass=0.06)
        for index, cross in enumerate(((0.006, _BLOCK + 4e-4), (_BLOCK + 4e-4, 0.006))):
            scenery.add_decoration(
                block, f'ribbon_{index}', box, (*cross, _BLOCK + 4e-4), (0, 0, _BLOCK), (1, 1, 1, 1)
            )

    def _add_drawer(self, cabinet: mujoco.MjsBody) -> None:
        """Runs in the cabinet with friction, moved by hand alone."""
        box = mujoco.mjtGeom.mjGEOM_BOX
        drawer = cabinet.add_body(name='drawer')
        drawer.add_joint(
            name='drawer',
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=(-1.0, 0.0, 0.0),
            range=(0.0, _TRAVEL),
            limited=True,
            damping=(4.0, 0.0, 0.0),
            frictionloss=1.2,
            armature=0.05,
        )
        top = _HEIGHT - _BOARD
        panel = (_BOARD / 2, _WIDTH / 2 - 0.001, top / 2 - 0.004)
        scenery.add_solid(
            drawer,
            'panel',
            box,
            panel,
            (_FRONT - 0.005, 0, top / 2 + 0.004),
            _DRAWER_WOOD,
            mass=0.2,
        )
        inner, thick, middle = _INSIDE, 0.003, (_FRONT + _INSIDE)
        for name, size, place in (
            ('floor', (inner, inner + thick, 0.003), (middle, 0, _FLOOR - 0.003)),
            ('wall_left', (inner, thick, 0.016), (middle, inner + thick, _SIDE - 0.016)),
            ('wall_right', (inner, thick, 0.016), (middle, -inner - thick, _SIDE - 0.016)),
            ('wall_back', (thick, inner, 0.016), (middle + inner, 0, _SIDE - 0.016)),
        ):
            scenery.add_solid(drawer, f'drawer_{name}', box, size, place, _DRAWER_WOOD, mass=0.05)
        x = _FRONT - 0.009 - _KNOB_OUT
        scenery.add_solid(
            drawer, 'bar', box, (0.005, 0.006, 0.026), (x, 0, _KNOB_HEIGHT), _METAL, mass=0.03
        )
        for z in (-0.023, 0.023):
            scenery.add_solid(
                drawer,
                f'arm_{z}',
                box,
                (_KNOB_OUT / 2, 0.004, 0.003),
                (x + _KNOB_OUT / 2, 0, _KNOB_HEIGHT + z),
                _METAL,
            )

    def arrange(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        cabinet = model.body('cabinet')
        while True:
            place = rng.uniform((0.475, -0.02), (0.51, 0.08))
            yaw = np.arctan2(place[1], place[0]) + rng.uniform(-0.15, 0.15)
            block = rng.uniform((0.29, -0.21), (0.40, -0.05))
            apart = block - place
            forward = np.cos(yaw) * apart[0] + np.sin(yaw) * apart[1]
            aside = abs(-np.sin(yaw) * apart[0] + np.cos(yaw) * apart[1])
            reaches = np.hypot(block[0], block[1] + 0.1) < 0.35
            if reaches and (aside > 0.15 or forward > 0.1):
                break
        cabinet.pos[:2] = place
        cabinet.quat[:] = (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
        turn = direction('right', block) + rng.uniform(-0.4, 0.4)
        scenery.place(model, data, 'block', (*block, TABLE_TOP), turn)
        scenery.paint(model, ('block',), scenery.any_colour(rng))

    def success(self, scene: Scene) -> bool:
        return bool(
            self._inside(scene)
            and scene.joint('drawer') < 0.01
            and scene.settled('block')
            and not scene.held('block')
        )

    def progress(self, scene: Scene) -> str:
        if self.success(scene):
            return 'done'
        if self._inside(scene) and not scene.held('block'):
            return 'inside'
        if scene.lifted('block'):
            return 'lifted'
        return 'opened' if scene.joint('drawer') > _OPENED - 0.02 else 'begun'

    def plan(self, scene: Scene) -> Iterator[Plan]:
        if not self._inside(scene):
            grasps.refuse_lost(scene, 'block')
        opened = scene.joint('drawer')
        inside = self._inside(scene) and scene.holder('block') is None
        holder = scene.holder('block')
        if not inside and holder is None:
            self._refuse_hidden(scene, opened)
        helpers: tuple[Side, ...] = (grasps.other(holder),) if holder else ('left', 'right')
        for helper in helpers:
            worker = holder or grasps.other(helper)
            ways = product(_WIDTHS, _HANDLE_TILTS, _HANDLE_YAWS)
            for wide, tilt, off in ways:
                if inside:
                    start: list[Waypoint | Meeting] = [
                        *grasps.park(scene, worker),
                        *grasps.clear(scene, helper),
                        Meeting(),
                    ]
                    now: list[Waypoint] = self._slide(scene, helper, tilt, off, opened, -0.004)
                    yield [*start, *now]
                    continue
                first: list[Waypoint | Meeting] = []
                if opened < _OPENED:
                    first += grasps.clear(scene, helper)
                    first += self._slide(scene, helper, tilt, off, opened, wide)
                    shut = self._slide(scene, helper, tilt, off, wide - 0.004, -0.004)
                else:
                    first += grasps.park(scene, helper)
                    shut = self._slide(scene, helper, tilt, off, opened, -0.004)
                for work in self._insert(scene, worker, max(opened, _OPENED)):
                    yield [*first, *work, Meeting(), *shut]
        for helper in () if inside else helpers:  # to where the other hand gets at it
            worker = holder or grasps.other(helper)
            yield from grasps.in_turn(
                grasps.bring_nearer(
                    worker, grasp, [*grasps.park(scene, helper), *start], 0.034, _CLOSED
                )
                for grasp, start in self._taken(scene, worker)
            )

    def _refuse_hidden(self, scene: Scene, opened: float) -> None:
        x, y, z = scene.seen_from('cabinet', 'block')
        if abs(y) < _WIDTH / 2 and x > _FRONT - opened and z < _HEIGHT:
            raise LostError('the block lies under or behind the drawer')

    def _slide(
        self, scene: Scene, hand: Side, tilt: float, off: float, start: float, end: float
    ) -> list[Waypoint]:
        """Takes the handle, moves the drawer from `start` to `end` [m], and lets go of it."""
        cabinet = scene.pose('cabinet')
        yaw = float(np.arctan2(cabinet[1, 0], cabinet[0, 0]))

        def handle(opened: float) -> Array:
            x = _FRONT - 0.009 - _KNOB_OUT - opened
            place = (cabinet @ (x, 0.0, _KNOB_HEIGHT, 1.0))[:3]
            return hand_pose(place, tilt, yaw + off)

        there, then = handle(start), handle(end)
        above = moved(there, up=0.09)
        # Turned aside, a finger wide open would get onto the drawer's front.
        opened, freed = (0.03, OPEN) if abs(off) < _ASIDE else (0.018, 0.018)
        return [
            Waypoint(grasps.ready(hand), opened, 1.2, hand=hand),
            Waypoint(above, opened, 1.0, hand=hand),
            Waypoint(there, opened, 1.0, True, hand, precise=True),
            Waypoint(None, _GRIPPED, 0.5, hand=hand),
            Waypoint(then, _GRIPPED, 1.3, True, hand, precise=True),
            Waypoint(None, freed, 0.4, hand=hand),
            Waypoint(moved(then, up=0.08), freed, 0.9, True, hand, precise=True),
            *grasps.leave(hand, then, up=0.10),
        ]

    def _insert(
        self, scene: Scene, hand: Side, opened: float
    ) -> Iterator[list[Waypoint | Meeting]]:
        """Takes the block and, once both hands are there, puts it into the open drawer."""
        block = scene.pose('block')
        goal = scene.pose('cabinet')
        goal[:3, 3] = (goal @ (_FRONT - opened / 2 - _NEARER, 0.0, _FLOOR + _DROP, 1.0))[:3]
        for grasp, start in self._taken(scene, hand):
            grip = np.linalg.inv(grasp) @ block
            for off in (0.0, 0.3, -0.3, 0.6):
                for tilt in _DROP_TILTS:
                    over = hand_pose((0, 0, 0), tilt, direction(hand, goal[:3, 3]) + off)
                    over[:3, 3] = goal[:3, 3] - over[:3, :3] @ grip[:3, 3]
                    yield [
                        *start,
                        Waypoint(moved(grasp, up=0.12), _CLOSED, 0.9, True, hand),
                        Meeting(),
                        *put(
                            over,
                            0.028,
                            _CLOSED,
                            hand=hand,
                            above=0.07,
                            back=0.0,
                            up=0.10,
                            precise=True,
                        ),
                        *grasps.leave(hand, over),
                    ]

    def _taken(self, scene: Scene, hand: Side) -> list[tuple[Array, list[Waypoint]]]:
        """Grasps (4, 4) of the block, each with the way there."""
        if scene.holder('block') == hand:
            return [(scene.hand(hand), [])]
        found = []
        for grasp in _faces(hand, scene.pose('block')):
            taken = take(grasp, 0.034, _CLOSED, hand=hand, back=0.02, up=0.085, precise=True)
            found.append((grasp, [*grasps.clear(scene, hand), *taken]))
        return found

    def _inside(self, scene: Scene) -> bool:
        x, y, z = scene.seen_from('drawer', 'block')
        return bool(
            _FRONT < x < _FRONT + 2 * _INSIDE and abs(y) < _INSIDE and 0.0 < z < _SIDE + _BLOCK
        )


def _faces(hand: Side, block: Array) -> Iterator[Array]:
    """Grasps of the block by two of its upright faces."""
    upright = int(np.argmax(np.abs(block[2, :3])))
    axis = block[:3, (upright + 1) % 3]
    centre = block[:3, 3] + _BLOCK * block[:3, 2]
    straight = direction(hand, centre)
    yaws = float(np.arctan2(axis[1], axis[0])) + np.arange(4) * np.pi / 2
    off = np.arctan2(np.sin(yaws - straight), np.cos(yaws - straight))
    for index in np.argsort(np.abs(off))[:3]:
        for tilt in _BLOCK_TILTS:
            height = TABLE_TOP + max(_GRASP, grasps.lowest(tilt))
            yield hand_pose((*centre[:2], max(height, centre[2])), tilt, straight + off[index])
