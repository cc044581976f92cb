"""The simulated G1 as an environment in which policies are evaluated."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.evaluation.environment import Step, Teacher, TeacherLostError
from dit4dit_policy.inference.chunk_policy import Observation
from g1_control.safety import Mode
from g1_description import Embodiment, load_robot
from g1_sim.mistaken import Mistaken, astray
from g1_sim.planner import NoWayError, Planner
from g1_sim.rendering import check_rendering
from g1_sim.rollout import Rollout
from g1_sim.simulation import Simulation
from g1_sim.take_over import TakeOver
from g1_sim.tasks import load_task, simulated_tasks

_TRIES = 4  # of being mistaken in a way that leads anywhere
_WATCHED_LIMIT = 120.0  # [s] of an attempt in which the expert may take over


def make(cameras: tuple[str, ...], latency: float) -> G1Environment:
    """The environment `g1`: see `dit4dit_policy.evaluation.environment.Environment`."""
    return G1Environment(cameras, latency)


class G1Environment:
    """Attempts at the simulated tasks, driven through the same controller as over ROS."""

    def __init__(self, cameras: tuple[str, ...], latency: float) -> None:
        """cameras: whose images are rendered, if any. latency: from image to chunk [s]."""
        self._robot = load_robot()
        if cameras:
            self._robot.embodiment.select_cameras(cameras)  # a wrong name is said here,
            check_rendering()  # and what is missing to draw with
        self._cameras = cameras
        self._latency = latency
        self._simulation: Simulation | None = None
        self._rollout: Rollout | None = None
        self._stage = 0
        self._watched: dict[str, Any] = {}
        self._planner: Planner | None = None

    @property
    def embodiment(self) -> Embodiment:
        """The simulated robot's."""
        return self._robot.embodiment

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the simulated tasks."""
        return simulated_tasks()

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of worlds that any of the tasks has beside the usual one."""
        return tuple(sorted({name for task in self.tasks for name in self.variants_of(task)}))

    def variants_of(self, task: str) -> tuple[str, ...]:
        """Names of the worlds that one task has beside the usual one."""
        return load_task(task).variants

    def reset(self, task: str, seed: int, variant: str = '') -> Observation:
        """Arms the robot in the scene of that seed. ValueError names tasks and variants."""
        load_task(task, variant)
        present = self._simulation and (self._simulation.task.name, self._simulation.task.variant)
        if self._simulation is None or present != (task, variant):
            self.close()
            self._simulation = Simulation(task, seed, variant)
        self._simulation.reset(seed)
        self._rollout = Rollout(
            self._simulation, cameras=self._cameras, latency=self._latency, **self._watched
        )
        self._stage = 0
        self._look()
        return self._rollout.observation

    def step(self, chunk: NDArray[np.float64]) -> Step:
        """Lets a fifth of a second pass; the chunk arrives `latency` after its observation."""
        rollout, simulation = self._rollout, self._simulation
        if rollout is None or simulation is None or rollout.done:
            raise RuntimeError('expected a step of an attempt that goes on; call reset first')
        rollout.step(chunk)
        self._look()
        success = rollout.done and rollout.success
        duration = rollout.success_time if success else None
        status = rollout.status
        return Step(
            observation=rollout.observation,
            done=rollout.done,
            success=success,
            time=rollout.time if duration is None else duration,
            stage=simulation.task.stages[-1 if success else self._stage],
            counts={
                'refusals': status.chunks_rejected,
                'holds': status.holds,
                'clamped': status.clamped,
            },
            text=status.rejection_text or status.text,
        )

    def watch(self, observer: Callable[[Observation], None], size: tuple[int, int]) -> None:
        """Shows every observation from the next reset on; attempts have time for the expert."""
        self._watched = {'observer': observer, 'image_shape': size, 'time_limit': _WATCHED_LIMIT}

    def expert(self) -> Teacher:
        """The scripted expert from the present state. TeacherLostError where it knows no way."""
        rollout, simulation = self._rollout, self._simulation
        if rollout is None or simulation is None or rollout.done:
            raise RuntimeError('expected an attempt that goes on; call reset first')
        if rollout.status.mode not in (Mode.ACTIVE, Mode.HOLD):
            raise TeacherLostError(rollout.status.text)
        self._planner = self._planner or Planner()
        try:
            motion = self._planner.plan(simulation.task, simulation.scene)
        except NoWayError as error:
            raise TeacherLostError(str(error)) from None
        return TakeOver(motion, rollout.time)

    def mistaken(self, rng: np.random.Generator) -> Teacher:
        """An expert that does wrong what policies do wrong. TeacherLostError where none would."""
        assert self._simulation is not None
        for _ in range(_TRIES - 1):
            with suppress(TeacherLostError):
                return self._mistaken_once(self._simulation, rng)
        return self._mistaken_once(self._simulation, rng)

    def _mistaken_once(self, simulation: Simulation, rng: np.random.Generator) -> Mistaken:
        with astray(simulation, rng):
            motion = self.expert()
        assert self._rollout is not None
        return Mistaken(motion, self._rollout.time, rng)

    def _look(self) -> None:
        """Keeps the furthest stage; only an attempt that ends in success has reached the last."""
        assert self._simulation is not None
        stages = self._simulation.task.stages
        reached = stages.index(self._simulation.progress())
        self._stage = min(max(self._stage, reached), len(stages) - 2)

    def close(self) -> None:
        """Frees the renderers."""
        if self._simulation is not None:
            self._simulation.close()
            self._simulation = None
