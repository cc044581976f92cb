"""The rows and pictures of one episode, to be played forwards and jumped about in."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from g1_console.web.mosaic import Pixels, mosaic
from g1_data import Dataset
from g1_data.schema import ACTION_KEY, STATE_KEY

Array = NDArray[np.float64]

_NEAR = 8  # rows: to go so far forwards is quicker than to look for a key frame


class OpenedEpisode:
    """One episode.

    Attributes:
        length: of its rows.
        measured, commanded: (T, J) of `names` [rad, m]; NaN where only the other is known.
    """

    def __init__(self, dataset: Dataset, index: int) -> None:
        """ValueError and OSError as of `Dataset.read_episode`."""
        rows = dataset.read_episode(index, (STATE_KEY, ACTION_KEY))
        self.names = tuple(dict.fromkeys((*dataset.action_names, *dataset.state_names)))
        self.measured = _ordered(rows[STATE_KEY], dataset.state_names, self.names)
        self.commanded = _ordered(rows[ACTION_KEY], dataset.action_names, self.names)
        self.length = len(self.measured)
        self._dataset, self._index = dataset, index
        self._next = 0  # the row whose pictures come next
        self._frames: list[Iterator[Pixels]] = []

    def posture(self, row: int) -> dict[str, float]:
        """What each joint measured in that row [rad, m]."""
        known = zip(self.names, self.measured[row].tolist(), strict=True)
        return {name: value for name, value in known if np.isfinite(value)}

    def picture(self, row: int) -> Pixels | None:
        """What the cameras saw in that row, as one; None without cameras, ValueError as `frames`.

        The next row, and those soon after it, come quickly.
        """
        if not self._dataset.cameras:
            return None
        if not self._frames or not self._next <= row < self._next + _NEAR:
            self._next = row
            self._frames = [
                self._dataset.frames(self._index, camera, row) for camera in self._dataset.cameras
            ]
        while self._next < row:
            for frames in self._frames:
                next(frames, None)
            self._next += 1
        self._next += 1
        shown = [image for frames in self._frames if (image := next(frames, None)) is not None]
        return mosaic(shown) if shown else None


def _ordered(rows: Array, names: tuple[str, ...], wanted: tuple[str, ...]) -> Array:
    values = np.full((len(rows), len(wanted)), np.nan)
    for column, name in enumerate(names):
        values[:, wanted.index(name)] = rows[:, column]
    return values
