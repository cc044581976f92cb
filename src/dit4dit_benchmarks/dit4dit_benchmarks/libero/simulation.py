"""Attempts at LIBERO's tasks, to the letter of the protocol; runs where LIBERO is installed.

python -m dit4dit_benchmarks.libero.simulation FD    answers over that socket, see process.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dit4dit_benchmarks.libero import protocol
from dit4dit_benchmarks.process import answer


class Benchmark(Protocol):
    """What of LIBERO is needed."""

    def make(self, suite: str, task: int) -> Any:
        """An `OffScreenRenderEnv` of the task."""

    def skip(self, env: Any) -> None:
        """Draws from numpy's generator what `env.reset()` draws."""

    def instruction(self, suite: str, task: int) -> str:
        """The task in words."""

    def init_states(self, suite: str, task: int) -> Sequence[NDArray[np.float64]]:
        """The states that its attempts begin in."""


class LiberoSimulation:
    """One attempt at a time."""

    def __init__(self, benchmark: Benchmark) -> None:
        self._benchmark = benchmark
        self._task: tuple[str, int] | None = None
        self._env: Any = None
        self._states: Sequence[NDArray[np.float64]] = ()
        self._resets = 0  # since the task's simulation was made
        self._left = 0  # steps of this attempt
        self._rendering = False
        self._rendered = 0  # pictures in this step

    def reset(self, suite: str, task: int, init_state: int) -> dict[str, Any]:
        """Begins an attempt, after the wait; ValueError where there is no such state."""
        if (suite, task) != self._task or self._resets > init_state:
            self._load(suite, task)
        if not 0 <= init_state < len(self._states):
            raise ValueError(
                f'{suite} {task}: expected an initial state from 0 to {len(self._states) - 1}, '
                f'got {init_state}'
            )
        # Each reset draws anew where fixtures stand, which is no part of an initial state: attempt
        # k is what it is in everybody's tables after k + 1 resets from the seed.
        while self._resets < init_state:
            self._benchmark.skip(self._env)
            self._resets += 1
        self._env.reset()
        self._resets += 1
        self._render_on_demand()
        self._env.set_init_state(self._states[init_state])
        observation = self._wait()
        self._left = protocol.SUITES[suite].horizon
        return _seen(observation) | {'instruction': self._benchmark.instruction(suite, task)}

    def step(self, chunk: NDArray[np.float64]) -> dict[str, Any]:
        """Executes a chunk (K, 7), until the task is done or the attempt has no steps left."""
        commands = [protocol.command(action) for action in chunk[: self._left]]
        if not commands:
            raise ValueError('expected a step of an attempt that goes on; call reset first')
        for k, command in enumerate(commands):
            observation, success = self._step(command, k == len(commands) - 1)
            self._left -= 1
            if success:
                self._left = 0
                break
        return _seen(observation) | {'steps': k + 1, 'success': success, 'done': self._left == 0}

    def goal(self) -> tuple[str, str]:
        """Names of what is to be moved, and of what it is to be on or in."""
        thing, place = self._env.obj_of_interest
        return thing, place

    def scene(self) -> dict[str, NDArray[np.float64]]:
        """Where things are (3,) [m], by name; no policy is told."""
        positions = self._env.sim.data.body_xpos
        return {name: np.array(positions[body]) for name, body in self._env.env.obj_body_id.items()}

    def _load(self, suite: str, task: int) -> None:
        if self._env is not None:
            self._env.close()
        self._task, self._env = None, self._benchmark.make(suite, task)
        self._env.seed(protocol.SEED)
        self._states = self._benchmark.init_states(suite, task)
        self._resets = 0
        self._task = suite, task

    def _wait(self) -> Any:
        """The observation when objects have come to rest; a task that is done by then goes on."""
        for left in range(protocol.WAIT_STEPS, 0, -1):
            observation, _ = self._step(list(protocol.WAIT_ACTION), left == 1)
        return observation

    def _step(self, command: list[float], shown: bool) -> tuple[Any, bool]:
        """The observation, and whether the task is done. Its pictures are new where it is shown.

        The simulator takes them two milliseconds before the end of every step, of 50.
        """
        self._rendering, self._rendered = shown, 0
        observation, _, success, _ = self._env.step(command)
        self._rendering = False
        if shown and self._rendered != len(protocol.CAMERAS):
            raise RuntimeError(
                f'simulator: expected a picture of each of {len(protocol.CAMERAS)} cameras in '
                f'every step, got {self._rendered}; its version is not that of requirements/'
            )
        return observation, bool(success)

    def _render_on_demand(self) -> None:
        """Lets the cameras show their last picture while none is wanted: most of a step's time."""
        simulator = self._env.sim
        render, last = simulator.render, {}

        def on_demand(**view: Any) -> Any:
            name = view['camera_name']
            if self._rendering or name not in last:
                last[name] = render(**view)
                self._rendered += 1
            return last[name]

        simulator.render = on_demand


def _seen(observation: Any) -> dict[str, Any]:
    return {'images': protocol.pictures(observation), 'state': protocol.state(observation)}


class LiberoBenchmark:
    """The installed LIBERO."""

    def __init__(self) -> None:
        from libero.libero import benchmark

        self._suites = {name: benchmark.get_benchmark_dict()[name]() for name in protocol.SUITES}

    def make(self, suite: str, task: int) -> Any:
        """An environment with both cameras; it takes a few seconds."""
        from libero.libero import get_libero_path
        from libero.libero.envs import OffScreenRenderEnv

        found = self._suites[suite].get_task(task)
        path = Path(get_libero_path('bddl_files'), found.problem_folder, found.bddl_file)
        return OffScreenRenderEnv(
            bddl_file_name=str(path),
            camera_heights=protocol.RESOLUTION,
            camera_widths=protocol.RESOLUTION,
        )

    def skip(self, env: Any) -> None:
        """The part of a reset that draws: a hundredth of its time, which is for loading a model."""
        from robosuite.utils.errors import RandomizationError

        while True:
            try:
                env.env._reset_internal()
                return
            except RandomizationError:  # a reset tries again, too
                continue

    def instruction(self, suite: str, task: int) -> str:
        """The task in words."""
        return str(self._suites[suite].get_task(task).language)

    def init_states(self, suite: str, task: int) -> Sequence[NDArray[np.float64]]:
        """50 of them, as they are published."""
        states: Sequence[NDArray[np.float64]] = self._suites[suite].get_task_init_states(task)
        return states


if __name__ == '__main__':
    answer(LiberoSimulation(LiberoBenchmark()), int(sys.argv[1]))
