"""Joins datasets, for instance those that several processes recorded at the same time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from g1_data import layout
from g1_data.dataset import Dataset
from g1_data.writer import DatasetWriter


def merge(parts: Sequence[str | Path], out: str | Path) -> Dataset:
    """Writes the episodes of all parts, in order, as one dataset at `out`; parts stay as they are.

    Videos are copied as they are, not encoded again. `out` appears when it is complete.

    Raises:
        ValueError: `out` exists, there are no parts, or they differ in rate, joints or image shape.
    """
    out = Path(out)
    if out.exists():
        raise ValueError(f'{out} exists; merge writes a new dataset, choose another name')
    datasets = [Dataset(part) for part in parts]
    if not datasets:
        raise ValueError('merge needs at least one dataset, got none')
    first = datasets[0]
    unfinished = out.with_name(f'.{out.name}.merging')
    if unfinished.exists():
        shutil.rmtree(unfinished)
    try:
        for dataset in datasets:
            with DatasetWriter.create(
                unfinished,
                dataset.fps,
                dataset.joint_names,
                dataset.image_shape,
                dataset.info['robot_type'],
            ) as writer:
                for episode in dataset.episodes:
                    _copy(dataset, episode.index, writer)
        unfinished.replace(out)
    except BaseException as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if isinstance(error, ValueError):
            raise ValueError(f'{dataset.root} does not fit {first.root}: {error}') from None
        raise
    return Dataset(out)


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
    with video.open('rb') as file:
        os.fsync(file.fileno())
    writer.commit(columns, video, dataset.episodes[index].task, statistics)
