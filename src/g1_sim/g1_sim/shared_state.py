"""The newest physics state in memory shared by two processes: neither waits for the other."""

from __future__ import annotations

from multiprocessing.context import SpawnContext

import numpy as np
from numpy.typing import NDArray

_VERSION, _STAMP, _SEED, _FRAMES, _FRAME_TIME = range(5)


class SharedState:
    """Positions with their time and scene, and the camera's own counters in the other direction.

    A version that is odd during a write, and changed after it, tells the reader to read again.
    """

    def __init__(self, context: SpawnContext, nq: int) -> None:
        self._positions = context.RawArray('d', nq)
        self._numbers = context.RawArray('q', 5)

    def write(self, qpos: NDArray[np.float64], stamp: int, seed: int) -> None:
        """Puts down the state (nq,) of the time `stamp` [ns] in the scene of `seed`."""
        numbers = self._numbers
        numbers[_VERSION] += 1
        np.frombuffer(self._positions)[:] = qpos
        numbers[_STAMP], numbers[_SEED] = stamp, seed
        numbers[_VERSION] += 1

    def read(self) -> tuple[NDArray[np.float64], int, int] | None:
        """The newest (qpos, stamp [ns], seed), or None before the first one."""
        numbers = self._numbers
        while True:
            version = numbers[_VERSION]
            qpos = np.frombuffer(self._positions).copy()
            stamp, seed = numbers[_STAMP], numbers[_SEED]
            if version % 2 == 0 and version == numbers[_VERSION]:
                return (qpos, stamp, seed) if version else None

    def count_frame(self, duration: float) -> None:
        """The reader has published one more image, and took `duration` [s] for it."""
        self._numbers[_FRAMES] += 1
        self._numbers[_FRAME_TIME] = int(duration * 1e9)

    @property
    def frames(self) -> int:
        """Images published so far."""
        return self._numbers[_FRAMES]

    @property
    def frame_time(self) -> float:
        """What the newest image took to render and publish [s]."""
        return self._numbers[_FRAME_TIME] * 1e-9
