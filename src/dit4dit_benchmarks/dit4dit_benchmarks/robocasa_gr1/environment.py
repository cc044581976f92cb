"""RoboCasa-GR1 as an environment of `dit4dit eval`; the simulator runs in `.venv-robocasa`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit4dit_benchmarks.process import Simulator, SimulatorProcess, environment_python
from dit4dit_benchmarks.robocasa_gr1.protocol import TASKS
from dit4dit_policy.evaluation.environment import Conduct, Step
from dit4dit_policy.inference.chunk_policy import Observation
from g1_description import Embodiment, load_embodiment


def make(cameras: tuple[str, ...], latency: float) -> RobocasaEnvironment:
    """The environment `gr1`: see `dit4dit_policy.evaluation.environment.Environment`."""
    if latency:
        raise ValueError(
            'latency: RoboCasa-GR1 stands still while a policy infers, expected 0 s, got '
            f'{latency:g}'
        )
    python = environment_python('.venv-robocasa', 'DIT4DIT_ROBOCASA')
    return RobocasaEnvironment(
        cameras, lambda: SimulatorProcess(python, 'dit4dit_benchmarks.robocasa_gr1.simulation')
    )


class RobocasaEnvironment:
    """Attempts at the 24 tasks; 12 actions of each chunk are carried out."""

    def __init__(self, cameras: tuple[str, ...], simulator: Callable[[], Simulator]) -> None:
        """cameras: whose images an observation has. simulator: starts one, when it is needed."""
        self._embodiment = load_embodiment('gr1')
        if cameras:
            self._embodiment.select_cameras(cameras)  # a wrong name is said here
        self._cameras = cameras
        self._start = simulator
        self._simulator: Simulator | None = None
        self._steps = 0

    @property
    def embodiment(self) -> Embodiment:
        """The GR-1 as the published datasets have it."""
        return self._embodiment

    @property
    def tasks(self) -> tuple[str, ...]:
        """The simulator's names, in the order of the paper's table."""
        return TASKS

    @property
    def variants(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def conduct(self) -> Conduct:
        """Scenes are drawn from seeds 0 on; one server infers for all attempts."""
        return Conduct(first_seed=0, latency=0.0, served=True)

    def reset(self, task: str, seed: int, variant: str = '') -> Observation:
        """Begins an attempt; ValueError says what there is not, assets among it."""
        if task not in TASKS:
            raise ValueError(f"expected a task as {TASKS[-1]}, got '{task}'")
        if variant:
            raise ValueError(f'expected no variant, got {variant!r}')
        self._simulator = self._simulator or self._start()
        self._steps = 0
        return self._observation(self._simulator.call('reset', task=task, seed=seed))

    def step(self, chunk: NDArray[np.float64]) -> Step:
        """Carries out the beginning of a chunk (K, 29) [rad]."""
        if self._simulator is None:
            raise RuntimeError('expected a step of an attempt that goes on; call reset first')
        seen = self._simulator.call('step', chunk=np.asarray(chunk))
        self._steps += seen['steps']
        return Step(
            observation=self._observation(seen),
            done=seen['done'],
            success=seen['success'],
            time=self._steps * self._embodiment.step,
            stage='done' if seen['success'] else 'not done',
        )

    def close(self) -> None:
        """Ends the simulator."""
        if self._simulator is not None:
            self._simulator.close()
            self._simulator = None

    def _observation(self, seen: Mapping[str, Any]) -> Observation:
        return Observation(
            images={name: seen['images'][name] for name in self._cameras},
            state=seen['state'],
            instruction=seen['instruction'],
            stamp=self._steps * self._embodiment.step,
        )
