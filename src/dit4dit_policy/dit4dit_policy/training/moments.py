"""Frames that come with the targets that follow: moments, where other frames are of a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.training.columns import arranged, places
from g1_data.dataset import Dataset
from g1_data.schema import CHUNK_KEY, KEYFRAME_KEY
from g1_description import Embodiment


@dataclass(frozen=True)
class Moments:
    """What belongs to the M of all N frames that are moments.

    place (N,): of a frame's row in the others, -1 for a film's. targets (M, K, A) and keyframe (M,
    S), a state [rad, m]: of a number that a dataset has not they are NaN.
    """

    place: NDArray[np.int64]
    targets: NDArray[np.float64]
    keyframe: NDArray[np.float64]

    @classmethod
    def read(
        cls,
        sources: Sequence[Dataset],
        robot: Embodiment,
        own: NDArray[np.bool_],
        horizon: int,
    ) -> Moments:
        """Of the datasets of moments, the first `horizon` targets of each; `own` (N,): its frames.

        ValueError where a dataset has fewer, no keyframes, or another rate than the embodiment.
        """
        targets = [np.empty((0, horizon, len(robot.action_names)))]
        keyframe = [np.empty((0, len(robot.state_names)))]
        for source in sources:
            numbers = len(source.schema.action.names)
            steps, more = divmod(len(source.extras[CHUNK_KEY].names), numbers)
            if steps < horizon or more or source.fps != robot.rate:
                raise ValueError(
                    f'{source.root}: expected at least {horizon} targets of {1 / robot.rate:g} s '
                    f'with every frame, got {steps} of {1 / source.fps:g} s; make it anew'
                )
            told = source.extras.get(KEYFRAME_KEY)
            if told is None or told.names != source.schema.state.names:
                raise ValueError(
                    f'{source.root}: expected the column {KEYFRAME_KEY} beside {CHUNK_KEY}, with '
                    'the numbers of a state; make it anew'
                )
            of_action, of_state = (places(source, kind, robot) for kind in ('action', 'state'))
            for episode in source.episodes:
                read = source.read_finite(episode.index, (CHUNK_KEY, KEYFRAME_KEY))
                rows = arranged(read[CHUNK_KEY].reshape(-1, numbers), of_action)
                targets.append(rows.reshape(episode.length, steps, -1)[:, :horizon])
                keyframe.append(arranged(read[KEYFRAME_KEY], of_state))
        place = np.where(own, own.cumsum() - 1, -1)
        return cls(place, np.concatenate(targets), np.concatenate(keyframe))
