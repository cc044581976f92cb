"""LeRobot v3.0 to and from v2.1: many episodes to a file there, a file to an episode here.

root/
    meta/info.json  stats.json  tasks.parquet  modality.json
    meta/episodes/chunk-000/file-000.parquet
    data/chunk-000/file-000.parquet
    videos/observation.images.ego_view/chunk-000/file-000.mp4

Layout after LeRobot's own dataset documentation (v3.0). Videos are cut and joined at key frames by
moving packets (`packets`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from g1_data import layout
from g1_data.assemble import as_stored, check_video, rows_of
from g1_data.columns import arrow_table, read_column, read_columns, refuse_nan
from g1_data.dataset import Dataset, Episode
from g1_data.mapping import ColumnMap, Mapped
from g1_data.packets import VideoFacts, VideoJoiner, probe
from g1_data.repair import complete_statistics, computed_statistics
from g1_data.schema import INDEX_COLUMNS, Schema
from g1_data.statistics import aggregate, to_json
from g1_data.video import decode
from g1_data.writer import DatasetWriter

VERSION = 'v3.0'
DATA_PATH = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
VIDEO_PATH = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'
_EPISODES = 'meta/episodes/chunk-000/file-000.parquet'
_DATA_MB, _VIDEO_MB = 100, 200  # of one file, as LeRobot writes them

#: Wraps the episodes while they are converted, for a progress bar.
Track = Callable[[Iterable[Any]], Iterable[Any]]


def to_version3(
    root: str | Path, out: str | Path, track: Track = iter, mapping: ColumnMap | None = None
) -> None:
    """Writes the v2.1 dataset at `root` as a v3.0 dataset at `out`, which must not exist yet.

    `mapping` says which of its columns are what.
    """
    dataset, out = Dataset(root, mapping), Path(out)
    if not dataset.episodes:
        raise ValueError(f'{dataset.root} has no episodes to convert')
    schema = as_stored(dataset, 0)
    with layout.appearing(out) as new:
        rows: list[dict[str, Any]] = []
        statistics: list[dict[str, Any]] = []
        start = first_row = 0
        for number, group in enumerate(_groups(dataset)):
            place = {'chunk_index': number // layout.CHUNK_SIZE}
            place['file_index'] = number % layout.CHUNK_SIZE
            data = _folder_of(new / DATA_PATH.format(**place))
            columns = {}
            for episode in group:
                columns[episode.index] = _numbered(dataset, episode, first_row)
                first_row += episode.length
            pq.write_table(pa.concat_tables(map(arrow_table, columns.values())), data)
            first_frame = 0
            with ExitStack() as files:
                joiners = {
                    key: files.enter_context(
                        VideoJoiner(
                            _folder_of(new / VIDEO_PATH.format(video_key=key, **place)), dataset.fps
                        )
                    )
                    for key in schema.videos_by_key
                }
                for episode in track(group):
                    for key, joiner in joiners.items():
                        path = dataset.video_path(episode.index, key)
                        check_video(path, schema.videos_by_key[key], dataset.fps)
                        joiner.append(path, 0, episode.length)
                    own = complete_statistics(dataset, episode.index, columns[episode.index])
                    statistics.append(to_json(own))
                    row = _episode_row(dataset, episode, start, first_frame, place)
                    rows.append(row | _flat(statistics[-1]))
                    start += episode.length
                    first_frame += episode.length
        _folder_of(new / _EPISODES)
        pq.write_table(pa.Table.from_pylist(rows), new / _EPISODES)
        _write_tasks(dataset.tasks, new / 'meta/tasks.parquet')
        joined = layout.json_text(to_json(aggregate(statistics, len(statistics))))
        layout.write_atomically(new / 'meta/stats.json', joined)
        layout.write_atomically(new / 'meta/modality.json', layout.json_text(schema.modality()))
        info = layout.json_text(_info3(dataset, schema))
        layout.write_atomically(new / 'meta/info.json', info)


def from_version3(
    root: str | Path, out: str | Path, track: Track = iter, mapping: ColumnMap | None = None
) -> Dataset:
    """Writes the v3.0 dataset at `root` as a v2.1 dataset at `out`, which must not exist yet.

    `mapping` says which of its columns are what. An episode of several tasks keeps them, each frame
    its own.

    Raises:
        ValueError: `root` is not a v3.0 dataset, or its files do not hold what its metadata say.
    """
    root, out = Path(root), Path(out)
    try:
        info, modality = layout.read_info(root, [VERSION]), layout.read_modality(root)
        mapped = (mapping or ColumnMap()).apply(info, modality)
    except ValueError as error:
        raise ValueError(f'{root}: {error}') from None
    tasks = _read_tasks(root / 'meta/tasks.parquet')
    schema = mapped.schema
    rows = _episode_rows(root, mapped)
    videos = {}
    for name, video in schema.videos.items():
        facts = probe(_source(root, rows[0], mapped.videos[video.key]))
        videos[name] = replace(video, codec=facts.codec, pix_fmt=facts.pix_fmt)
    with (
        layout.appearing(out) as new,
        DatasetWriter.create(new, replace(schema, videos=videos)) as writer,
    ):
        for row in track(rows):
            _convert_back(root, mapped, row, tasks, writer)
    return Dataset(out)


def _convert_back(
    root: Path,
    mapped: Mapped,
    row: Mapping[str, Any],
    tasks: Mapping[int, str],
    writer: DatasetWriter,
) -> None:
    index, length, schema = row['episode_index'], row['length'], writer.schema
    columns, task_index = _read_rows(root, row, mapped)
    videos = {}
    for number, (key, video) in enumerate(schema.videos_by_key.items()):
        theirs = mapped.videos[key]
        source = _source(root, row, theirs)
        check_video(source, video, schema.fps)
        videos[key] = writer.root / f'converted_{number}.mp4'
        with VideoJoiner(videos[key], schema.fps) as joiner:
            first = round(row[f'videos/{theirs}/from_timestamp'] * schema.fps)
            joiner.append(source, first, length)
        layout.sync(videos[key])
    unknown = sorted(set(task_index) - tasks.keys())
    if unknown:
        raise ValueError(
            f'{root}/meta/tasks.parquet: has no task {unknown[0]}, which frames of episode '
            f'{index} are of'
        )
    images = {key: decode(path) for key, path in videos.items()}
    statistics = computed_statistics(columns, images)
    writer.commit(columns, videos, [tasks[k] for k in task_index], statistics)


def _read_rows(
    root: Path, row: Mapping[str, Any], mapped: Mapped
) -> tuple[dict[str, np.ndarray], list[int]]:
    """Columns of an episode, and the task of each of its frames."""
    index, length = row['episode_index'], row['length']
    place = {'chunk_index': row['data/chunk_index'], 'file_index': row['data/file_index']}
    path = root / DATA_PATH.format(**place)
    try:
        table = pq.read_table(path, filters=pc.field('episode_index') == index)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f'{path}: cannot be read: {error}') from None
    if len(table) != length:
        raise ValueError(f'{path}: expected {length} rows of episode {index}, got {len(table)}')
    columns = read_columns(table, mapped, path)
    if missing := sorted(mapped.schema.columns.keys() - columns.keys()):
        raise ValueError(f'{path}: column {mapped.columns[missing[0]].column} is missing')
    for name, values in columns.items():
        refuse_nan(values, f'{path}: episode {index}', name, mapped.schema)
    return columns, read_column(table, 'task_index', 1, 'int64', path)[:, 0].tolist()


def _source(root: Path, row: Mapping[str, Any], key: str) -> Path:
    """The file that holds an episode's pictures of a camera."""
    place = {k: row[f'videos/{key}/{k}'] for k in ('chunk_index', 'file_index')}
    return root / VIDEO_PATH.format(video_key=key, **place)


