"""One picture of a dataset: a row of frames for every episode."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from g1_data.dataset import Dataset, Episode

_COLUMNS = 6
_ROWS = 20
_WIDTH = 200  # of a frame [px]
_LABEL = 14  # height of the line above each row [px]


def contact_sheet(
    dataset: Dataset,
    path: str | Path,
    track: Callable[[Iterable[Episode]], Iterable[Episode]] = iter,
) -> None:
    """Writes a picture: frames from begin to end of up to 20 episodes spread over the dataset.

    Each episode has a row for every camera. `track` wraps these episodes, for a progress bar.
    """
    if not dataset.episodes or not dataset.cameras:
        raise ValueError(f'{dataset.root} has no episodes with images to make a picture of')
    count = min(max(1, _ROWS // len(dataset.cameras)), len(dataset.episodes))
    chosen = np.linspace(0, len(dataset.episodes) - 1, count).round().astype(int)
    heights = [_WIDTH * h // w for h, w in map(dataset.image_shape, dataset.cameras)]
    block = sum(heights) + _LABEL
    sheet = Image.new('RGB', (_WIDTH * _COLUMNS, block * count), 'white')
    draw = ImageDraw.Draw(sheet)
    for number, episode in enumerate(track([dataset.episodes[index] for index in chosen])):
        top = number * block
        seconds = episode.length / dataset.fps
        label = f'{episode.index}: {episode.task} ({seconds:.1f} s)'
        draw.text((2, top), label.encode('latin-1', 'replace').decode('latin-1'), 'black')
        top += _LABEL
        for camera, height in zip(dataset.cameras, heights, strict=True):
            _draw_row(sheet, dataset, episode, camera, (top, height))
            top += height
    sheet.save(path)


def _draw_row(
    sheet: Image.Image, dataset: Dataset, episode: Episode, camera: str, place: tuple[int, int]
) -> None:
    """Frames of a camera from begin to end of an episode, at `place` (top, height) [px]."""
    top, height = place
    wanted = np.linspace(0, episode.length - 1, _COLUMNS).round().astype(int)
    for column, k in enumerate(wanted):
        frame = next(dataset.frames(episode.index, camera, int(k), int(k) + 1), None)
        if frame is None:
            raise ValueError(
                f'{dataset.video_path(episode.index, camera)}: has no frame {k}, expected the '
                f'{episode.length} of episodes.jsonl'
            )
        small = Image.fromarray(frame).resize((_WIDTH, height), Image.Resampling.BILINEAR)
        sheet.paste(small, (column * _WIDTH, top))
