"""LeRobot v3.0 to and from v2.1: many episodes to a file there, a file to an episode here.

root/
    meta/info.json  stats.json  tasks.parquet  modality.json
    meta/episodes/chunk-000/file-000.parquet
    data/chunk-000/file-000.parquet
    videos/observation.images.ego_view/chunk-000/file-000.mp4

Layout after LeRobot's own dataset documentation (v3.0). Videos are cut and joined at key frames by
moving packets, so no picture is encoded a second time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from g1_data import layout
from g1_data.dataset import Dataset, Episode
from g1_data.statistics import ImageStatistics, column_statistics, to_json
from g1_data.video import decode
from g1_data.writer import DatasetWriter

VERSION = 'v3.0'
DATA_PATH = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
VIDEO_PATH = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'
_EPISODES = 'meta/episodes/chunk-000/file-000.parquet'
_DATA_MB, _VIDEO_MB = 100, 200  # of one file, as LeRobot writes them

#: Wraps the episodes while they are converted, for a progress bar.
Track = Callable[[Iterable[Any]], Iterable[Any]]


def to_version3(root: str | Path, out: str | Path, track: Track = iter) -> None:
    """Writes the v2.1 dataset at `root` as a v3.0 dataset at `out`, which must not exist yet."""
    dataset, out = Dataset(root), Path(out)
    with layout.appearing(out) as new:
        rows: list[dict[str, Any]] = []
        start = 0
        for number, group in enumerate(_groups(dataset)):
            place = {'chunk_index': number // layout.CHUNK_SIZE}
            place['file_index'] = number % layout.CHUNK_SIZE
            data = _folder_of(new / DATA_PATH.format(**place))
            video = _folder_of(new / VIDEO_PATH.format(video_key=layout.VIDEO_KEY, **place))
            pq.write_table(
                pa.concat_tables([pq.read_table(dataset.data_path(e.index)) for e in group]), data
            )
            first_frame = 0
            with _Joiner(video, dataset.fps) as joiner:
                for episode in track(group):
                    joiner.append(dataset.video_path(episode.index), 0, episode.length)
                    rows.append(_episode_row(dataset, episode, start, first_frame, place))
                    start += episode.length
                    first_frame += episode.length
        _folder_of(new / _EPISODES)
        pq.write_table(pa.Table.from_pylist(rows), new / _EPISODES)
        _write_tasks(dataset.tasks, new / 'meta/tasks.parquet')
        statistics = layout.json_text(to_json(dataset.stats))
        layout.write_atomically(new / 'meta/stats.json', statistics)
        layout.write_atomically(new / 'meta/modality.json', layout.json_text(layout.modality()))
        layout.write_atomically(new / 'meta/info.json', layout.json_text(_info3(dataset)))


def from_version3(root: str | Path, out: str | Path, track: Track = iter) -> Dataset:
    """Writes the v3.0 dataset at `root` as a v2.1 dataset at `out`, which must not exist yet.

    Raises:
        ValueError: `root` is not a v3.0 dataset of a G1 (16 joints, one camera), or files disagree.
    """
    root, out = Path(root), Path(out)
    info = read_info3(root)
    features = info['features']
    height, width, _ = features[layout.VIDEO_KEY]['shape']
    tasks = _read_tasks(root / 'meta/tasks.parquet')
    with (
        layout.appearing(out) as new,
        DatasetWriter.create(
            new,
            int(info['fps']),
            features[layout.STATE_KEY]['names'],
            (height, width),
            info['robot_type'],
            layout.extras(features),
        ) as writer,
    ):
        for row in track(_episode_rows(root)):
            _convert_back(root, row, tasks, writer)
    return Dataset(out)


def read_info3(root: Path) -> dict[str, Any]:
    """info.json of a v3.0 dataset of a G1; ValueError says what else it is."""
    path = root / 'meta' / 'info.json'
    if not path.is_file():
        raise FileNotFoundError(f'{root} is not a LeRobot dataset: {path} is missing')
    info = json.loads(path.read_text())
    if info.get('codebase_version') != VERSION:
        raise ValueError(f'{root}: expected {VERSION}, got {info.get("codebase_version")}')
    for key in (layout.STATE_KEY, layout.ACTION_KEY):
        shape = info['features'].get(key, {}).get('shape')
        if shape != [layout.VECTOR_SIZE]:
            raise ValueError(f'{root}: {key}: expected {layout.VECTOR_SIZE} numbers, got {shape}')
    videos = [key for key, value in info['features'].items() if value['dtype'] == 'video']
    if videos != [layout.VIDEO_KEY]:
        raise ValueError(f'{root}: expected one video, {layout.VIDEO_KEY}, got {videos}')
    return info


def _convert_back(
    root: Path, row: Mapping[str, Any], tasks: Sequence[str], writer: DatasetWriter
) -> None:
    index, length = row['episode_index'], row['length']
    place = {'chunk_index': row['data/chunk_index'], 'file_index': row['data/file_index']}
    path = root / DATA_PATH.format(**place)
    table = pq.read_table(path, filters=pc.field('episode_index') == index)
    if len(table) != length:
        raise ValueError(f'{path}: expected {length} rows of episode {index}, got {len(table)}')
    columns = {
        key: np.stack(table[key].to_numpy())
        for key in (layout.STATE_KEY, layout.ACTION_KEY, *writer.extras)
    }
    prefix = f'videos/{layout.VIDEO_KEY}'
    place = {k: row[f'{prefix}/{k}'] for k in ('chunk_index', 'file_index')}
    source = root / VIDEO_PATH.format(video_key=layout.VIDEO_KEY, **place)
    video = writer.root / 'converted.mp4'
    with _Joiner(video, writer.fps) as joiner:
        joiner.append(source, round(row[f'{prefix}/from_timestamp'] * writer.fps), length)
    images = ImageStatistics()
    for image in decode(video):
        images.add(image)
    statistics = {key: column_statistics(values) for key, values in columns.items()}
    statistics[layout.VIDEO_KEY] = images.result()
    writer.commit(columns, video, tasks[table['task_index'][0].as_py()], statistics)


class _Joiner:
    """Puts pieces of videos of one rate behind each other in a new file, packet by packet."""

    def __init__(self, path: Path, fps: int) -> None:
        self._fps, self._path = fps, path
        self._out = av.open(str(path), 'w', format='mp4')
        self._stream: Any = None
        self._frames = 0

    def append(self, path: Path, first: int, count: int) -> None:
        """Adds the frames `first` to `first + count - 1` of a video; the first is a key frame."""
        added = 0
        with av.open(str(path)) as source:
            stream = source.streams.video[0]
            if self._stream is None:
                self._stream = self._out.add_stream_from_template(stream)
                self._stream.time_base = Fraction(1, 512 * self._fps)
            for packet in source.demux(stream):
                if packet.pts is None or packet.time_base is None:
                    continue
                frame = round(packet.pts * packet.time_base * self._fps) - first
                if not 0 <= frame < count:
                    continue
                if frame == 0 and not packet.is_keyframe:
                    raise ValueError(f'{path}: frame {first} begins an episode but is no key frame')
                packet.pts = packet.dts = 512 * (self._frames + frame)
                packet.duration = 512
                packet.time_base = Fraction(1, 512 * self._fps)
                packet.stream = self._stream
                self._out.mux(packet)
                added += 1
        if added != count:
            raise ValueError(f'{path}: expected {count} frames from frame {first}, got {added}')
        self._frames += count

    def __enter__(self) -> _Joiner:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()


def _groups(dataset: Dataset) -> Iterator[list[Episode]]:
    """Episodes that share a file: as many as fit below the sizes of LeRobot's files."""
    group: list[Episode] = []
    data = video = 0
    for episode in dataset.episodes:
        data += dataset.data_path(episode.index).stat().st_size
        video += dataset.video_path(episode.index).stat().st_size
        if group and (data > _DATA_MB * 1e6 or video > _VIDEO_MB * 1e6):
            yield group
            group, data, video = [], 0, 0
        group.append(episode)
    if group:
        yield group


