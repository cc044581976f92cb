"""A picture of how attempts failed: the last moments of each, a row an attempt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dit4dit_policy.evaluation.rollouts import AttemptOutcome
from g1_data.video import decode

_FRAMES = 8  # of each attempt,
_SECONDS = 6.0  # from its last seconds, evenly
_HEIGHT, _BAND, _GAP = 96, 20, 4  # [px]
_MOST = 60  # rows: one can look at so many


def draw_failures(failures: Mapping[Path, AttemptOutcome], path: Path) -> int:
    """Writes a strip of each failed attempt, by its video; returns how many are shown."""
    shown = list(failures.items())[:_MOST]
    strips = [_strip(_last_moments(video), outcome) for video, outcome in shown]
    if not strips:
        path.unlink(missing_ok=True)
        return 0
    page = Image.new('RGB', (max(s.width for s in strips), sum(s.height for s in strips)))
    top = 0
    for strip in strips:
        page.paste(strip, (0, top))
        top += strip.height
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path)
    return len(strips)


def _last_moments(video: Path) -> list[np.ndarray]:
    with av.open(str(video)) as container:
        rate = container.streams.video[0].average_rate
    frames = list(decode(video))[-max(1, round(_SECONDS * float(rate or 1))) :]
    return [frames[i] for i in np.linspace(0, len(frames) - 1, _FRAMES).round().astype(int)]


def _strip(frames: list[np.ndarray], outcome: AttemptOutcome) -> Image.Image:
    height, width = frames[0].shape[:2]
    size = round(width * _HEIGHT / height), _HEIGHT
    strip = Image.new('RGB', (_FRAMES * (size[0] + _GAP), _BAND + _HEIGHT + _GAP), (24, 24, 28))
    for index, frame in enumerate(frames):
        picture = Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR)
        strip.paste(picture, (index * (size[0] + _GAP), _BAND))
    attempt, counts = outcome.attempt, ', '.join(f'{v} {k}' for k, v in outcome.counts.items() if v)
    words = [f'{attempt.task} {attempt.seed} {attempt.variant}'.rstrip(), outcome.stage]
    words += [f'{outcome.seconds:.0f} s', counts, outcome.text]
    text = '   '.join(word for word in words if word)
    ImageDraw.Draw(strip).text((4, 3), text, (255, 214, 102), ImageFont.load_default(12))
    return strip