def _numbered(dataset: Dataset, episode: Episode, start: int) -> dict[str, np.ndarray]:
    """Columns of an episode, with bookkeeping as the rest of the dataset has it.

    `start`: its first row in the whole dataset. ValueError where its task is none of the dataset.
    """
    columns = rows_of(dataset, episode.index)
    numbers = {task: number for number, task in reversed(list(enumerate(dataset.tasks)))}
    tasks = dataset.frame_tasks(episode.index, columns['task_index'])
    if unknown := sorted(set(tasks) - numbers.keys()):
        raise ValueError(
            f'{dataset.root}/meta/tasks.jsonl: has no task {unknown[0]!r}, which episode '
            f'{episode.index} is of; `g1 dataset merge` writes a set that has it'
        )
    frames = np.arange(episode.length)
    task_index = np.array([numbers[task] for task in tasks], np.int64)
    own = {
        'timestamp': frames / dataset.fps,
        'frame_index': frames,
        'episode_index': np.full(episode.length, episode.index),
        'index': start + frames,
        'task_index': np.broadcast_to(task_index, episode.length),
    }
    return columns | {name: own[name].astype(kind) for name, kind in INDEX_COLUMNS.items()}


def _groups(dataset: Dataset) -> Iterator[list[Episode]]:
    """Episodes that share a file: as many as fit below the sizes of LeRobot's files.

    What decoders are told before the first packet is the same for all of them.
    """
    group: list[Episode] = []
    keys = tuple(dataset.schema.videos_by_key)
    data, video = 0, dict.fromkeys(keys, 0)
    facts: list[VideoFacts] = []
    for episode in dataset.episodes:
        paths = {key: dataset.video_path(episode.index, key) for key in keys}
        own = [probe(path) for path in paths.values()]
        data += dataset.data_path(episode.index).stat().st_size
        video = {key: video[key] + path.stat().st_size for key, path in paths.items()}
        full = data > _DATA_MB * 1e6 or max(video.values(), default=0) > _VIDEO_MB * 1e6
        if group and (full or own != facts):
            yield group
            group, data, video = [], 0, dict.fromkeys(keys, 0)
        group.append(episode)
        facts = own
    if group:
        yield group


