"""Checks a dataset against every rule of the format and names each fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from g1_data import json_lines, layout
from g1_data.dataset import Dataset, Episode
from g1_data.mapping import ColumnMap
from g1_data.schema import INDEX_COLUMNS, TOTALS
from g1_data.validate_episode import check_data, check_videos

_LISTS = {'tasks.jsonl': 'total_tasks', 'episodes.jsonl': 'total_episodes'}
_LISTS['episodes_stats.jsonl'] = 'total_episodes'


def validate(
    root: str | Path,
    track: Callable[[Iterable[Episode]], Iterable[Episode]] = iter,
    mapping: ColumnMap | None = None,
) -> list[str]:
    """Faults of the dataset at `root`, each a line naming file and rule; none if it is valid.

    With a `mapping` its columns are those that the mapping says. `track` wraps the episodes while
    they are checked, for a progress bar.
    """
    root = Path(root)
    mapping = mapping or ColumnMap()
    faults = list(_check_info(root, mapping)) or list(_check_lists(root))
    if not faults:
        try:
            dataset = Dataset(root, mapping)
            _ = dataset.tasks
        except (ValueError, OSError) as error:
            faults.append(str(error))
        else:
            faults += _check_modality(dataset) if mapping == ColumnMap() else ()
            faults += _check_dataset(dataset, track)
    return [fault.replace(f'{root}/', '') for fault in faults]


def _check_dataset(
    dataset: Dataset, track: Callable[[Iterable[Episode]], Iterable[Episode]]
) -> Iterator[str]:
    yield from _check_totals(dataset)
    start = 0
    for number, episode in enumerate(track(dataset.episodes)):
        if episode.index == number:  # what it is instead is said already
            yield from check_data(dataset, episode, start)
            yield from check_videos(dataset, episode)
        start += episode.length
    yield from _check_strangers(dataset)


def _check_info(root: Path, mapping: ColumnMap) -> Iterator[str]:
    """Without faults here everything else can be read."""
    where = 'meta/info.json'
    if not (root / where).is_file():
        yield f'{where}: missing; is this the folder that holds meta/, data/ and videos/?'
        return
    try:
        info = layout.read_info(root)
    except ValueError as error:
        yield str(error)
        return
    required = (*TOTALS, 'chunks_size', 'splits', 'data_path', 'video_path', 'robot_type')
    missing = sorted({*required, 'fps', 'features'} - info.keys())
    if missing:
        yield f'{where}: missing: {", ".join(missing)}'
        return
    for name, expected in (
        ('data_path', layout.DATA_PATH),
        ('video_path', layout.VIDEO_PATH),
        ('chunks_size', layout.CHUNK_SIZE),
    ):
        if info[name] != expected:
            yield f'{where}: {name}: expected {expected}, got {info[name]}'
    for name in TOTALS:
        if type(info[name]) is not int or info[name] < 0:
            yield f'{where}: {name}: expected a whole number of at least 0, got {info[name]!r}'
    try:
        videos = mapping.apply(info).schema.videos.values()
    except ValueError as error:
        yield f'{where}: {error}'
        return
    for video in videos:
        if not video.codec or not video.pix_fmt:
            yield (
                f"{where}: features: {video.key}: info: expected a mapping with the video's codec, "
                'got nothing; `g1 dataset merge` writes a set that has it'
            )
    for name, dtype in INDEX_COLUMNS.items():
        given = info['features'].get(name)
        got = given.get('dtype') if isinstance(given, dict) else None
        if got != dtype:
            yield f'{where}: features: {name}: expected dtype {dtype}, got {got}'


def _check_lists(root: Path) -> Iterator[str]:
    """Lists of meta/ that are missing, or of other entries than info.json says."""
    info = layout.read_info(root)
    for name, total in _LISTS.items():
        path = root / 'meta' / name
        if info[total] and not path.is_file():
            yield f'meta/{name}: missing' + (
                '; `g1 dataset stats` computes it' if 'stats' in name else ''
            )
            continue
        key = 'task_index' if name == 'tasks.jsonl' else 'episode_index'
        try:
            indices = [line.get(key) for line in json_lines.read(path)]
        except ValueError as error:
            yield str(error)
            continue
        if len(indices) != info[total] or indices != list(range(info[total])):
            yield (
                f'meta/{name}: expected the {key.split("_")[0]}s 0 to {info[total] - 1} of '
                f'info.json in order, got {len(indices)} lines: {_shortened(indices)}'
            )


def _check_modality(dataset: Dataset) -> Iterator[str]:
    """Wrong parts of the vectors are a fault of reading the schema already."""
    modality = layout.read_modality(dataset.root)
    expected = dataset.schema.modality()
    if modality is None:
        yield (
            'meta/modality.json: missing; the published trainer reads it, and '
            '`g1 dataset merge` writes a set that has one'
        )
    elif not isinstance(modality, dict) or any(
        modality.get(name) != expected[name] for name in ('state', 'action')
    ):
        yield f'meta/modality.json: expected parts of state and action, as {json.dumps(expected)}'
    else:
        videos = modality.get('video')
        keys = [
            video.get('original_key', name) if isinstance(video, dict) else name
            for name, video in (videos.items() if isinstance(videos, dict) else ())
        ]
        known = [*dataset.schema.videos, *dataset.schema.videos_by_key]
        if not keys or any(key not in known for key in keys):
            yield (
                'meta/modality.json: video: expected the cameras of info.json, as '
                f'{json.dumps(expected["video"])}, got {json.dumps(videos)}'
            )


def _check_totals(dataset: Dataset) -> Iterator[str]:
    frames = sum(episode.length for episode in dataset.episodes)
    if dataset.info['total_frames'] != frames:
        yield (
            f'meta/info.json: total_frames: the lengths in episodes.jsonl add up to {frames}, '
            f'got {dataset.info["total_frames"]}'
        )
    known = set(dataset.tasks)
    if len(known) != len(dataset.tasks):
        yield 'meta/tasks.jsonl: expected every task once'
    for number, task in enumerate(dataset.tasks):
        if not task.strip():
            yield f'meta/tasks.jsonl: task {number}: expected an instruction, got {task!r}'
    for episode in dataset.episodes:
        for task in episode.tasks:
            if task not in known:
                yield (
                    f'meta/episodes.jsonl: episode {episode.index}: task not in tasks.jsonl: '
                    f'{task!r}'
                )


def _check_strangers(dataset: Dataset) -> Iterator[str]:
    """Files that no episode owns."""
    owned = {dataset.data_path(e.index) for e in dataset.episodes}
    features = dataset.info['features'].items()
    for key in (k for k, feature in features if feature.get('dtype') == 'video'):
        owned |= {dataset.root / layout.video_path(e.index, key) for e in dataset.episodes}
    for folder in ('data', 'videos'):
        for path in sorted((dataset.root / folder).rglob('*')):
            if path.is_file() and path not in owned:
                yield (
                    f'{path.relative_to(dataset.root)}: belongs to no episode; recording into the '
                    'dataset again sets it aside'
                )


def _shortened(numbers: list[Any]) -> str:
    text = ', '.join(map(str, numbers[:8]))
    return text + ', ...' if len(numbers) > 8 else text
