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

    `track` wraps these episodes, for a progress bar.
    """
    if not dataset.episodes:
        raise ValueError(f'{dataset.root} has no episodes to make a picture of')
    count = min(_ROWS, len(dataset.episodes))
    chosen = np.linspace(0, len(dataset.episodes) - 1, count).round().astype(int)
    height = _WIDTH * dataset.image_shape[0] // dataset.image_shape[1]
    sheet = Image.new('RGB', (_WIDTH * _COLUMNS, (height + _LABEL) * count), 'white')
    draw = ImageDraw.Draw(sheet)
    for row, episode in enumerate(track([dataset.episodes[index] for index in chosen])):
        top = row * (height + _LABEL)
        seconds = episode.length / dataset.fps
        draw.text((2, top), f'{episode.index}: {episode.task} ({seconds:.1f} s)', 'black')
        wanted = np.linspace(0, episode.length - 1, _COLUMNS).round().astype(int)
        for column, k in enumerate(wanted):
            frame = next(iter(dataset.frames(episode.index, int(k), int(k) + 1)))
            small = Image.fromarray(frame).resize((_WIDTH, height), Image.Resampling.BILINEAR)
            sheet.paste(small, (column * _WIDTH, top + _LABEL))
    sheet.save(path)
