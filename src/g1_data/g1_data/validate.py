"""Checks a dataset against every rule of the format and names each fault."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from g1_data import layout
from g1_data.dataset import Dataset, Episode
from g1_data.statistics import Statistics, column_statistics
from g1_data.video import decode

_STATISTICS = ('min', 'max', 'mean', 'std', 'count')
_IMAGE_MEAN_TOLERANCE = 0.03  # the video is compressed after its statistics are taken


def validate(
    root: str | Path, track: Callable[[Iterable[Episode]], Iterable[Episode]] = iter
) -> list[str]:
    """Faults of the dataset at `root`, each a line naming file and rule; none if it is valid.

    `track` wraps the episodes while they are checked, for a progress bar.
    """
    root = Path(root)
    faults = list(_check_info(root))
    if faults:
        return faults  # nothing else can be read without it
    dataset = Dataset(root)
    faults += _check_modality(root)
    faults += _check_meta(dataset)
    start = 0
    for episode in track(dataset.episodes):
        faults += _check_data(dataset, episode, start)
        faults += _check_video(dataset, episode)
        start += episode.length
    faults += _check_strangers(dataset)
    return faults


def _check_info(root: Path) -> Iterator[str]:
    path = root / 'meta' / 'info.json'
    try:
        info = json.loads(path.read_text())
    except FileNotFoundError:
        yield 'meta/info.json: missing; is this the folder that holds meta/, data/ and videos/?'
        return
    except json.JSONDecodeError as error:
        yield f'meta/info.json: not JSON: {error}'
        return
    if info.get('codebase_version') != layout.VERSION:
        yield (
            f'meta/info.json: codebase_version: expected {layout.VERSION}, '
            f'got {info.get("codebase_version")}'
        )
        return
    missing = sorted(layout.info('', 1, {}).keys() - info.keys())
    if missing:
        yield f'meta/info.json: missing: {", ".join(missing)}'
        return
    for name, expected in (('data_path', layout.DATA_PATH), ('video_path', layout.VIDEO_PATH)):
        if info[name] != expected:
            yield f'meta/info.json: {name}: expected {expected}, got {info[name]}'
    yield from _check_features(info)
    for name in ('episodes.jsonl', 'episodes_stats.jsonl', 'tasks.jsonl'):
        if info['total_episodes'] and not (root / 'meta' / name).is_file():
            yield f'meta/{name}: missing'
        else:
            try:
                layout.read_jsonl(root / 'meta' / name)
            except ValueError as error:
                yield str(error)


def _check_features(info: dict[str, Any]) -> Iterator[str]:
    given = info['features']
    expected = layout.features([''] * layout.VECTOR_SIZE, (16, 16), 1)
    for name, feature in expected.items():
        if name not in given:
            yield f'meta/info.json: features: {name} is missing'
        elif given[name].get('dtype') != feature['dtype']:
            yield (
                f'meta/info.json: features: {name}: expected dtype {feature["dtype"]}, '
                f'got {given[name].get("dtype")}'
            )
        elif name != layout.VIDEO_KEY and given[name].get('shape') != feature['shape']:
            yield (
                f'meta/info.json: features: {name}: expected shape {feature["shape"]}, '
                f'got {given[name].get("shape")}'
            )
    for name in (layout.STATE_KEY, layout.ACTION_KEY):
        names = given.get(name, {}).get('names') or []
        if name in given and len(set(names)) != layout.VECTOR_SIZE:
            yield (
                f'meta/info.json: features: {name}: expected {layout.VECTOR_SIZE} different '
                f'names, got {len(set(names))}'
            )


def _check_modality(root: Path) -> Iterator[str]:
    path = root / 'meta' / 'modality.json'
    if not path.is_file():
        yield 'meta/modality.json: missing; the published trainer reads it'
    elif json.loads(path.read_text()) != layout.modality():
        yield 'meta/modality.json: not the parts of the G1: expected ' + json.dumps(
            layout.modality()
        )


def _check_meta(dataset: Dataset) -> Iterator[str]:
    meta, info = dataset.root / 'meta', dataset.info
    total = info['total_episodes']
    for name in ('episodes.jsonl', 'episodes_stats.jsonl'):
        indices = [line['episode_index'] for line in layout.read_jsonl(meta / name)]
        if indices != list(range(total)):
            yield (
                f'meta/{name}: expected the episodes 0 to {total - 1} of info.json in order, '
                f'got {len(indices)} lines: {_shortened(indices)}'
            )
    frames = sum(episode.length for episode in dataset.episodes)
    if info['total_frames'] != frames:
        yield (
            f'meta/info.json: total_frames: the lengths in episodes.jsonl add up to {frames}, '
            f'got {info["total_frames"]}'
        )
    tasks = layout.read_jsonl(meta / 'tasks.jsonl')
    if [line['task_index'] for line in tasks] != list(range(info['total_tasks'])):
        yield f'meta/tasks.jsonl: expected the {info["total_tasks"]} tasks of info.json in order'
    known = {line['task'] for line in tasks}
    for episode in dataset.episodes:
        if episode.task not in known:
            yield (
                f'meta/episodes.jsonl: episode {episode.index}: task not in tasks.jsonl: '
                f'{episode.task!r}'
            )


def _check_data(dataset: Dataset, episode: Episode, start: int) -> Iterator[str]:
    name = layout.data_path(episode.index)
    path = dataset.root / name
    if not path.is_file():
        yield f'{name}: missing'
        return
    try:
        schema = pq.read_schema(path)
        rows = pq.read_metadata(path).num_rows
    except (pa.ArrowInvalid, OSError) as error:
        yield f'{name}: not a parquet file: {error}'
        return
    faults = list(_check_schema(dataset, name, schema))
    if rows != episode.length:
        faults.append(f'{name}: expected the {episode.length} rows of episodes.jsonl, got {rows}')
    if faults:
        yield from faults
        return
    columns = dataset.read_episode(episode.index)
    frames = np.arange(rows)
    if not np.allclose(columns['timestamp'], frames / dataset.fps, atol=1e-4):
        wrong = np.flatnonzero(~np.isclose(columns['timestamp'], frames / dataset.fps, atol=1e-4))
        k = wrong[0]
        yield (
            f'{name}: timestamp: expected frame_index / {dataset.fps}, got '
            f'{columns["timestamp"][k]:.4f} s at frame {k} ({len(wrong)} wrong)'
        )
    task_index = dataset.tasks.index(episode.task) if episode.task in dataset.tasks else -1
    for column, expected in (
        ('frame_index', frames),
        ('index', frames + start),
        ('episode_index', np.full(rows, episode.index)),
        ('task_index', np.full(rows, task_index)),
    ):
        wrong = np.flatnonzero(columns[column] != expected)
        if len(wrong):
            k = wrong[0]
            yield (
                f'{name}: {column}: expected {expected[k]} at frame {k}, '
                f'got {columns[column][k]} ({len(wrong)} wrong)'
            )
    for column in (layout.STATE_KEY, layout.ACTION_KEY):
        if not np.isfinite(columns[column]).all():
            k = np.flatnonzero(~np.isfinite(columns[column]).all(axis=1))[0]
            yield f'{name}: {column}: NaN or Inf at frame {k}'
    yield from _check_statistics(dataset, episode, columns)


def _check_schema(dataset: Dataset, name: str, schema: pa.Schema) -> Iterator[str]:
    expected = {
        column: pa.list_(pa.type_for_alias(feature['dtype']), feature['shape'][0])
        for column, feature in dataset.features.items()
        if column != layout.VIDEO_KEY and column not in layout.INDEX_COLUMNS
    }
    expected |= {column: pa.type_for_alias(dtype) for column, dtype in layout.INDEX_COLUMNS.items()}
    for column, kind in expected.items():
        if column not in schema.names:
            yield f'{name}: column {column} is missing'
        elif schema.field(column).type != kind:
            yield f'{name}: {column}: expected {kind}, got {schema.field(column).type}'


def _check_statistics(
    dataset: Dataset, episode: Episode, columns: dict[str, np.ndarray]
) -> Iterator[str]:
    statistics = _given_statistics(dataset, episode)
    if not statistics:
        return  # already said: the episode has no line
    where = f'meta/episodes_stats.jsonl: episode {episode.index}'
    for name in (*columns, layout.VIDEO_KEY):
        missing = [s for s in _STATISTICS if s not in statistics.get(name, {})]
        if missing:
            yield f'{where}: {name}: missing: {", ".join(missing)}'
            continue
        if name == layout.VIDEO_KEY:
            if statistics[name]['mean'].shape != (3, 1, 1):
                yield (
                    f'{where}: {name}: expected shape (3, 1, 1), '
                    f'got {statistics[name]["mean"].shape}'
                )
            continue
        expected = column_statistics(columns[name])
        for statistic in _STATISTICS:
            value, wanted = statistics[name][statistic], expected[statistic]
            if value.shape != wanted.shape or not np.allclose(value, wanted, rtol=1e-4, atol=1e-5):
                yield f'{where}: {name}: {statistic} is not that of the data'


def _check_video(dataset: Dataset, episode: Episode) -> Iterator[str]:
    name = layout.video_path(episode.index)
    path = dataset.root / name
    if not path.is_file():
        yield f'{name}: missing'
        return
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                yield f'{name}: no video stream'
                return
            stream = container.streams.video[0]
            rate, size = stream.average_rate, (stream.height, stream.width)
            codec = f'{stream.codec.name} {stream.pix_fmt}'
        if rate is None or not math.isclose(float(rate), dataset.fps, rel_tol=1e-3):
            yield f'{name}: expected {dataset.fps} frames a second, got {rate}'
            return
        if size != dataset.image_shape:
            yield f'{name}: expected (height, width) {dataset.image_shape}, got {size}'
        wanted = dataset.features[layout.VIDEO_KEY]['info']
        if codec != f'{wanted["video.codec"]} {wanted["video.pix_fmt"]}':
            yield (
                f'{name}: expected {wanted["video.codec"]} {wanted["video.pix_fmt"]}, got {codec}'
            )
        count, total = 0, np.zeros(3)
        for frame in decode(path):
            count += 1
            total += frame[::4, ::4].mean(axis=(0, 1))
    except (av.FFmpegError, ValueError) as error:
        yield f'{name}: cannot be decoded: {error}'
        return
    if count != episode.length:
        yield f'{name}: expected the {episode.length} frames of episodes.jsonl, got {count}'
        return
    statistics = _given_statistics(dataset, episode)
    mean = statistics.get(layout.VIDEO_KEY, {}).get('mean', np.zeros(0)).ravel()
    if mean.shape == (3,) and abs(mean - total / count / 255).max() > _IMAGE_MEAN_TOLERANCE:
        yield (
            f'meta/episodes_stats.jsonl: episode {episode.index}: {layout.VIDEO_KEY}: mean is not '
            'that of the video'
        )


def _given_statistics(dataset: Dataset, episode: Episode) -> dict[str, Statistics]:
    lines = dataset.episode_statistics
    return lines[episode.index] if episode.index < len(lines) else {}


def _check_strangers(dataset: Dataset) -> Iterator[str]:
    """Files that no episode owns."""
    owned = {dataset.data_path(e.index) for e in dataset.episodes}
    owned |= {dataset.video_path(e.index) for e in dataset.episodes}
    for folder in ('data', 'videos'):
        for path in sorted((dataset.root / folder).rglob('*')):
            if path.is_file() and path not in owned:
                yield (
                    f'{path.relative_to(dataset.root)}: belongs to no episode; recording into the '
                    'dataset again sets it aside'
                )


def _shortened(numbers: list[int]) -> str:
    text = ', '.join(map(str, numbers[:8]))
    return text + ', ...' if len(numbers) > 8 else text