def _episode_row(
    dataset: Dataset, episode: Episode, start: int, first_frame: int, place: Mapping[str, int]
) -> dict[str, Any]:
    """One line of meta/episodes: where the episode's rows and pictures are, and its statistics."""
    row: dict[str, Any] = {
        'episode_index': episode.index,
        'tasks': [episode.task],
        'length': episode.length,
        'dataset_from_index': start,
        'dataset_to_index': start + episode.length,
    }
    for name, index in place.items():
        row[f'data/{name}'] = row[f'videos/{layout.VIDEO_KEY}/{name}'] = index
    times = {'from': first_frame, 'to': first_frame + episode.length}
    for name, frame in times.items():
        row[f'videos/{layout.VIDEO_KEY}/{name}_timestamp'] = frame / dataset.fps
    for feature, values in to_json(dataset.episode_statistics[episode.index]).items():
        row |= {f'stats/{feature}/{name}': value for name, value in values.items()}
    return row | {'meta/episodes/chunk_index': 0, 'meta/episodes/file_index': 0}


def _episode_rows(root: Path) -> list[dict[str, Any]]:
    prefix = f'videos/{layout.VIDEO_KEY}'
    columns = ['episode_index', 'length', 'data/chunk_index', 'data/file_index']
    columns += [f'{prefix}/{k}' for k in ('chunk_index', 'file_index', 'from_timestamp')]
    rows: list[dict[str, Any]] = []
    for path in sorted((root / 'meta/episodes').rglob('*.parquet')):
        rows += pq.read_table(path, columns=columns).to_pylist()
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


def _read_tasks(path: Path) -> list[str]:
    table = pq.read_table(path)
    (name,) = (name for name in table.column_names if name != 'task_index')
    pairs = zip(table['task_index'].to_pylist(), table[name].to_pylist(), strict=True)
    return [task for _, task in sorted(pairs)]


def _info3(dataset: Dataset) -> dict[str, Any]:
    info = {k: v for k, v in dataset.info.items() if k not in ('total_chunks', 'total_videos')}
    info |= {
        'codebase_version': VERSION,
        'data_path': DATA_PATH,
        'video_path': VIDEO_PATH,
        'data_files_size_in_mb': _DATA_MB,
        'video_files_size_in_mb': _VIDEO_MB,
        'features': {
            name: value if value['dtype'] == 'video' else value | {'fps': dataset.fps}
            for name, value in dataset.features.items()
        },
    }
    return info


def _folder_of(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
