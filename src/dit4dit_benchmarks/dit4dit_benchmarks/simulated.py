"""What the environments of `dit4dit eval` share whose simulator is a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit4dit_benchmarks.process import Simulator, SimulatorProcess, environment_python
from dit4dit_policy.evaluation.environment import Conduct, Step
from dit4dit_policy.inference.chunk_policy import Observation
from g1_description import Embodiment, load_embodiment

Picture = NDArray[np.uint8]
Pictures = Mapping[str, Picture]
Array = NDArray[np.float64]


def simulator_of(
    benchmark: str, latency: float, folder: str, variable: str, module: str
) -> Callable[[], Simulator]:
    """Starts `module` in the Python environment in `folder`, or that which `variable` names.

    ValueError where a latency [s] is asked for, which these benchmarks do not have.
    """
    if latency:
        raise ValueError(
            f'latency: {benchmark} stands still while a policy infers, expected 0 s, got '
            f'{latency:g}'
        )
    python = environment_python(folder, variable)
    return lambda: SimulatorProcess(python, module)


class SimulatedBenchmark:
    """Attempts in a simulator that is started when it is needed, and stands still in between."""

    def __init__(
        self, embodiment: str, cameras: tuple[str, ...], simulator: Callable[[], Simulator]
    ) -> None:
        """cameras: whose images an observation has. simulator: starts one, when it is needed."""
        self._embodiment = load_embodiment(embodiment)
        if cameras:
            self._embodiment.select_cameras(cameras)  # a wrong name is said here
        self._cameras = cameras
        self._start = simulator
        self._simulator: Simulator | None = None
        self._instruction = ''
        self._steps = 0

    @property
    def embodiment(self) -> Embodiment:
        """The robot as the published datasets have it."""
        return self._embodiment

    @property
    def conduct(self) -> Conduct:
        """Attempts begin with seed 0, without latency; one server infers for all of them."""
        return Conduct(first_seed=0, latency=0.0, served=True)

    def step(self, chunk: Array) -> Step:
        """Carries out a chunk (K, A), or what of it the protocol has executed."""
        if self._simulator is None:
            raise RuntimeError('expected a step of an attempt that goes on; call reset first')
        seen = self._simulator.call('step', chunk=self._actions(np.asarray(chunk)))
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

    def _begin(self, **scene: object) -> Observation:
        """Begins an attempt in a scene, told to the simulator."""
        self._simulator = self._simulator or self._start()
        seen = self._simulator.call('reset', **scene)
        self._instruction = seen['instruction']
        self._steps = 0
        return self._observation(seen)

    def _observation(self, seen: Mapping[str, Any]) -> Observation:
        images = self._images(seen['images'])
        return Observation(
            images={name: images[name] for name in self._cameras},
            state=seen['state'],
            instruction=self._instruction,
            stamp=self._steps * self._embodiment.step,
        )

    def _images(self, images: Pictures) -> Pictures:
        """What a policy sees of the simulator's images."""
        return images

    def _actions(self, chunk: Array) -> Array:
        """What the simulator gets of a policy's chunk."""
        return chunk
