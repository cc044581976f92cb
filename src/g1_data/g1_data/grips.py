"""When grippers open and close in a demonstration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MOVING = 4  # frames that most motions of a gripper take: until then it can hardly be seen to move
_MOVES = 0.04  # share of a gripper's range that its target moves in a step, where it is not at rest


def next_grips(
    targets: NDArray[np.float64], ranges: NDArray[np.float64], last: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(N,) of each frame the next one in which a gripper begins to open or close.

    While it begins, that one still: else what is to be told would change where nobody can see it.
    Where none does any more, `last` (N,), the last frame of its episode. targets (N, G) of the
    grippers, ranges (G,) that they move in [m].
    """
    within = last[:-1] > np.arange(len(last) - 1)  # the next frame is of the same episode
    begins = np.zeros(len(last), bool)
    for target, span in zip(targets.T, ranges, strict=True):
        moves = within & (np.abs(np.diff(target)) > _MOVES * span)
        begins[:-1] |= moves & ~np.insert(moves[:-1], 0, False)
    events = np.append(np.flatnonzero(begins), len(last) - 1)
    until = np.minimum(events + _MOVING, last[events])
    following = events[
        np.searchsorted(until, np.arange(1, len(last) + 1)).clip(max=len(events) - 1)
    ]
    return np.minimum(following, last)
