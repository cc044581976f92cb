"""Where a demonstration is going: the frames in which a gripper begins to open or close."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.training.demonstrations import Demonstrations
from g1_data.grips import next_grips


def keyframes(data: Demonstrations) -> NDArray[np.int64]:
    """(N,) of each frame the next one in which a gripper begins to open or close.

    As `next_grips`, of groups named as a gripper; where there is none, `Demonstrations.last`.
    """
    grippers = [
        np.nan_to_num(data.action[:, columns])
        for name, columns in data.embodiment.action_slices().items()
        if 'gripper' in name
    ]
    targets = np.concatenate([np.empty((len(data.last), 0)), *grippers], axis=1)
    return next_grips(targets, np.ptp(targets, axis=0), data.last)
