"""What happened in a run of the simulation, kept as positions and drawn afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g1_sim.simulation import Simulation


class Log:
    """Collects the states of a run of `task` and writes them to `path` (.npz).

    The file has task, stamp (n,) [ns], seed (n,) of the scene, and qpos (n, nq).
    """

    def __init__(self, task: str, path: str | Path) -> None:
        self._task, self._path = task, Path(path)
        self._stamps: list[int] = []
        self._seeds: list[int] = []
        self._qpos: list[NDArray[np.float64]] = []

    def add(self, qpos: NDArray[np.float64], stamp: int, seed: int) -> None:
        """Keeps the state (nq,) of the time `stamp` [ns] in the scene of `seed`."""
        self._stamps.append(stamp)
        self._seeds.append(seed)
        self._qpos.append(qpos.copy())

    def save(self) -> None:
        """Writes the file, and its folder where there is none."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open('wb') as file:
            np.savez(file, task=self._task, stamp=self._stamps, seed=self._seeds, qpos=self._qpos)


def render(
    log_path: str | Path,
    camera: str,
    fps: float,
    *,
    width: int = 640,
    height: int = 480,
    start: int = 0,
    end: int | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Images (height, width, 3) RGB of a logged run, `fps` a second of its wall-clock time.

    camera: 'head' or 'overview'. start, end: first and last time to show [ns], by default all.
    """
    with np.load(log_path) as log:
        task, stamps, seeds, qpos = str(log['task']), log['stamp'], log['seed'], log['qpos']
    if not len(stamps):
        return
    last = stamps[-1] if end is None else min(end, stamps[-1])
    times = np.arange(max(start, stamps[0]), last, 1e9 / fps)
    simulation = Simulation(task, int(seeds[0]))
    shown = seeds[0]
    for index in np.searchsorted(stamps, times, side='right') - 1:
        if seeds[index] != shown:
            shown = seeds[index]
            simulation.reset(int(shown))
        simulation.show(qpos[index])
        yield simulation.render(camera, width, height)
    simulation.close()
