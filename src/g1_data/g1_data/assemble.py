"""New datasets of episodes of others: merged, split, with some left out, or cut.

Nothing is ever changed in place: the datasets that are read stay as they are, a new one appears
when it is complete. Videos are copied as they are, or cut packet by packet, not encoded again.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from g1_data import layout
from g1_data.dataset import Dataset
from g1_data.mapping import ColumnMap
from g1_data.packets import VideoJoiner, count_frames, probe
from g1_data.repair import complete_statistics, computed_statistics
from g1_data.schema import Schema, Video, difference
from g1_data.writer import DatasetWriter


@dataclass(frozen=True)
class Pick:
    """An episode of a dataset by its index there, or rows `start` to `stop` - 1 of it.

    task: its instruction from now on; '' leaves it. health: entries of `Episode.health` anew.
    """

    dataset: Dataset
    index: int
    start: int = 0
    stop: int | None = None
    task: str = ''
    health: Mapping[str, Any] = field(default_factory=dict)


#: Wraps what is gone through, for a progress bar.
Track = Callable[[Iterable[Pick]], Iterable[Pick]]


def merge(
    parts: Sequence[str | Path],
    out: str | Path,
    track: Track = iter,
    mapping: ColumnMap | None = None,
) -> Dataset:
    """Writes the episodes of all parts, in order, as one dataset at `out`.

    `mapping` says which of their columns are what, where they are not called as ours.

    Raises:
        ValueError: `out` exists, there are no parts, or they differ in rate, joints or image shape.
    """
    datasets = [Dataset(part, mapping) for part in parts]
    return assemble([Pick(d, e.index) for d in datasets for e in d.episodes], out, track)


def split(
    root: str | Path,
    share: float,
    outs: tuple[str | Path, str | Path],
    track: Track = iter,
    mapping: ColumnMap | None = None,
) -> tuple[Dataset, Dataset]:
    """Puts about `share` of every task's episodes, drawn at random, in the second of two datasets.

    The draw is the same every time. ValueError where one of the two would be empty, or is there.
    """
    if not 0 < share < 1:
        raise ValueError(f'the share of the second dataset lies between 0 and 1, got {share}')
    dataset = Dataset(root, mapping)
    rng = np.random.default_rng(0)
    chosen: set[int] = set()
    for task in dataset.tasks:
        own = [episode.index for episode in dataset.episodes if episode.task == task]
        chosen |= set(rng.permutation(own)[: round(share * len(own))].tolist())
    rest = [episode.index for episode in dataset.episodes if episode.index not in chosen]
    picks = [[Pick(dataset, index) for index in indices] for indices in (rest, sorted(chosen))]
    for part, out in zip(picks, outs, strict=True):
        _check(part, Path(out))
    first, second = (assemble(part, out, track) for part, out in zip(picks, outs, strict=True))
    return first, second


def drop(
    root: str | Path,
    episodes: Sequence[int],
    out: str | Path,
    track: Track = iter,
    mapping: ColumnMap | None = None,
) -> Dataset:
    """Writes all episodes but these; ValueError names those that there are not."""
    dataset = Dataset(root, mapping)
    known = {episode.index for episode in dataset.episodes}
    if unknown := sorted(set(episodes) - known):
        raise ValueError(
            f'{dataset.root}: has the episodes 0 to {len(known) - 1}, '
            f'got {", ".join(map(str, unknown))}'
        )
    return assemble([Pick(dataset, i) for i in sorted(known - set(episodes))], out, track)


def assemble(picks: Sequence[Pick], out: str | Path, track: Track = iter) -> Dataset:
    """Writes the picked episodes, in order, as one dataset at `out`.

    Raises:
        ValueError: `out` exists, nothing is picked, or datasets differ in rate, joints or image.
    """
    out = Path(out)
    _check(picks, out)
    first = picks[0].dataset
    with layout.appearing(out) as new:
        schemas = {}
        for pick in picks:
            dataset = pick.dataset
            if dataset not in schemas:
                schemas[dataset] = as_stored(dataset, pick.index)
                if found := difference(schemas[dataset], schemas[first]):
                    raise ValueError(_misfit(dataset, first, *found))
        with DatasetWriter.create(new, schemas[first]) as writer:
            for pick in track(picks):
                _copy(pick, writer)
    return Dataset(out)


def _misfit(dataset: Dataset, first: Dataset, what: str, own: Any, others: Any) -> str:
    remedy = 'a mapping file (--map) can rename and leave out columns'
    if 'codec' in what or 'pix_fmt' in what:
        remedy = (
            'the videos of a dataset are encoded alike: encode one as the other, or train on both'
        )
    got = f'its {what} is {own}, expected {others}'
    return f'{dataset.root} does not fit {first.root}: {got}; {remedy}'


def _check(picks: Sequence[Pick], out: Path) -> None:
    layout.refuse_existing(out)
    if not picks:
        raise ValueError(f'{out}: a dataset needs at least one episode, none is picked')


def _copy(pick: Pick, writer: DatasetWriter) -> None:
    """Adds what is picked; statistics of whole images are those that they have."""
    dataset, index = pick.dataset, pick.index
    episode = dataset.episodes[index]
    whole = rows_of(dataset, index)
    rows = slice(pick.start, episode.length if pick.stop is None else pick.stop)
    cut = (rows.start, rows.stop) != (0, episode.length)
    columns = {name: values[rows] for name, values in whole.items()}
    videos = {}
    for number, video in enumerate(writer.schema.videos.values()):
        source, copy = dataset.video_path(index, video.key), writer.root / f'copy_{number}.mp4'
        check_video(source, video, dataset.fps)
        if (frames := count_frames(source)) != episode.length:
            raise ValueError(
                f'{source}: expected the {episode.length} frames of episodes.jsonl, got {frames}'
            )
        if cut:
            with VideoJoiner(copy, dataset.fps) as joiner:
                joiner.append(source, rows.start, rows.stop - rows.start)
        else:
            shutil.copyfile(source, copy)
        layout.sync(copy)
        videos[video.key] = copy
    if cut:
        images = {key: dataset.frames(index, key, rows.start, rows.stop) for key in videos}
        statistics = computed_statistics(columns, images)
    else:
        statistics = complete_statistics(dataset, index, columns)
    tasks = dataset.frame_tasks(index, whole['task_index'])
    if len(tasks) > 1:
        tasks = tasks[rows]
    health = {**(episode.health or {}), **pick.health}
    if 'pauses' in health:
        health['pauses'] = [
            {**pause, 'row': pause['row'] - rows.start}
            for pause in health['pauses']
            if rows.start < pause['row'] < rows.stop
        ]
    writer.commit(columns, videos, [pick.task] if pick.task else tasks, statistics, health or None)


def rows_of(dataset: Dataset, index: int) -> dict[str, np.ndarray]:
    """All columns of an episode. ValueError: no or other rows than it has, or one is not finite."""
    columns, length = dataset.read_finite(index), dataset.episodes[index].length
    path, rows = dataset.data_path(index), len(columns['task_index'])
    if rows != length:
        raise ValueError(f'{path}: expected the {length} rows of episodes.jsonl, got {rows}')
    if not rows:
        raise ValueError(f'{path}: expected rows, got none; leave this episode out')
    return columns


def as_stored(dataset: Dataset, index: int) -> Schema:
    """The schema with the codecs that the videos of an episode have, whatever info.json says."""
    videos = {}
    for name, video in dataset.schema.videos.items():
        facts = probe(dataset.video_path(index, video.key))
        videos[name] = replace(video, codec=facts.codec, pix_fmt=facts.pix_fmt)
    return replace(dataset.schema, videos=videos)


def check_video(path: Path, video: Video, fps: int) -> None:
    """ValueError where the file is not what every video of this camera has to be."""
    facts = probe(path)
    expected = f'{video.codec} {video.pix_fmt} {video.shape}'
    got = f'{facts.codec} {facts.pix_fmt} {facts.shape}'
    if got != expected:
        raise ValueError(
            f'{path}: expected {expected} as of the other episodes, got {got}; all episodes of a '
            'dataset are encoded alike: leave this one out, or encode it anew'
        )
    if facts.rate is None or not math.isclose(facts.rate, fps, rel_tol=1e-3):
        raise ValueError(f'{path}: expected {fps} frames a second, got {facts.rate}')
