"""An expert that is mistaken: it does what a policy does wrong, to be shown how that is mended.

It takes things to be a little elsewhere and so misses, knocks over and misplaces them, or it loses
what it holds; and then goes on as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import mujoco
import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.evaluation.environment import Teacher
from dit4dit_policy.inference.chunk_policy import Observation
from g1_description import load_robot
from g1_sim.rollout import chunk
from g1_sim.simulation import Simulation

Array = NDArray[np.float64]

_ASTRAY = (0.0, 0.03, 0.045)  # [m] standard deviation of where things are taken to be, with
_HOW_OFTEN = (0.12, 0.44, 0.44)  # the share of experts each;
_OF_THINGS = 0.7  # of all things so many, the others are where they are
_LOSING = 0.35  # share of the experts that lose what they hold,
_WHEN = (0.35, 0.9)  # of the motion's time,
_OPEN = 0.6  # by opening their hands for so long [s]


class Mistaken:
    """Follows a motion; from the stamp `loses` on its hands are open for a while."""

    def __init__(self, motion: Teacher, begun: float, rng: np.random.Generator) -> None:
        self._motion, self.end = motion, motion.end
        loses = begun + rng.uniform(*_WHEN) * (motion.end - begun)
        self._loses = loses if rng.uniform() < _LOSING else np.inf

    def target(self, stamp: float) -> Array:
        """(16,) where it wants the joints at that stamp [rad, m]."""
        target = np.array(self._motion.target(stamp))
        if self._loses <= stamp < self._loses + _OPEN:
            target[14:] = load_robot().gripper_stroke
        return target

    def __call__(self, observation: Observation) -> Array:
        """The next targets (K, 16)."""
        return chunk(self.target, observation.stamp)


@contextmanager
def astray(
    simulation: Simulation, rng: np.random.Generator, spread: float | None = None
) -> Iterator[None]:
    """Within, things are elsewhere on the table: what touches each other together.

    spread: standard deviation [m] of where each of them is; by default some of them are, by little
    or much.
    """
    model, data, scene = simulation.model, simulation.data, simulation.scene
    share = _OF_THINGS if spread is None else 1.0
    spread = rng.choice(_ASTRAY, p=_HOW_OFTEN) if spread is None else spread
    kept = data.qpos.copy(), data.qvel.copy(), model.body_pos.copy()
    offsets: dict[str, Array] = {}
    for thing in scene.things:
        offset = rng.normal(0.0, spread, 2) * (rng.uniform() < share)
        neighbour = next((other for other in offsets if scene.touching(thing, other)), None)
        offsets[thing] = offset if neighbour is None else offsets[neighbour]
    try:
        for thing, offset in offsets.items():
            data.joint(thing).qpos[:2] += offset
        for body in _furniture(model):
            model.body_pos[body, :2] += rng.normal(0.0, spread, 2) * (rng.uniform() < share)
        mujoco.mj_forward(model, data)
        yield
    finally:
        data.qpos[:], data.qvel[:], model.body_pos[:] = kept
        mujoco.mj_forward(model, data)


def _furniture(model: mujoco.MjModel) -> list[int]:
    """Bodies that stand fast and have parts that move, the robot aside."""
    roots = set(model.body_rootid[model.jnt_bodyid].tolist()) - {model.body('pelvis').id}
    return [body for body in sorted(roots) if model.body_dofnum[body] == 0]
