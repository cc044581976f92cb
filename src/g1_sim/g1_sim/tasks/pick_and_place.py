"""A can stands on the table; it goes onto the plate."""

from __future__ import annotations

import mujoco
import numpy as np

from g1_sim import scenery
from g1_sim.scenery import TABLE_TOP
from g1_sim.tasks import SimTask, Waypoint, grasp_pose

_RADIUS, _HEIGHT = 0.024, 0.10
_PLATE_INSIDE, _PLATE_FLOOR, _PLATE_HEIGHT = 0.07, 0.008, 0.016
_PLATE_COLOUR = (0.10, 0.30, 0.85, 1.0)
_LABEL_COLOUR = (0.95, 0.95, 0.95, 1.0)

_GRASP = 0.074  # above the can's foot [m]
_TILT = np.radians(28)
_OPEN, _CLOSED = 0.040, 0.012
_REACH = 0.405  # from the shoulder, to put the can down [m]


class Task(SimTask):
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
        can = scenery.add_body(spec, 'object')  # origin at the centre of its foot
        cylinder, half = mujoco.mjtGeom.mjGEOM_CYLINDER, _HEIGHT / 2
        scenery.add_solid(
            can, 'can', cylinder, (_RADIUS, half), (0, 0, half), _PLATE_COLOUR, mass=0.12
        )
        scenery.add_decoration(
            can,
            'label',
            mujoco.mjtGeom.mjGEOM_BOX,
            (0.004, 0.008, 0.035),
            (_RADIUS - 0.002, 0, half),
            _LABEL_COLOUR,
        )
        scenery.add_decoration(
            can,
            'lid',
            mujoco.mjtGeom.mjGEOM_BOX,
            (_RADIUS - 0.004, 0.004, 0.001),
            (0, 0, _HEIGHT),
            _LABEL_COLOUR,
        )

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
        scenery.paint(model, ('can',), scenery.warm_colour(rng))

    def success(self, model: mujoco.MjModel, data: mujoco.MjData) -> bool:
        offset = data.body('object').xpos - data.body('plate').xpos
        return bool(
            np.linalg.norm(offset[:2]) < _PLATE_INSIDE
            and scenery.touching(model, data, 'object', 'plate')
            and not scenery.touching(model, data, 'object', 'world')
            and scenery.settled(data, 'object')
            and not scenery.held(model, data, 'object')
        )

    def plan(self, model: mujoco.MjModel, data: mujoco.MjData) -> list[Waypoint]:
        grasp = data.body('object').xpos + np.array([0.0, 0.0, _GRASP])
        plate = data.body('plate').xpos
        # A little before the plate's centre, more where that is far: easier to reach.
        distance = float(np.linalg.norm(plate[:2] - scenery.SHOULDER))
        nearer = grasp_pose(plate, 0.0, back=max(0.015, distance - _REACH))[:2, 3]
        on_plate = (*nearer, TABLE_TOP + _PLATE_FLOOR + _GRASP + 0.004)
        above = TABLE_TOP + _GRASP + 0.06
        return [
            Waypoint(grasp_pose(grasp, _TILT, back=0.045, up=0.06), _OPEN, 1.6),
            Waypoint(grasp_pose(grasp, _TILT), _OPEN, 1.0, straight=True),
            Waypoint(None, _CLOSED, 0.5),
            Waypoint(grasp_pose((*grasp[:2], above), _TILT), _CLOSED, 0.9, straight=True),
            Waypoint(grasp_pose((*nearer, above), _TILT), _CLOSED, 1.4),
            Waypoint(grasp_pose(on_plate, _TILT), _CLOSED, 0.9, straight=True),
            Waypoint(None, _OPEN, 0.5),
            Waypoint(grasp_pose(on_plate, _TILT, back=0.045, up=0.06), _OPEN, 0.8, straight=True),
        ]
