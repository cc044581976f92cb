"""Checks the files of one episode: rows, videos, and their statistics."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from g1_data import layout
from g1_data.dataset import Dataset, Episode
from g1_data.packets import probe
from g1_data.schema import INDEX_COLUMNS, Video
from g1_data.statistics import KEYS, Statistics, column_statistics

_IMAGE_MEAN_TOLERANCE = 0.03  # the video is compressed after its statistics are taken


def check_data(dataset: Dataset, episode: Episode, start: int) -> Iterator[str]:
    """Faults of an episode's rows, the first of which is row `start` of the dataset."""
    name = layout.data_path(episode.index)
    path = dataset.root / name
    if not path.is_file():
        yield f'{name}: missing'
        return
    try:
        schema = pq.read_schema(path)
        rows = pq.read_metadata(path).num_rows
    except (pa.ArrowException, OSError) as error:
        yield f'{name}: not a parquet file: {error}'
        return
    faults = list(_check_types(dataset, name, schema))
    if rows != episode.length:
        faults.append(f'{name}: expected the {episode.length} rows of episodes.jsonl, got {rows}')
    if not rows:
        faults.append(f'{name}: expected rows, got none')
    if faults:
        yield from faults
        return
    try:
        columns = dataset.read_episode(episode.index)
    except ValueError as error:
        yield str(error)
        return
    yield from _check_index(dataset, episode, start, columns)
    for column in dataset.schema.columns:
        values = columns[column]
        if not np.isfinite(values).all():
            k, number = np.argwhere(~np.isfinite(values))[0]
            yield (
                f'{name}: {column}: NaN or Inf at frame {k}, {dataset.schema.names(column)[number]}'
            )
    yield from _check_statistics(dataset, episode, columns)


def check_videos(dataset: Dataset, episode: Episode) -> Iterator[str]:
    """Faults of an episode's videos."""
    for video in dataset.schema.videos.values():
        path = dataset.video_path(episode.index, video.key)
        name = path.relative_to(dataset.root)
        if not path.is_file():
            yield f'{name}: missing'
            continue
        try:
            yield from _check_video(dataset, episode, video, path)
        except (ValueError, OSError) as error:
            reason = str(error).removeprefix(f'{path}: ')
            reason = reason.removeprefix('cannot be decoded: ').removeprefix('cannot be read: ')
            yield f'{name}: cannot be decoded: {reason}'


def _check_types(dataset: Dataset, name: str, schema: pa.Schema) -> Iterator[str]:
    wanted = {key: (1, dtype) for key, dtype in INDEX_COLUMNS.items()}
    for key, source in dataset.mapped.columns.items():
        wanted[source.column] = source.size, dataset.schema.columns[key][1]
    for column, (size, dtype) in wanted.items():
        if column not in schema.names:
            yield f'{name}: column {column} is missing'
            continue
        kind = schema.field(column).type
        value = getattr(kind, 'value_type', kind)
        is_list = value is not kind
        fits = is_list or (size == 1)
        if column in INDEX_COLUMNS:
            fits = not is_list
        if getattr(kind, 'list_size', size) != size or not fits or value != _arrow(dtype):
            rows = f'{size} numbers a row' if size > 1 else 'one number a row'
            yield f'{name}: {column}: expected {rows}, {dtype}, got {kind}'


def _arrow(dtype: str) -> pa.DataType:
    return pa.type_for_alias(dtype)


