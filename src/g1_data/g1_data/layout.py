"""The LeRobot v2.1 format: which files there are, which columns, and what the metadata say.

root/
    meta/info.json  episodes.jsonl  episodes_stats.jsonl  tasks.jsonl  modality.json
    data/chunk-000/episode_000000.parquet
    videos/chunk-000/observation.images.ego_view/episode_000000.mp4
    raw/episode_000000/episode_000000.mcap     where the raw topics are kept; no part of LeRobot

`meta/info.json` is written last when an episode is added: an episode beyond its `total_episodes`
does not exist. What is written is on the disk, name and content, before anything refers to it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = 'v2.1'
ROBOT_TYPE = 'g1_body29_aloha_arms_only'
VIDEO_KEY = 'observation.images.ego_view'
STATE_KEY = 'observation.state'
ACTION_KEY = 'action'
CHUNK_SIZE = 1000
#: Folder of a dataset for what is kept but no longer part of it.
ASIDE = '.aside'

DATA_PATH = 'data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet'
VIDEO_PATH = 'videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4'

#: Bookkeeping columns of every parquet file beside the features, and their types.
INDEX_COLUMNS = {
    'timestamp': 'float32',
    'frame_index': 'int64',
    'episode_index': 'int64',
    'index': 'int64',
    'task_index': 'int64',
}

#: Which numbers of state and action belong to which part of the robot.
VECTOR_PARTS = {
    'left_arm': (0, 7),
    'right_arm': (7, 14),
    'left_gripper': (14, 15),
    'right_gripper': (15, 16),
}
VECTOR_SIZE = 16


@dataclass(frozen=True)
class Extra:
    """A vector that a dataset holds for every frame beside what LeRobot asks for.

    names: of its numbers, with their units where they are not evident. dtype: float32 or float64.
    """

    names: tuple[str, ...]
    dtype: str = 'float32'

    @property
    def feature(self) -> dict[str, Any]:
        return {'dtype': self.dtype, 'shape': [len(self.names)], 'names': list(self.names)}


def features(
    joint_names: Sequence[str],
    image_shape: tuple[int, int],
    fps: int,
    extras: Mapping[str, Extra] | None = None,
) -> dict[str, Any]:
    """The `features` of info.json for one camera image (H, W) and 16 joints in chunk order."""
    height, width = image_shape
    if len(joint_names) != VECTOR_SIZE:
        raise ValueError(
            f'a dataset holds {VECTOR_SIZE} joints (7 left arm, 7 right arm, 2 grippers), '
            f'got {len(joint_names)} names'
        )
    if height % 2 or width % 2 or min(height, width) < 16:
        raise ValueError(
            f'h264 with yuv420p needs an even height and width of at least 16, got {height}x{width}'
        )
    vector = {'dtype': 'float32', 'shape': [VECTOR_SIZE], 'names': list(joint_names)}
    return {
        VIDEO_KEY: {
            'dtype': 'video',
            'shape': [height, width, 3],
            'names': ['height', 'width', 'channel'],
            'info': {
                'video.fps': float(fps),
                'video.height': height,
                'video.width': width,
                'video.channels': 3,
                'video.codec': 'h264',
                'video.pix_fmt': 'yuv420p',
                'video.is_depth_map': False,
                'has_audio': False,
            },
        },
        STATE_KEY: vector,
        ACTION_KEY: vector,
        **{name: extra.feature for name, extra in (extras or {}).items()},
        **{
            name: {'dtype': dtype, 'shape': [1], 'names': None}
            for name, dtype in INDEX_COLUMNS.items()
        },
    }


def extras(feature_table: Mapping[str, Any]) -> dict[str, Extra]:
    """The extras among the `features` of info.json."""
    known = {VIDEO_KEY, STATE_KEY, ACTION_KEY, *INDEX_COLUMNS}
    return {
        name: Extra(tuple(feature['names']), feature['dtype'])
        for name, feature in feature_table.items()
        if name not in known
    }


def info(robot_type: str, fps: int, feature_table: dict[str, Any]) -> dict[str, Any]:
    """info.json of a dataset without episodes."""
    return {
        'codebase_version': VERSION,
        'robot_type': robot_type,
        'total_episodes': 0,
        'total_frames': 0,
        'total_tasks': 0,
        'total_videos': 0,
        'total_chunks': 0,
        'chunks_size': CHUNK_SIZE,
        'fps': fps,
        'splits': {},
        'data_path': DATA_PATH,
        'video_path': VIDEO_PATH,
        'features': feature_table,
    }


def modality() -> dict[str, Any]:
    """modality.json: the parts of the vectors, named as the published trainer asks for them."""
    parts = {name: {'start': start, 'end': end} for name, (start, end) in VECTOR_PARTS.items()}
    return {
        'state': parts,
        'action': parts,
        'video': {'ego_view': {'original_key': VIDEO_KEY}},
        'annotation': {'human.task_description': {'original_key': 'task_index'}},
    }


def data_path(episode_index: int) -> str:
    return DATA_PATH.format(episode_chunk=episode_index // CHUNK_SIZE, episode_index=episode_index)


def video_path(episode_index: int) -> str:
    return VIDEO_PATH.format(
        episode_chunk=episode_index // CHUNK_SIZE, video_key=VIDEO_KEY, episode_index=episode_index
    )


def raw_path(episode_index: int) -> str:
    return f'raw/episode_{episode_index:06d}'


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Lines of a .jsonl file, none if it is missing; ValueError names a line that is no JSON."""
    if not path.is_file():
        return []
    lines = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.strip():
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ValueError(f'{path}, line {number}: not JSON: {error}') from None
    return lines


def refuse_existing(out: Path) -> None:
    """ValueError where something is at `out` already."""
    if out.exists():
        raise ValueError(f'{out} exists; a new dataset is written, choose another name')


@contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """A folder to write a dataset to; it becomes `out` at the end, or nothing after an error."""
    refuse_existing(out)
    unfinished = out.with_name(f'.{out.name}.unfinished')
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        yield unfinished
        move(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Holds the dataset's folder for this process. BlockingIOError: another one writes to it."""
    descriptor = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(
                f'another process is writing to {root}; wait for it, or record into another '
                'folder and merge the two with `g1 dataset merge`'
            ) from None
        yield
    finally:
        os.close(descriptor)


def aside(root: Path, name: str) -> Path:
    """A path in the dataset for what is kept but no longer part of it; nothing is there yet."""
    folder = root / ASIDE
    make_folder(folder)
    stamp = time.strftime('%Y%m%d-%H%M%S')
    numbers = (f'{stamp}-{name}', *(f'{stamp}.{k}-{name}' for k in range(1, 1000)))
    return next(path for text in numbers if not (path := folder / text).exists())


def write_atomically(path: Path, text: str) -> None:
    """Replaces `path` such that a crash leaves either the old or the new content."""
    new = path.with_name(f'.{path.name}.new')
    try:
        new.write_text(text)
        sync(new)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    sync(path.parent)


def move(source: Path, target: Path) -> None:
    """Renames a file or folder such that its new name survives a power cut."""
    make_folder(target.parent)
    source.replace(target)
    sync(target.parent)


def make_folder(path: Path) -> None:
    """Makes a folder and those above it where they are missing; they survive a power cut."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def json_text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=4, ensure_ascii=False) + '\n'


def jsonl_text(lines: Iterable[dict[str, Any]]) -> str:
    return ''.join(json.dumps(line, ensure_ascii=False) + '\n' for line in lines)


def sync(path: Path) -> None:
    """Brings a file's content, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
