"""The scripted expert: follows a plan as a policy does, and demonstrates it for a dataset."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.inference.chunk_policy import Observation
from g1_data import DatasetWriter
from g1_description import load_robot
from g1_sim.mistaken import astray
from g1_sim.planner import START_SPREAD, NoWayError, Planner
from g1_sim.rollout import Rollout, chunk
from g1_sim.simulation import Simulation
from g1_sim.trajectory import Trajectory
from g1_sim.waypoints import LostError, Waypoint

Array = NDArray[np.float64]

HELD = 2.0  # [s] that the robot does not follow a plan, after which it is given up
PLANS = 8  # of one attempt at most, each from what the one before has left

_FREE_NOISE, _FINE_NOISE = 0.04, 0.004  # [rad] of the executed motion, far from and near objects
_NEAR_STARTS = 0.3  # share of the episodes that begin near the object, as after a failed grasp
_REST = 0.5  # [s] after a plan before its outcome is judged,
_SHOWN = 0.2  # [s] or this long where it is done: what stands still teaches to stand still


class Expert:
    """A policy (see `Rollout`) that follows a plan made from the present state.

    The motion it asks for strays a little from the plan, `target` does not: demonstrations show the
    way back to the plan (Laskey et al., DART: Noise Injection for Robust Imitation Learning, 2017).
    """

    def __init__(self, motion: Trajectory, rng: np.random.Generator, straying: float = 1.0) -> None:
        """rng: which way it strays. straying: how far, as a share of the usual."""
        self._motion, self._begun = motion, 0.0
        self.start = motion(0.0)
        self._fine, self._free = straying * _FINE_NOISE, straying * _FREE_NOISE
        self._frequency = rng.uniform(0.15, 0.6, (2, 14))  # [Hz]
        self._phase = rng.uniform(0.0, 2 * np.pi, (2, 14))

    @classmethod
    def from_reset(
        cls,
        simulation: Simulation,
        planner: Planner,
        rng: np.random.Generator,
        straying: float = 1.0,
    ) -> Expert:
        """Demonstrates from somewhere near the home posture, or near the object.

        simulation: freshly reset. Raises NoWayError when the task cannot be done from there.
        """
        home, task, scene = load_robot().home, simulation.task, simulation.scene
        spread = rng.uniform(-START_SPREAD, START_SPREAD, 14)
        if rng.uniform() < _NEAR_STARTS and task.near_starts:
            with suppress(NoWayError, LostError, ValueError):  # then from home
                first = next(s for s in next(iter(task.plan(scene))) if isinstance(s, Waypoint))
                near = planner.follow([_near(first, rng)], home, scene.pelvis)(np.inf)
                near[:14] += spread
                return cls(planner.plan(task, scene, near), rng, straying)
        start = home.copy()
        start[:14] += spread
        return cls(planner.plan(task, scene, start), rng, straying)

    @property
    def end(self) -> float:
        """When the motion has come to its end [s]."""
        return self._begun + self._motion.duration

    def go_on(self, motion: Trajectory, time: float) -> None:
        """Follows another motion from `time` [s] on."""
        self._motion, self._begun = motion, time

    def target(self, time: float) -> Array:
        """(16,) where the plan has the joints at `time` [s]."""
        return self._motion(time - self._begun)

    def __call__(self, observation: Observation) -> Array:
        return chunk(self._strayed, observation.stamp)

    def _strayed(self, time: float) -> Array:
        position = self.target(time)
        waves = np.sin(2 * np.pi * self._frequency * time + self._phase).mean(axis=0)
        freedom = self._motion.freedom(time - self._begun)
        position[:14] += waves * (self._fine + (self._free - self._fine) * freedom)
        return position


def _near(approach: Waypoint, rng: np.random.Generator) -> Waypoint:
    """Somewhere around the first waypoint, the gripper anything between shut and open."""
    assert approach.pose is not None
    pose = approach.pose.copy()
    pose[:3, 3] += pose[:3, :3] @ rng.uniform((-0.08, -0.04, 0.0), (-0.02, 0.04, 0.05))
    return replace(approach, pose=pose, gripper=rng.uniform(0.0, approach.gripper))


@dataclass(frozen=True)
class Demonstration:
    """One demonstration: whether it succeeded, its length [s], what went wrong, how far it came."""

    seed: int
    success: bool
    duration: float
    text: str = ''
    stage: str = ''


def demonstrate(
    simulation: Simulation,
    planner: Planner,
    seed: int,
    writer: DatasetWriter | None,
    straying: float = 1.0,
    misjudging: float = 0.0,
) -> Demonstration:
    """Lets the expert do the task in the scene of `seed`; a success is added to the dataset.

    straying: how far it strays from its plan, as a share of the usual. misjudging: standard
    deviation [m] of where its plan, then the only one, takes each thing to be; not for a dataset.
    """
    simulation.reset(seed)
    try:
        rng = np.random.default_rng((seed, 1))
        elsewhere = np.random.default_rng((seed, 2))
        with astray(simulation, elsewhere, misjudging) if misjudging else nullcontext():
            expert = Expert.from_reset(simulation, planner, rng, straying)
    except NoWayError as error:
        return Demonstration(seed, False, 0.0, str(error))
    if writer is None:
        rollout = follow(simulation, planner, expert, 1 if misjudging else PLANS)
        return outcome(seed, rollout, simulation.progress())
    frames: list[tuple[Observation, Array]] = []
    rollout = follow(
        simulation,
        planner,
        expert,
        cameras=tuple(writer.schema.videos),
        image_shape=next(iter(writer.schema.videos.values())).shape,
        observer=lambda seen: frames.append((seen, expert.target(seen.stamp))),
    )
    if rollout.success:
        with writer.episode(frames[0][0].instruction) as episode:
            for seen, action in frames:
                episode.add(seen.state, action, seen.images)
    return outcome(seed, rollout, simulation.progress())


def follow(
    simulation: Simulation, planner: Planner, expert: Expert, plans: int = PLANS, **options: Any
) -> Rollout:
    """The attempt, ended: plan after plan, each with a rest, until the task is done or no way is.

    A plan may lead only a part of the way, or go wrong: the next one begins where it ended.
    """
    rollout = Rollout(simulation, start=expert.start, time_limit=np.inf, linger=np.inf, **options)
    for remaining in reversed(range(plans)):
        while rollout.time < expert.end + _REST:
            rollout.step(expert(rollout.observation))
            if rollout.held_for > HELD:  # it shows nothing worth learning any more
                return rollout
            if rollout.success and rollout.time >= expert.end + _SHOWN:
                return rollout
        if not remaining or rollout.success or rollout.held_for:
            break
        try:
            expert.go_on(planner.plan(simulation.task, simulation.scene), rollout.time)
        except NoWayError:
            break
    return rollout


def outcome(seed: int, rollout: Rollout, stage: str) -> Demonstration:
    """What came of the attempt in the scene of `seed`, which has reached `stage`."""
    text = '' if rollout.success else rollout.status.text
    return Demonstration(seed, rollout.success, rollout.time, text, stage)
