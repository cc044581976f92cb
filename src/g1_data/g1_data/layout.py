"""The LeRobot v2.1 format on disk: where its files are, and how they are written safely.

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

VERSION = 'v2.1'
#: Versions that are read: v2.0 has one set of statistics for all episodes, which are computed then.
READABLE = (VERSION, 'v2.0')
CHUNK_SIZE = 1000  # episodes to a folder
#: Folder of a dataset for what is kept but no longer part of it.
ASIDE = '.aside'

DATA_PATH = 'data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet'
VIDEO_PATH = 'videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4'


def data_path(episode_index: int) -> str:
    """Of an episode's rows, in the dataset's folder."""
    return DATA_PATH.format(episode_chunk=episode_index // CHUNK_SIZE, episode_index=episode_index)


def video_path(episode_index: int, key: str) -> str:
    """Of an episode's video of the camera with this feature, in the dataset's folder."""
    return VIDEO_PATH.format(
        episode_chunk=episode_index // CHUNK_SIZE, video_key=key, episode_index=episode_index
    )


def raw_path(episode_index: int) -> str:
    """Of an episode's raw topics, in the dataset's folder."""
    return f'raw/episode_{episode_index:06d}'


def read_json(path: Path) -> Any:
    """Content of a .json file; ValueError where it is no JSON, FileNotFoundError if missing."""
    return parse_json(path.read_bytes(), str(path))


def parse_json(data: bytes, where: str) -> Any:
    """What a JSON document says; ValueError begins with `where` it is from."""
    try:
        content = json.loads(data)
        if b'\\ud' in data.lower():  # half a character, which nothing can print
            json.dumps(content, ensure_ascii=False).encode()
        return content
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{where}: not JSON: {error!r}'[:500]) from None


def read_info(root: Path, versions: Sequence[str] = (VERSION,)) -> dict[str, Any]:
    """info.json of a dataset of one of these versions.

    Raises:
        FileNotFoundError: `root` is no dataset.
        ValueError: it is of another version, or info.json is not to be read.
    """
    path = root / 'meta' / 'info.json'
    if not path.is_file():
        raise FileNotFoundError(
            f'{root} is not a LeRobot dataset: {path} is missing; give the folder that '
            'holds meta/, data/ and videos/'
        )
    info = read_json(path)
    if not isinstance(info, dict):
        raise ValueError(f'{path}: expected a mapping, got {str(info)[:100]}')
    found = info.get('codebase_version')
    if found not in versions:
        remedy = f'g1 dataset convert {root} --to {versions[0]} --out DIR writes it as that'
        if found in READABLE:
            remedy = '`g1 dataset merge` writes it as v2.1'
        raise ValueError(f'{path}: codebase_version: expected {versions[0]}, got {found}; {remedy}')
    return info


def version(root: Path) -> str:
    """What a dataset says that it is, as v2.1; '' where it does not say."""
    path = root / 'meta' / 'info.json'
    info = read_json(path) if path.is_file() else None
    return str(info.get('codebase_version', '')) if isinstance(info, dict) else ''


def read_modality(root: Path) -> Any:
    """Content of meta/modality.json; None where there is none, ValueError where it is no JSON."""
    path = root / 'meta' / 'modality.json'
    return read_json(path) if path.is_file() else None


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
    """Content of a .json file as datasets have it."""
    return json.dumps(content, indent=4, ensure_ascii=False) + '\n'


def sync(path: Path) -> None:
    """Brings a file's content, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
