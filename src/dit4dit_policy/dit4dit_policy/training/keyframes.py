"""Where a demonstration is going: the frames in which a gripper begins to open or close."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.training.demonstrations import Demonstrations

_MOVING = 4  # frames that most motions of a gripper take: until then it can hardly be seen to move
_MOVES = 0.04  # share of a gripper's range that its target moves in a step, where it is not at rest


def keyframes(data: Demonstrations) -> NDArray[np.int64]:
    """(N,) of each frame the next one in which a gripper begins to open or close.

    While it begins, that one still: else what is to be told would change where nobody can see it.
    Where none does any more, the last frame of its episode, as `Demonstrations.last` has it; so
    too for robots without a group named as a gripper.
    """
    last = data.last
    within = last[:-1] > np.arange(len(last) - 1)  # the next frame is of the same episode
    begins = np.zeros(len(last), bool)
    for name, columns in data.embodiment.action_slices().items():
        if 'gripper' not in name:
            continue
        for target in np.nan_to_num(data.action[:, columns]).T:
            moves = within & (np.abs(np.diff(target)) > _MOVES * np.ptp(target))
            begins[:-1] |= moves & ~np.insert(moves[:-1], 0, False)
    events = np.append(np.flatnonzero(begins), len(last) - 1)
    until = np.minimum(events + _MOVING, last[events])
    following = events[
        np.searchsorted(until, np.arange(1, len(last) + 1)).clip(max=len(events) - 1)
    ]
    return np.minimum(following, last)
