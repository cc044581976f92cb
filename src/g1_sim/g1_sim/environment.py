"""The simulated G1 as an environment in which policies are evaluated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.evaluation.environment import Step
from dit4dit_policy.inference.chunk_policy import Observation
from g1_description import Embodiment, load_robot
from g1_sim.rollout import Rollout
from g1_sim.simulation import Simulation
from g1_sim.tasks import load_task, simulated_tasks

_LIFTED = 0.02  # [m] above where it stood


def make(cameras: tuple[str, ...], latency: float) -> G1Environment:
    """The environment `g1`: see `dit4dit_policy.evaluation.environment.Environment`."""
    return G1Environment(cameras, latency)


class G1Environment:
    """Attempts at the simulated tasks, driven through the same controller as over ROS."""

    def __init__(self, cameras: tuple[str, ...], latency: float) -> None:
        """cameras: whose images are rendered, if any. latency: from image to chunk [s]."""
        self._robot = load_robot()
        if cameras:
            self._robot.embodiment.select_cameras(cameras)  # a wrong name is said here
        self._cameras = cameras
        self._latency = latency
        self._simulation: Simulation | None = None
        self._rollout: Rollout | None = None
        self._progress: _Progress | None = None

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
        """There are none yet."""
        return ()

    def reset(self, task: str, seed: int, variant: str = '') -> Observation:
        """Arms the robot in the scene of that seed. ValueError names tasks and variants."""
        if variant and variant not in self.variants:
            raise ValueError(
                f'variant: expected one of {", ".join(self.variants) or "none"}, got {variant!r}'
            )
        load_task(task)
        if self._simulation is None or self._simulation.task.name != task:
            self.close()
            self._simulation = Simulation(task, seed)
        self._simulation.reset(seed)
        self._progress = _Progress(self._simulation)
        self._rollout = Rollout(self._simulation, cameras=self._cameras, latency=self._latency)
        self._progress.look()
        return self._rollout.observation

    def step(self, chunk: NDArray[np.float64]) -> Step:
        """Lets a fifth of a second pass; the chunk arrives `latency` after its observation."""
        rollout, progress = self._rollout, self._progress
        if rollout is None or progress is None or rollout.done:
            raise RuntimeError('expected a step of an attempt that goes on; call reset first')
        rollout.step(chunk)
        if not rollout.done:
            progress.look()
        success = rollout.done and rollout.success
        duration = rollout.success_time if success else None
        status = rollout.status
        return Step(
            observation=rollout.observation,
            done=rollout.done,
            success=success,
            time=rollout.time if duration is None else duration,
            stage='done' if success else progress.stage,
            counts={
                'refusals': status.chunks_rejected,
                'holds': status.holds,
                'clamped': status.clamped,
            },
            text=status.rejection_text or status.text,
        )

    def close(self) -> None:
        """Frees the renderers."""
        if self._simulation is not None:
            self._simulation.close()
            self._simulation = None


class _Progress:
    """How far an attempt came, seen now and then."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._ground = self._height()
        self._touched = self._lifted = False

    def look(self) -> None:
        self._touched = self._touched or self._held()
        self._lifted = self._lifted or (self._held() and self._height() > self._ground + _LIFTED)

    @property
    def stage(self) -> str:
        """Of an attempt that has not succeeded."""
        if self._height() < self._ground - _LIFTED:
            return 'fell off the table'
        if not self._touched:
            return 'never touched it'
        if not self._lifted:
            return 'never lifted it'
        return 'still holding it' if self._held() else 'let go elsewhere'

    def _held(self) -> bool:
        simulation = self._simulation
        return simulation.scene.held(simulation.task.object)

    def _height(self) -> float:
        return float(self._simulation.data.body(self._simulation.task.object).xpos[2])
