"""New datasets of episodes of others: merged, split, or with some left out.

Nothing is ever changed in place: the datasets that are read stay as they are, a new one appears
when it is complete. Videos are copied as they are, not encoded again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from g1_data import layout
from g1_data.dataset import Dataset
from g1_data.writer import DatasetWriter

#: An episode of a dataset, by its index there.
Pick = tuple[Dataset, int]
#: Wraps what is gone through, for a progress bar.
Track = Callable[[Iterable[Pick]], Iterable[Pick]]


def merge(parts: Sequence[str | Path], out: str | Path, track: Track = iter) -> Dataset:
    """Writes the episodes of all parts, in order, as one dataset at `out`.

    Raises:
        ValueError: `out` exists, there are no parts, or they differ in rate, joints or image shape.
    """
    datasets = [Dataset(part) for part in parts]
    return assemble([(d, e.index) for d in datasets for e in d.episodes], out, track)


def split(
    root: str | Path, share: float, outs: tuple[str | Path, str | Path], track: Track = iter
) -> tuple[Dataset, Dataset]:
    """Puts about `share` of every task's episodes, drawn at random, in the second of two datasets.

    The draw is the same every time. ValueError where one of the two would be empty, or is there.
    """
    if not 0 < share < 1:
        raise ValueError(f'the share of the second dataset lies between 0 and 1, got {share}')
    dataset = Dataset(root)
    rng = np.random.default_rng(0)
    chosen: set[int] = set()
    for task in dataset.tasks:
        own = [episode.index for episode in dataset.episodes if episode.task == task]
        chosen |= set(rng.permutation(own)[: round(share * len(own))].tolist())
    rest = [episode.index for episode in dataset.episodes if episode.index not in chosen]
    picks = [[(dataset, index) for index in indices] for indices in (rest, sorted(chosen))]
    for part, out in zip(picks, outs, strict=True):
        _check(part, Path(out))
    first, second = (assemble(part, out, track) for part, out in zip(picks, outs, strict=True))
    return first, second


def drop(
    root: str | Path, episodes: Sequence[int], out: str | Path, track: Track = iter
) -> Dataset:
    """Writes all episodes but these; ValueError names those that there are not."""
    dataset = Dataset(root)
    known = {episode.index for episode in dataset.episodes}
    if unknown := sorted(set(episodes) - known):
        raise ValueError(
            f'{dataset.root}: has the episodes 0 to {len(known) - 1}, '
            f'got {", ".join(map(str, unknown))}'
        )
    return assemble([(dataset, i) for i in sorted(known - set(episodes))], out, track)


def assemble(picks: Sequence[Pick], out: str | Path, track: Track = iter) -> Dataset:
    """Writes the picked episodes, in order, as one dataset at `out`.

    Raises:
        ValueError: `out` exists, nothing is picked, or datasets differ in rate, joints or image.
    """
    out = Path(out)
    _check(picks, out)
    first = picks[0][0]
    with layout.appearing(out) as new:
        for dataset in dict.fromkeys(dataset for dataset, _ in picks):
            try:
                _create_like(dataset, new).close()
            except ValueError as error:
                raise ValueError(f'{dataset.root} does not fit {first.root}: {error}') from None
        with _create_like(first, new) as writer:
            for dataset, index in track(picks):
                _copy(dataset, index, writer)
    return Dataset(out)


def _check(picks: Sequence[Pick], out: Path) -> None:
    layout.refuse_existing(out)
    if not picks:
        raise ValueError(f'{out}: a dataset needs at least one episode, none is picked')


def _create_like(dataset: Dataset, root: Path) -> DatasetWriter:
    return DatasetWriter.create(
        root,
        dataset.fps,
        dataset.joint_names,
        dataset.image_shape,
        dataset.info['robot_type'],
        dataset.extras,
    )


def _copy(dataset: Dataset, index: int, writer: DatasetWriter) -> None:
    columns = {
        name: values
        for name, values in dataset.read_episode(index).items()
        if name not in layout.INDEX_COLUMNS
    }
    statistics = {
        name: values
        for name, values in dataset.episode_statistics[index].items()
        if name not in layout.INDEX_COLUMNS
    }
    video = writer.root / 'copy.mp4'
    shutil.copyfile(dataset.video_path(index), video)
    layout.sync(video)
    episode = dataset.episodes[index]
    writer.commit(columns, video, episode.task, statistics, episode.health)