def _episode_row(
    dataset: Dataset, episode: Episode, start: int, first_frame: int, place: Mapping[str, int]
) -> dict[str, Any]:
    """One line of meta/episodes: where the episode's rows and pictures are, and its statistics."""
    row: dict[str, Any] = {
        'episode_index': episode.index,
        'tasks': list(episode.tasks),
        'length': episode.length,
        'dataset_from_index': start,
        'dataset_to_index': start + episode.length,
    }
    row |= {f'data/{name}': index for name, index in place.items()}
    for key in dataset.schema.videos_by_key:
        row |= {f'videos/{key}/{name}': index for name, index in place.items()}
        row[f'videos/{key}/from_timestamp'] = first_frame / dataset.fps
        row[f'videos/{key}/to_timestamp'] = (first_frame + episode.length) / dataset.fps
    return row | {'meta/episodes/chunk_index': 0, 'meta/episodes/file_index': 0}


def _flat(statistics: Mapping[str, Any]) -> dict[str, Any]:
    """Statistics as columns of meta/episodes."""
    return {
        f'stats/{feature}/{name}': value
        for feature, values in statistics.items()
        for name, value in values.items()
    }


def _episode_rows(root: Path, mapped: Mapped) -> list[dict[str, Any]]:
    """Of every episode, in order: length, and where its rows and pictures are."""
    kinds: dict[str, tuple[type, ...]] = dict.fromkeys(
        ('episode_index', 'length', 'data/chunk_index', 'data/file_index'), (int,)
    )
    for key in mapped.videos.values():
        kinds |= dict.fromkeys(
            (f'videos/{key}/chunk_index', f'videos/{key}/file_index'), (int,)
        ) | {f'videos/{key}/from_timestamp': (int, float)}
    rows: list[dict[str, Any]] = []
    for path in sorted((root / 'meta/episodes').rglob('*.parquet')):
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f'{path}: cannot be read: {error}') from None
        if missing := [name for name in kinds if name not in table.column_names]:
            raise ValueError(f'{path}: missing columns: {", ".join(missing)}')
        for row in table.select(list(kinds)).to_pylist():
            for name, kind in kinds.items():
                least = int(name == 'length')
                if not isinstance(row[name], kind) or not least <= row[name] < math.inf:
                    raise ValueError(
                        f'{path}: {name}: expected a number of {least} or more, got {row[name]}'
                    )
            rows.append(row)
    if not rows:
        raise FileNotFoundError(f'{root}/meta/episodes: no episodes are listed there')
    return sorted(rows, key=lambda row: row['episode_index'])


def _write_tasks(tasks: Sequence[str], path: Path) -> None:
    """As pandas would: a column task_index, the instructions being the index of the table."""
    table = pa.table({'task_index': pa.array(range(len(tasks)), pa.int64()), 'task': list(tasks)})
    kinds = {'task_index': ('int64', 'int64'), 'task': ('unicode', 'object')}
    columns = [
        {'name': name, 'field_name': name, 'pandas_type': kind, 'numpy_type': numpy}
        for name, (kind, numpy) in kinds.items()
    ]
    pandas = {'index_columns': ['task'], 'column_indexes': [], 'columns': columns}
    pq.write_table(table.replace_schema_metadata({'pandas': json.dumps(pandas)}), path)


def _read_tasks(path: Path) -> dict[int, str]:
    """Instruction of each task_index."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f'{path}: cannot be read: {error}') from None
    names = [name for name in table.column_names if name != 'task_index']
    if len(names) != 1 or len(table.column_names) != 2:
        raise ValueError(
            f'{path}: expected columns task_index and task, got {", ".join(table.column_names)}'
        )
    pairs = zip(table['task_index'].to_pylist(), table[names[0]].to_pylist(), strict=True)
    listed = list(pairs)
    if not all(type(k) is int and isinstance(task, str) for k, task in listed):
        raise ValueError(f'{path}: expected whole numbers and instructions')
    numbers = sorted(number for number, _ in listed)
    if len(set(numbers)) != len(numbers):
        raise ValueError(f'{path}: expected every task_index once, got {numbers}')
    return dict(listed)


def _info3(dataset: Dataset, schema: Schema) -> dict[str, Any]:
    info = {k: v for k, v in dataset.info.items() if k not in ('total_chunks', 'total_videos')}
    return info | {
        'codebase_version': VERSION,
        'robot_type': schema.robot_type,
        'fps': schema.fps,
        'data_path': DATA_PATH,
        'video_path': VIDEO_PATH,
        'data_files_size_in_mb': _DATA_MB,
        'video_files_size_in_mb': _VIDEO_MB,
        'features': {
            name: value if value['dtype'] == 'video' else value | {'fps': schema.fps}
            for name, value in schema.features().items()
        },
    }


def _folder_of(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