def _check_index(
    dataset: Dataset, episode: Episode, start: int, columns: dict[str, np.ndarray]
) -> Iterator[str]:
    name = layout.data_path(episode.index)
    frames = np.arange(episode.length)
    right = np.isclose(columns['timestamp'], frames / dataset.fps, atol=1e-4)
    if not right.all():
        k = np.flatnonzero(~right)[0]
        yield (
            f'{name}: timestamp: expected frame_index / {dataset.fps}, got '
            f'{columns["timestamp"][k]:.4f} s at frame {k} ({(~right).sum()} wrong)'
        )
    for column, expected in (
        ('frame_index', frames),
        ('index', frames + start),
        ('episode_index', np.full(episode.length, episode.index)),
    ):
        wrong = np.flatnonzero(columns[column] != expected)
        if len(wrong):
            k = wrong[0]
            yield (
                f'{name}: {column}: expected {expected[k]} at frame {k}, '
                f'got {columns[column][k]} ({len(wrong)} wrong)'
            )
    own = [k for k, task in enumerate(dataset.tasks) if task in episode.tasks]
    wrong = np.flatnonzero(~np.isin(columns['task_index'], own))
    if len(wrong):
        k, expected_tasks = wrong[0], ' or '.join(map(str, own)) or 'that of a known task'
        yield (
            f'{name}: task_index: expected {expected_tasks} at frame {k}, '
            f'got {columns["task_index"][k]} ({len(wrong)} wrong)'
        )
    elif unused := set(own) - set(columns['task_index'].tolist()):
        yield (
            f'{name}: task_index: expected the tasks {", ".join(map(str, own))} of episodes.jsonl, '
            f'no frame is of {", ".join(map(str, sorted(unused)))}'
        )


def _check_statistics(
    dataset: Dataset, episode: Episode, columns: dict[str, np.ndarray]
) -> Iterator[str]:
    try:
        statistics = dataset.episode_statistics(episode.index)
    except ValueError as error:
        yield str(error)
        return
    where = f'meta/episodes_stats.jsonl: episode {episode.index}'
    for name in (*columns, *dataset.schema.videos_by_key):
        if name not in statistics:
            yield f'{where}: {name}: missing: {", ".join(KEYS)}'
        elif name in columns:
            with np.errstate(all='ignore'):  # NaN and Inf are told of already
                expected = column_statistics(columns[name])
            for key in KEYS:
                value, wanted = statistics[name][key], expected[key]
                if value.shape != wanted.shape or not np.allclose(
                    value, wanted, rtol=1e-4, atol=1e-5, equal_nan=True
                ):
                    yield f'{where}: {name}: {key} is not that of the data'
        elif statistics[name]['mean'].shape != (3, 1, 1):
            got = statistics[name]['mean'].shape
            yield f'{where}: {name}: expected shape (3, 1, 1), got {got}'


def _check_video(dataset: Dataset, episode: Episode, video: Video, path: Path) -> Iterator[str]:
    name = path.relative_to(dataset.root)
    facts = probe(path)
    if facts.rate is None or not math.isclose(float(facts.rate), dataset.fps, rel_tol=1e-3):
        yield f'{name}: expected {dataset.fps} frames a second, got {facts.rate}'
        return
    if facts.shape != video.shape:
        yield f'{name}: expected (height, width) {video.shape}, got {facts.shape}'
    codec, wanted = f'{facts.codec} {facts.pix_fmt}', f'{video.codec} {video.pix_fmt}'
    if codec != wanted and video.codec and video.pix_fmt:
        yield f'{name}: expected {wanted}, got {codec}'
    count, total = 0, np.zeros(3)
    for frame in dataset.frames(episode.index, video.key):
        count += 1
        total += frame[::4, ::4].mean(axis=(0, 1))
    if count != episode.length:
        yield f'{name}: expected the {episode.length} frames of episodes.jsonl, got {count}'
        return
    mean = _image_mean(dataset.image_statistics(episode.index).get(video.key))
    if mean is not None and count and abs(mean - total / count / 255).max() > _IMAGE_MEAN_TOLERANCE:
        yield (
            f'meta/episodes_stats.jsonl: episode {episode.index}: {video.key}: mean is not '
            'that of the video'
        )


def _image_mean(statistics: Statistics | None) -> np.ndarray | None:
    return None if statistics is None else statistics['mean'].ravel()
