"""A chunk whose hands go where the same policy tells that they are going: to its keyframe.

Where it was trained, the place of a keyframe is told more precisely than the chunk goes there: the
loss of a chunk weighs its joints alike, and 0.02 rad at a shoulder are 10 mm at the hand. Held out,
single chunks gain little, attempts do: docs/experiments.md, stage 9.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g1_description import Embodiment

Array = NDArray[np.float64]

_BESIDE = 0.025  # [m] over the table from the told place at most: farther, it is not going there
_LEVEL = 0.03  # [m] above or below it
_WAY = 0.04  # [m] before and after, over which it turns there and back
_DAMPING = 1e-5  # [m2]
_STEP = 1e-4  # [rad, m] of a joint, to see how it moves a hand


class Aim:
    """Moves chunks of one robot."""

    def __init__(self, embodiment: Embodiment) -> None:
        """embodiment: whose hands can be found, see `Embodiment.hand_positions`."""
        self._embodiment = embodiment
        states, actions = embodiment.state_names, embodiment.action_names
        moved = [name for name in actions if name in states]
        self._state = [states.index(name) for name in moved]
        self._action = [actions.index(name) for name in moved]

    def __call__(self, targets: Array, state: Array, told: Array) -> Array:
        """Targets (K, A) [rad, m] that pass through the places told (H, 3) [m] of the hands.

        Each hand that comes near to its place, over the table, is moved there, as a whole, with the
        targets around; its height stays. state (S,): of the observation, for what has no target.
        """
        states = np.tile(state, (len(targets), 1))
        states[:, self._state] = targets[:, self._action]
        paths = self._embodiment.hand_positions(states)
        aimed = targets.copy()
        for hand, place in enumerate(told):
            way = paths[:, hand]
            off = place - way
            beside = np.linalg.norm(off[:, :2], axis=1)
            beside[np.abs(off[:, 2]) > _LEVEL] = np.inf
            nearest = int(beside.argmin())
            if beside[nearest] > _BESIDE:
                continue
            jacobian = self._jacobian(states[nearest], hand)
            wanted = np.array((*off[nearest, :2], 0.0))
            square = jacobian @ jacobian.T + _DAMPING * np.eye(3)
            move = jacobian.T @ np.linalg.solve(square, wanted)
            apart = np.linalg.norm(way[:, :2] - way[nearest, :2], axis=1)
            share = np.exp(-0.5 * (apart / _WAY) ** 2)
            aimed[:, self._action] += share[:, None] * move
        return aimed

    def _jacobian(self, state: Array, hand: int) -> Array:
        """(3, M) how what moves moves a hand."""
        states = np.tile(state, (len(self._state) + 1, 1))
        states[range(len(self._state)), self._state] += _STEP
        places = self._embodiment.hand_positions(states)[:, hand]
        return ((places[:-1] - places[-1]) / _STEP).T
