"""Policies for tests, found as module:attribute where this folder is on the path."""

from __future__ import annotations

import numpy as np

from dit4dit_policy.inference.surprise import SurpriseCalibration, SurpriseLimit


class Looker:
    """Shows in its targets what it saw: the mean of each camera's image, then the state.

    Expects a gripper to move when all joints have doubled.

    Two wrong ways to load it are named by the checkpoint.
    """

    cameras: tuple[str, ...] = ('head', 'left_wrist')
    step = 0.05
    horizon = 3
    model_id = 'looker'
    trained = True

    def __init__(self, checkpoint, embodiment):
        if checkpoint == 'nonsense':
            raise ValueError("expected a folder, got 'nonsense'")
        self.embodiment = embodiment

    def infer(self, observation, prefix=None):
        if observation.instruction == 'nobody answers':
            raise ConnectionError('the server does not answer')
        means = [observation.images[name].mean() for name in self.cameras]
        self.keyframe = 2 * observation.state
        row = np.concatenate([means, observation.state[2:]])
        return np.tile(row, (self.horizon, 1))


class Homebody(Looker):
    """Knows that all goes well where the joints stay near 0."""

    cameras = ('head',)
    calibration = SurpriseCalibration(
        'state',
        0.4,
        0.05,
        (1.0,) * 16,
        {'stay at home': SurpriseLimit(0.5, 99, 0.01)},
        ((0.0,) * 16,),
    )

    def infer(self, observation, prefix=None):
        return np.tile(observation.state, (self.horizon, 1))
