"""RoboCasa-GR1 as an environment of `dit4dit eval`; the simulator runs in `.venv-robocasa`."""

from __future__ import annotations

from collections.abc import Callable

from dit4dit_benchmarks.process import Simulator
from dit4dit_benchmarks.robocasa_gr1.protocol import TASKS
from dit4dit_benchmarks.simulated import SimulatedBenchmark, simulator_of
from dit4dit_policy.inference.chunk_policy import Observation


def make(cameras: tuple[str, ...], latency: float) -> RobocasaEnvironment:
    """The environment `gr1`: see `dit4dit_policy.evaluation.environment.Environment`."""
    module = 'dit4dit_benchmarks.robocasa_gr1.simulation'
    start = simulator_of('RoboCasa-GR1', latency, '.venv-robocasa', 'DIT4DIT_ROBOCASA', module)
    return RobocasaEnvironment(cameras, start)


class RobocasaEnvironment(SimulatedBenchmark):
    """Attempts at the 24 tasks; 12 actions of each chunk (K, 29) [rad] are carried out."""

    def __init__(self, cameras: tuple[str, ...], simulator: Callable[[], Simulator]) -> None:
        """cameras: whose images an observation has. simulator: starts one, when it is needed."""
        super().__init__('gr1', cameras, simulator)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The simulator's names, in the order of the paper's table."""
        return TASKS

    @property
    def variants(self) -> tuple[str, ...]:
        """None."""
        return ()

    def reset(self, task: str, seed: int, variant: str = '') -> Observation:
        """Begins an attempt; ValueError says what there is not, assets among it."""
        if task not in TASKS:
            raise ValueError(f"expected a task as {TASKS[-1]}, got '{task}'")
        if variant:
            raise ValueError(f'expected no variant, got {variant!r}')
        return self._begin(task=task, seed=seed)
