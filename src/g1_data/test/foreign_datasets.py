"""Small datasets, and what turns them into those that others record."""

import json
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from g1_data import Dataset, DatasetWriter, Schema
from g1_data.cli import main
from g1_description import load_embodiment

ROBOT = load_embodiment()
SHAPE = (64, 96)
VIDEO = 'observation.images.ego_view'
LENGTHS = (9, 12)
PARQUET = 'data/chunk-000/episode_000001.parquet'


def pictures(length: int, seed: int) -> list[np.ndarray]:
    """A square that moves over a plain ground, so that frames are told apart."""
    images = []
    for k in range(length):
        image = np.full((*SHAPE, 3), (60 + 10 * seed, 90, 40), np.uint8)
        image[20:40, 4 * k : 4 * k + 20] = (220, 200, 30)
        images.append(image)
    return images


def write(root: Path, cameras: tuple[str, ...] = ('head',), task: str = 'Wave.') -> Path:
    rng = np.random.default_rng(0)
    schema = Schema.of(ROBOT, dict.fromkeys(cameras, SHAPE))
    with DatasetWriter.create(root, schema) as writer:
        for number, length in enumerate(LENGTHS):
            with writer.episode(task) as episode:
                for image in pictures(length, number):
                    state, action = rng.normal(size=(2, 16))
                    episode.add(state, action, dict.fromkeys(cameras, image))
    return root


def edit_info(root: Path, change: Callable[[dict], None]) -> None:
    path = root / 'meta/info.json'
    info = json.loads(path.read_text())
    change(info)
    path.write_text(json.dumps(info))


def encode(path: Path, images: list[np.ndarray], codec: str, options: dict[str, str]) -> None:
    """The frames as another recorder would have stored them, 10 a second."""
    with av.open(str(path), 'w') as container:
        stream: Any = container.add_stream(codec, rate=10, options=options)
        stream.height, stream.width = SHAPE
        stream.pix_fmt = 'yuv420p'
        stream.codec_context.time_base = Fraction(1, 10)
        for k, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format='rgb24')
            frame.pts, frame.time_base = k, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    # SVT-AV1, as root, puts the calling thread before everything else, and so what it starts later.
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def recode(root: Path, codec: str, options: dict[str, str]) -> None:
    for number, length in enumerate(LENGTHS):
        path = Dataset(root).video_path(number)
        encode(path, pictures(length, number), codec, options)
    name = av.codec.Codec(codec, 'w').canonical_name
    edit_info(root, lambda i: i['features'][VIDEO]['info'].update({'video.codec': name}))


def shown(root: Path, episode: int) -> list[np.ndarray]:
    return list(Dataset(root).frames(episode))


def error_of(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What a command that fails says, in one line."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def convert(root: Path, version: str) -> Path:
    out = root.with_name(f'{root.name}-{version}')
    assert main(['convert', str(root), '--to', version, '--out', str(out)]) == 0
    return out


def drop_statistics(root: Path) -> None:
    (root / 'meta/episodes_stats.jsonl').unlink()
