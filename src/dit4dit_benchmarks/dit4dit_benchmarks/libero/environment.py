"""LIBERO as an environment of `dit4dit eval`; the simulator runs in `.venv-libero`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit4dit_benchmarks.libero.protocol import INIT_STATES, SUITES
from dit4dit_benchmarks.process import Simulator, SimulatorProcess, environment_python
from dit4dit_policy.evaluation.environment import Conduct, Step
from dit4dit_policy.inference.chunk_policy import Observation
from g1_description import Embodiment, load_embodiment

Picture = NDArray[np.uint8]
Pictures = Mapping[str, Picture]
Array = NDArray[np.float64]


def make(cameras: tuple[str, ...], latency: float) -> LiberoEnvironment:
    """The environment `libero`: see `dit4dit_policy.evaluation.environment.Environment`."""
    if latency:
        raise ValueError(
            f'latency: LIBERO stands still while a policy infers, expected 0 s, got {latency:g}'
        )
    python = environment_python('.venv-libero', 'DIT4DIT_LIBERO')
    return LiberoEnvironment(
        cameras, lambda: SimulatorProcess(python, 'dit4dit_benchmarks.libero.simulation')
    )


class LiberoEnvironment:
    """Attempts at the tasks of all five suites; the scene of seed k is their k-th initial state.

    Every target of a chunk is carried out before the next observation.
    """

    def __init__(self, cameras: tuple[str, ...], simulator: Callable[[], Simulator]) -> None:
        """cameras: whose images an observation has. simulator: starts one, when it is needed."""
        self._embodiment = load_embodiment('libero_panda')
        if cameras:
            self._embodiment.select_cameras(cameras)  # a wrong name is said here
        self._cameras = cameras
        self._start = simulator
        self._simulator: Simulator | None = None
        self._variant = _VARIANTS['']
        self._instruction = ''
        self._steps = 0

    @property
    def embodiment(self) -> Embodiment:
        """The Panda as the published datasets have it."""
        return self._embodiment

    @property
    def tasks(self) -> tuple[str, ...]:
        """libero_spatial-0 and so on, in LIBERO's order."""
        return tuple(f'{name}-{k}' for name, suite in SUITES.items() for k in range(suite.tasks))

    @property
    def variants(self) -> tuple[str, ...]:
        """Mistakes of an adapter, none of which a policy should survive."""
        return tuple(name for name in _VARIANTS if name)

    @property
    def conduct(self) -> Conduct:
        """50 attempts from the 50 initial states; one server infers for all of them."""
        return Conduct(first_seed=0, latency=0.0, served=True)

    def reset(self, task: str, seed: int, variant: str = '') -> Observation:
        """Begins an attempt, when objects have come to rest. ValueError names what there is."""
        if task not in self.tasks:
            raise ValueError(f"expected a task as libero_spatial-0, got '{task}'")
        if variant not in _VARIANTS:
            raise ValueError(f'expected a variant of {", ".join(self.variants)}, got {variant!r}')
        if not 0 <= seed < INIT_STATES:
            raise ValueError(f'{task}: expected a seed from 0 to {INIT_STATES - 1}, got {seed}')
        self._variant = _VARIANTS[variant]
        self._simulator = self._simulator or self._start()
        suite, _, number = task.rpartition('-')
        seen = self._simulator.call('reset', suite=suite, task=int(number), init_state=seed)
        self._instruction = seen['instruction']
        self._steps = 0
        return self._observation(seen)

    def step(self, chunk: Array) -> Step:
        """Carries out a whole chunk, or what the attempt has left."""
        if self._simulator is None:
            raise RuntimeError('expected a step of an attempt that goes on; call reset first')
        seen = self._simulator.call('step', chunk=self._variant.actions(np.asarray(chunk)))
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
        images = self._variant.images(seen['images'])
        return Observation(
            images={name: images[name] for name in self._cameras},
            state=seen['state'],
            instruction=self._instruction,
            stamp=self._steps * self._embodiment.step,
        )


class _Variant:
    """The usual world."""

    def images(self, images: Pictures) -> Pictures:
        return images

    def actions(self, chunk: Array) -> Array:
        return chunk


class _Mirrored(_Variant):
    def images(self, images: Pictures) -> Pictures:
        return {name: np.ascontiguousarray(image[:, ::-1]) for name, image in images.items()}


class _SwappedCameras(_Variant):
    def images(self, images: Pictures) -> Pictures:
        return dict(zip(images, reversed(list(images.values())), strict=True))


class _InvertedGripper(_Variant):
    def actions(self, chunk: Array) -> Array:
        return np.concatenate([chunk[:, :6], 1.0 - chunk[:, 6:]], axis=1)


_VARIANTS = {
    '': _Variant(),
    'mirrored_images': _Mirrored(),
    'swapped_cameras': _SwappedCameras(),
    'inverted_gripper': _InvertedGripper(),
}
