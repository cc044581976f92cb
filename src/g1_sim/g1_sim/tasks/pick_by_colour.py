"""Two cans of different colours stand on the table; the one that is named goes onto the plate."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from g1_sim import scenery
from g1_sim.scene import Scene
from g1_sim.scenery import TABLE_TOP
from g1_sim.tasks import pick_and_place
from g1_sim.waypoints import SHOULDERS

#: Unlike one another, the blue plate and the table.
_COLOURS = {
    'red': (0.85, 0.10, 0.10),
    'yellow': (0.95, 0.80, 0.10),
    'green': (0.15, 0.60, 0.20),
    'purple': (0.50, 0.15, 0.60),
    'black': (0.08, 0.08, 0.09),
}
_CANS, _PLATES = ((0.285, -0.225), (0.445, 0.0)), ((0.28, -0.05), (0.44, 0.13))
_APART, _FROM_PLATE, _FROM_WAY = 0.10, 0.115, 0.09  # [m]
_REACH = 0.43  # [m]

Array = NDArray[np.float64]


class Task(pick_and_place.Task):
    """As `pick_and_place`, but what to take is only in the sentence. The body `object` is meant."""

    own_variants = ()
    #: Over the other can first: a policy then need not see whether that is in the way.
    carried = (0.115, 0.06)

    def build(self, spec: mujoco.MjSpec) -> None:
        """Adds the second can."""
        super().build(spec)
        self.add_can(spec, 'other', 'other_can')

    def arrange(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Two cans of two colours at random places, and the sentence that names one."""
        while True:
            can, other = rng.uniform(*_CANS), rng.uniform(*_CANS)
            plate = rng.uniform(*_PLATES)
            if _fits(can, other, plate) and _fits(other, can, plate):
                break
        scenery.place(model, data, 'plate', (*plate, TABLE_TOP))
        colours = rng.choice(list(_COLOURS), 2, replace=False)
        for body, geom, place, colour in (
            ('object', 'can', can, colours[0]),
            ('other', 'other_can', other, colours[1]),
        ):
            scenery.place(model, data, body, (*place, TABLE_TOP), rng.uniform(-np.pi, np.pi))
            scenery.paint(model, (geom,), _COLOURS[colour])
        self.instruction = f'Pick up the {colours[0]} can and put it onto the plate.'

    def success(self, scene: Scene) -> bool:
        """Whether the can that is meant is on the plate, and the other one is not."""
        return super().success(scene) and not scene.touching('other', 'plate')


def _fits(can: Array, other: Array, plate: Array) -> bool:
    """Whether the hand gets at `can`, and from there to the plate, past the other one."""
    shoulder = SHOULDERS['right']
    way = can - shoulder
    along = np.clip((np.array((other, plate)) - shoulder) @ way / (way @ way), 0.0, 1.0)
    past = np.linalg.norm(np.array((other, plate)) - shoulder - along[:, None] * way, axis=1)
    reach = max(np.linalg.norm(place - shoulder) for place in (can, plate))
    return bool(
        reach < _REACH
        and np.linalg.norm(can - other) > _APART
        and np.linalg.norm(can - plate) > _FROM_PLATE
        and past[0] > _FROM_WAY
        and past[1] > _FROM_PLATE
    )
