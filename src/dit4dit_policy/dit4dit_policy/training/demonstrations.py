"""Demonstrations: the states and targets of datasets in memory, their videos read when asked for.

Shapes: N frames of all datasets one after the other, S numbers of a state, A of an action.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.inference.pictures import in_one_frame, size_of, view
from dit4dit_policy.inference.processor import Processor, encoded_for
from dit4dit_policy.model.config import ModelConfig
from dit4dit_policy.model.views import Place
from dit4dit_policy.training.columns import arranged, places
from dit4dit_policy.training.moments import Moments
from g1_data.dataset import Dataset, Episode
from g1_data.packets import probe
from g1_data.schema import ACTION_KEY, STATE_KEY
from g1_description import Camera, Embodiment
from g1_description.control_source import CONTROL_KEY, ControlSource

# Of a number that did not change [rad, m]: so wide that noise in its measured state does not
_SMALLEST_STATE_RANGE = 0.02
_SMALLEST_ACTION_RANGE = 1e-5  # matter, and so narrow that its targets are what they always were


@dataclass(frozen=True)
class Demonstrations:
    """A mixture of datasets at the embodiment's rate; their videos are read when asked for.

    weights: share of each dataset in what is trained on. embodiment: with the cameras that are
    used. state (N, S), action (N, A) [rad, m]: of a number that a dataset has not they are NaN.
    `dataset`, `episode`, `task` (N,) say what a frame is of; `last` is the last frame of its
    episode, or of what an operator did in it without a break, and of a moment itself. weight (N,):
    how often chunks that begin there are drawn beside others of their dataset, 0 for never.
    """

    sources: tuple[Dataset, ...]
    weights: tuple[float, ...]
    embodiment: Embodiment
    instructions: tuple[str, ...]
    state: NDArray[np.float64]
    action: NDArray[np.float64]
    dataset: NDArray[np.int64]
    episode: NDArray[np.int64]
    task: NDArray[np.int64]
    last: NDArray[np.int64]
    weight: NDArray[np.float64]

    @property
    def episodes(self) -> int:
        """Episodes of all datasets together."""
        return int(self.episode[-1]) + 1

    @classmethod
    def read(
        cls,
        mixture: Mapping[str, float],
        embodiment: Embodiment,
        evaluation_worlds: bool = False,
        policy_weight: float = 0.0,
    ) -> Demonstrations:
        """The LeRobot v2.1 datasets in folders `mixture`, each with its weight.

        `embodiment` says which numbers and cameras are used, and how many frames a second.
        evaluation_worlds: also those of a variant. policy_weight: of what a policy did itself,
        beside 1 of what an operator did. ValueError where a weight is not positive, or a dataset
        does not fit the embodiment or is not to be trained on.
        """
        if not mixture or min(mixture.values()) <= 0:
            raise ValueError(f'datasets: expected folders with weights above 0, got {mixture}')
        sources = tuple(Dataset(root) for root in mixture)
        for source in sources:
            if source.schema.variant and not evaluation_worlds:
                raise ValueError(
                    f'{source.root} shows the variant {source.schema.variant}, a world of '
                    'evaluation; expected the usual one, or evaluation_worlds: true'
                )
        instructions: dict[str, int] = {}
        columns: dict[str, list[NDArray[Any]]] = {
            name: [] for name in ('state', 'action', 'dataset', 'episode', 'task', 'last', 'weight')
        }
        weights = np.array([policy_weight, 1.0, 0.0])  # by `ControlSource`
        count = number = 0
        for index, source in enumerate(sources):
            first = number
            stride = _stride(source, embodiment.step)
            columns_of = {
                'state': places(source, 'state', embodiment),
                'action': places(source, 'action', embodiment),
            }
            for camera in embodiment.cameras.values():
                _check_rate(source, camera)  # before anything is read
            for episode in source.episodes:
                read = source.read_finite(episode.index, (STATE_KEY, ACTION_KEY))
                if (rows := len(read[STATE_KEY])) != episode.length:
                    raise ValueError(
                        f'{source.data_path(episode.index)}: expected the {episode.length} rows of '
                        f'episodes.jsonl, got {rows}'
                    )
                length = len(read[STATE_KEY][::stride])
                count += length
                for name, key in (('state', STATE_KEY), ('action', ACTION_KEY)):
                    columns[name].append(arranged(read[key][::stride], columns_of[name]))
                tasks = [
                    instructions.setdefault(task, len(instructions))
                    for task in source.frame_tasks(episode.index)[::stride]
                ]
                columns['task'].append(np.resize(tasks, length))
                control = _control(source, episode.index)[::stride]
                columns['weight'].append(weights[control])
                ends = _ends(control) if source.schema.films else np.arange(length)
                columns['last'].append(count - length + ends)
                facts = {'dataset': index, 'episode': number}
                for name, value in facts.items():
                    columns[name].append(np.full(length, value))
                number += 1
            if number > first and not np.any(np.concatenate(columns['weight'][first:])):
                raise ValueError(
                    f'{source.root}: a policy did all of it; expected an operator to have had the '
                    'arms in some of it, or policy_weight above 0'
                )
        if not count:
            raise ValueError(f'datasets: expected demonstrations, there are none in {[*mixture]}')
        return cls(
            sources=sources,
            weights=tuple(mixture.values()),
            embodiment=embodiment,
            instructions=tuple(instructions),
            **{name: np.concatenate(parts) for name, parts in columns.items()},
        )

    @property
    def films(self) -> NDArray[np.bool_]:
        """Of each dataset, whether it has films; else moments, see `training.moments`."""
        return np.array([source.schema.films for source in self.sources])

    @property
    def film(self) -> NDArray[np.bool_]:
        """(N,) whether a frame is of a film."""
        return self.films[self.dataset]

    @property
    def source(self) -> dict[str, Any]:
        """What a checkpoint records of its data."""
        return {
            'datasets': [source.root.name for source in self.sources],
            'weights': list(self.weights),
            'episodes': self.episodes,
            'frames': len(self.state),
            'hash': [source.content_hash() for source in self.sources],
        }

    def tasks(self, table: Mapping[str, str]) -> dict[str, str]:
        """Name to instruction of the tasks that are demonstrated.

        By `table` where it is given. Else a dataset of one instruction gives it its own name, and
        the other instructions are named by their words.
        """
        if table:
            return {name: text for name, text in table.items() if text in self.instructions}
        named: dict[str, str] = {}
        for source in self.sources:
            if len(source.tasks) == 1 and source.root.name not in named:
                named[source.root.name] = source.tasks[0]
        for text in self.instructions:
            if text not in named.values():
                named['_'.join(re.findall(r'\w+', text.lower()))] = text
        return named

    def moments(self, horizon: int) -> Moments:
        """Of those datasets that have moments, the first `horizon` targets of each.

        ValueError where a dataset does not say enough of them.
        """
        sources = [s for s, films in zip(self.sources, self.films, strict=True) if not films]
        return Moments.read(sources, self.embodiment, ~self.film, horizon)

    def processor(
        self, config: ModelConfig, tasks: Mapping[str, str], moments: Moments
    ) -> Processor:
        """Bounds and instructions as these demonstrations have them; `tasks` as of `tasks`."""
        states = np.concatenate([self.state, moments.keyframe])
        state_lower, state_upper = _bounds([states], _SMALLEST_STATE_RANGE)
        own = moments.targets - self.reference[moments.place >= 0, None]
        chunk = range(config.action.horizon if self.relative.any() else 1)
        ahead = (np.minimum(np.arange(len(self.last)) + k, self.last) for k in chunk)
        targets = (
            np.concatenate([self.action[rows] - self.reference, *own.swapaxes(0, 1)])
            for rows in ahead
        )
        action_lower, action_upper = _bounds(targets, _SMALLEST_ACTION_RANGE)
        return Processor(
            embodiment=encoded_for(config, self.embodiment),
            state_lower=state_lower,
            state_upper=state_upper,
            action_lower=action_lower,
            action_upper=action_upper,
            image=config.backbone.image,
            further_views=config.backbone.further_views,
            state_dim=config.action.state_dim,
            action_dim=config.action.action_dim,
            tasks=self.tasks(tasks),
            dataset=self.source,
        )

    @property
    def relative(self) -> NDArray[np.bool_]:
        """(A,) whether a number of an action is relative to the state."""
        return np.array([g.relative for g in self.embodiment.groups for _ in g.action])

    @property
    def reference(self) -> NDArray[np.float64]:
        """(N, A) what targets are given less: the state where they are relative to it, else 0."""
        reference = np.zeros_like(self.action)
        state, action = self.embodiment.state_slices(), self.embodiment.action_slices()
        for group in self.embodiment.groups:
            if group.relative:
                reference[:, action[group.name]] = self.state[:, state[group.name]]
        return reference

    def videos(self, index: int, places: list[Place]) -> Iterator[NDArray[np.uint8]]:
        """Frames (T, H, W, 3) of each episode of the dataset `index`, all cameras in one.

        places: rows and columns of each camera's picture in a frame. ValueError where an episode
        has not as many images as states.
        """
        source, cameras = self.sources[index], self.embodiment.cameras.values()

        def read(episode: Episode) -> NDArray[np.uint8]:
            pairs = zip(cameras, places, strict=True)
            views = [self._video(source, episode, c, size_of(place)) for c, place in pairs]
            return in_one_frame(views, places)

        threads = os.cpu_count() or 1
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(source.episodes), 2 * threads):
                yield from pool.map(read, source.episodes[start : start + 2 * threads])

    def _video(
        self, source: Dataset, episode: Episode, camera: Camera, size: tuple[int, int]
    ) -> NDArray[np.uint8]:
        stride = _stride(source, self.embodiment.step)
        images = [
            view(image, camera, size)
            for number, image in enumerate(source.frames(episode.index, camera))
            if number % stride == 0
        ]
        if len(images) != (expected := len(range(0, episode.length, stride))):
            raise ValueError(
                f'{source.root}: episode {episode.index} has {len(images)} images of '
                f'{camera.name} for {expected} states; record it again'
            )
        return np.stack(images)


def _stride(source: Dataset, step: float) -> int:
    """Frames of the dataset in a step [s]."""
    stride = round(source.fps * step)
    if not stride or abs(stride / source.fps - step) > 1e-6:
        raise ValueError(
            f'{source.root}: {source.fps} frames per second do not divide into steps of {step:g} s'
        )
    return stride


def _check_rate(source: Dataset, camera: Camera) -> None:
    """ValueError: there is no such camera, or its videos are of another rate than the dataset."""
    key = source.video_key(camera)
    if not source.episodes or not (path := source.video_path(0, key)).is_file():
        return  # that is told by who reads it
    rate = probe(path).rate
    if rate is None or not math.isclose(rate, source.fps, rel_tol=1e-3):
        raise ValueError(
            f'{path}: expected the {source.fps} frames a second of info.json, got {rate}'
        )


def _control(source: Dataset, episode: int) -> NDArray[np.int64]:
    """(T,) `ControlSource` of each frame; of an episode without a policy all is an operator's."""
    demonstrated = np.full(source.episodes[episode].length, ControlSource.OPERATOR, np.int64)
    if CONTROL_KEY not in source.extras:
        return demonstrated
    rows: NDArray[Any] = source.read_finite(episode, (CONTROL_KEY,))[CONTROL_KEY]
    return rows[:, 0].astype(np.int64) if ControlSource.POLICY in rows else demonstrated


def _ends(control: NDArray[np.int64]) -> NDArray[np.int64]:
    """(T,) the last frame of the same `ControlSource`: a chunk has nobody else's targets."""
    ends = np.flatnonzero(np.diff(control, append=-1))
    return ends[np.searchsorted(ends, np.arange(len(control)))]


def _bounds(
    parts: Iterable[NDArray[np.float64]], smallest: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of each column; one that hardly changes gets the range `smallest`, below its largest."""
    ends = [(np.nanmin(values, axis=0), np.nanmax(values, axis=0)) for values in parts]
    lower = np.min([low for low, _ in ends], axis=0)
    upper = np.max([high for _, high in ends], axis=0)
    return tuple(np.minimum(lower, upper - smallest).tolist()), tuple(upper.tolist())
