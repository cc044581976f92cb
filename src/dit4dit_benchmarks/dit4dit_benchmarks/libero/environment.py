"""LIBERO as an environment of `dit4dit eval`; the simulator runs in `.venv-libero`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dit4dit_benchmarks.libero.protocol import INIT_STATES, SUITES
from dit4dit_benchmarks.process import Simulator
from dit4dit_benchmarks.simulated import Array, Pictures, SimulatedBenchmark, simulator_of
from dit4dit_policy.evaluation.environment import Conduct
from dit4dit_policy.inference.chunk_policy import Observation


def make(cameras: tuple[str, ...], latency: float) -> LiberoEnvironment:
    """The environment `libero`: see `dit4dit_policy.evaluation.environment.Environment`."""
    return LiberoEnvironment(cameras, simulator(latency))


def simulator(latency: float = 0.0) -> Callable[[], Simulator]:
    """Starts LIBERO's simulator. ValueError where it is not installed, or has no such latency."""
    module = 'dit4dit_benchmarks.libero.simulation'
    return simulator_of('LIBERO', latency, '.venv-libero', 'DIT4DIT_LIBERO', module)


def suite_and_number(task: str) -> tuple[str, int]:
    """Of a task named as 'libero_spatial-0'. ValueError where there is no such task."""
    suite, _, number = task.rpartition('-')
    if suite not in SUITES or number not in map(str, range(SUITES[suite].tasks)):
        raise ValueError(f"expected a task as libero_spatial-0, got '{task}'")
    return suite, int(number)


class LiberoEnvironment(SimulatedBenchmark):
    """Attempts at the tasks of all five suites; the scene of seed k is their k-th initial state.

    50 attempts from the 50 initial states. Every target of a chunk is carried out before the next
    observation.
    """

    def __init__(self, cameras: tuple[str, ...], simulator: Callable[[], Simulator]) -> None:
        """cameras: whose images an observation has. simulator: starts one, when it is needed."""
        super().__init__('libero_panda', cameras, simulator)
        self._variant = _VARIANTS['']

    @property
    def conduct(self) -> Conduct:
        """As of all benchmarks; there is no attempt beyond the published initial states."""
        return replace(super().conduct, scenes=INIT_STATES)

    @property
    def tasks(self) -> tuple[str, ...]:
        """libero_spatial-0 and so on, in LIBERO's order."""
        return tuple(f'{name}-{k}' for name, suite in SUITES.items() for k in range(suite.tasks))

    @property
    def variants(self) -> tuple[str, ...]:
        """Mistakes of an adapter, none of which a policy should survive."""
        return tuple(name for name in _VARIANTS if name)

    def reset(self, task: str, seed: int, variant: str = '') -> Observation:
        """Begins an attempt, when objects have come to rest. ValueError names what there is."""
        suite, number = suite_and_number(task)
        if variant not in _VARIANTS:
            raise ValueError(f'expected a variant of {", ".join(self.variants)}, got {variant!r}')
        if not 0 <= seed < INIT_STATES:
            raise ValueError(f'{task}: expected a seed from 0 to {INIT_STATES - 1}, got {seed}')
        self._variant = _VARIANTS[variant]
        return self._begin(suite=suite, task=number, init_state=seed)

    def _images(self, images: Pictures) -> Pictures:
        return self._variant.images(images)

    def _actions(self, chunk: Array) -> Array:
        return self._variant.actions(chunk)


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
