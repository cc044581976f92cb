"""Attempts at RoboCasa-GR1's tasks; runs where the simulator is installed.

python -m dit4dit_benchmarks.robocasa_gr1.simulation FD    answers over that socket, see process.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit4dit_benchmarks.process import answer
from dit4dit_benchmarks.robocasa_gr1 import protocol

#: What downloads the meshes and textures, which are in no package.
_DOWNLOAD = 'python -m robocasa_gr1.scripts.download_tabletop_assets -y'


class RobocasaSimulation:
    """One attempt at a time."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        """make: a gymnasium environment by the name in the registry."""
        self._make = make
        self._task = ''
        self._env: Any = None
        self._left = 0  # steps of this attempt

    def reset(self, task: str, seed: int) -> dict[str, Any]:
        """Begins an attempt in the scene that is drawn from that seed.

        ValueError says which assets are missing, and how to get them.
        """
        if task != self._task:
            if self._env is not None:
                self._env.close()
            self._task, self._env = '', self._make(protocol.environment_id(task))
            self._task = task
        # Objects, textures and places come from a generator that `reset` leaves alone.
        self._env.unwrapped.env.rng = np.random.default_rng(seed)
        observation, _ = self._env.reset(seed=seed)
        self._left = protocol.HORIZON
        return protocol.seen(observation)

    def step(self, chunk: NDArray[np.float64]) -> dict[str, Any]:
        """Carries out the first 12 actions of a chunk (K, 29).

        Success is that of the last of them; the authors go on after it, and count the attempt.
        """
        actions = chunk[: min(protocol.EXECUTED, self._left)]
        if not len(actions):
            raise ValueError('expected a step of an attempt that goes on; call reset first')
        for action in actions:
            observation, _, _, _, info = self._env.step(protocol.command(action))
        success = bool(info['success'])
        self._left = 0 if success else self._left - len(actions)
        return protocol.seen(observation) | {
            'steps': len(actions),
            'success': success,
            'done': self._left == 0,
        }


def make(name: str) -> Any:
    """The simulator's environment, rendering; ValueError where its assets are missing."""
    try:
        import gymnasium
        import robocasa_gr1.utils.gym_utils  # noqa: F401 - registers them

        return gymnasium.make(name, enable_render=True)
    except (FileNotFoundError, ValueError) as error:  # of Python, or of MuJoCo
        if isinstance(error, ValueError) and 'No such file' not in str(error):
            raise
        raise ValueError(
            f'RoboCasa-GR1: {error}. Meshes and textures are not part of the package; with '
            f'{sys.executable} as python: {_DOWNLOAD}'
        ) from None


if __name__ == '__main__':
    answer(RobocasaSimulation(make), int(sys.argv[1]))
