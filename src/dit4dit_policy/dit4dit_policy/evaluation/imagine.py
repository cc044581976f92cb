"""`dit4dit imagine`: the future that a policy expects, as a video, beside the real one."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from g1_data.disk import new_file

if TYPE_CHECKING:
    from dit4dit_policy.inference.policy import DiT4DiTPolicy

Frame = NDArray[np.uint8]  # (H, W, 3) RGB

_FPS = 10
_PANEL = (360, 480)  # height and width of each picture in the video [px]
_BAND = 48  # height of the line of text above [px]
_HELD = 1.0  # how long the first and the last frame stand still [s]


@dataclass(frozen=True)
class Imagined:
    """times (N,) [s] after the first frame; frames: N pictures of the model's size."""

    times: tuple[float, ...]
    frames: list[Frame]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `dit4dit imagine`."""
    parser.add_argument(
        '--checkpoint',
        metavar='DIR',
        help='its folder, or the name of a shipped one (default: small)',
    )
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument(
        '--image', type=Path, metavar='FILE', help='what the robot sees, PNG or JPEG'
    )
    start.add_argument(
        '--clip', type=Path, metavar='FILE',
        help='video to begin from, and to compare with: of a dataset, or ego.mp4 of a demo',
    )  # fmt: skip
    start.add_argument(
        '--measure', type=Path, nargs='+', metavar='DIR',
        help='LeRobot datasets it was not trained on: how like its pictures are to the real ones, '
        'and how like the present one is',
    )  # fmt: skip
    parser.add_argument(
        '--examples', type=int, default=64, metavar='N',
        help='moments to measure, in all of the datasets together (default: 64)',
    )  # fmt: skip
    parser.add_argument(
        '--at', type=float, default=0.0, metavar='S', help='where to begin in the clip (default: 0)'
    )
    parser.add_argument(
        '--task', metavar='TEXT', help='what to do, in words (--measure: as the datasets say)'
    )
    parser.add_argument(
        '--steps', type=int, default=10, metavar='N', help='denoising steps (default: 10)'
    )
    parser.add_argument(
        '--clips', type=int, default=1, metavar='N',
        help='how often to go on from the last frame that was imagined (default: 1, not at all)',
    )  # fmt: skip
    parser.add_argument('--seed', type=int, default=0, help='of the noise (default: 0)')
    parser.add_argument(
        '--out', type=Path, metavar='FILE',
        help='the video (default: runs/<time>-future.mp4), or some of the moments measured '
        '(default: runs/<time>-imagined.png)',
    )  # fmt: skip


def main(arguments: argparse.Namespace) -> int:
    """Writes the video; ValueError or FileNotFoundError says what is wrong with the arguments."""
    if min(arguments.steps, arguments.clips, arguments.examples) < 1 or not arguments.at >= 0.0:
        raise ValueError(
            'expected at least 1 of --steps, --clips and --examples and 0 s of --at, got '
            f'{arguments.steps}, {arguments.clips}, {arguments.examples} and {arguments.at:g}'
        )
    if arguments.measure:
        return _measure(arguments)
    if not arguments.task:
        raise ValueError('--task: expected what the robot is to do, in words')
    from rich.console import Console

    from dit4dit_policy.inference.shipped import load_policy
    from dit4dit_policy.progress import steps_bar

    out = new_file(arguments.out or _in_runs('future.mp4'))
    clip = _Clip(arguments.clip, arguments.at) if arguments.clip else None
    image = clip.frame(0.0) if clip else _read_image(arguments.image)
    assert image is not None
    console, policy = Console(), load_policy(arguments.checkpoint)
    if not policy.trained:
        console.print('[yellow]the weights are random: so is what they imagine')
    with steps_bar(console) as progress:
        bar = progress.add_task('denoising', total=arguments.steps * arguments.clips)
        imagined = imagine(
            policy,
            image,
            arguments.task,
            steps=arguments.steps,
            clips=arguments.clips,
            seed=arguments.seed,
            on_step=lambda: progress.advance(bar),
        )
    real = [_as_seen(policy, clip.frame(time)) for time in imagined.times] if clip else None
    _write(out, f'{policy.model_id}: {arguments.task}', imagined, real)
    print(f'{out}: {imagined.times[-1]:.1f} s ahead')
    return 0


def _as_seen(policy: DiT4DiTPolicy, image: Frame | None) -> Frame | None:
    """As the policy is shown it, (H, W, 3), by each of its cameras."""
    return None if image is None else policy.processor.frame(dict.fromkeys(policy.cameras, image))


def _in_runs(name: str) -> Path:
    return Path('runs') / f'{datetime.now():%Y%m%d-%H%M%S}-{name}'


def _measure(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from dit4dit_policy.evaluation import imagination
    from dit4dit_policy.inference.shipped import load_policy
    from dit4dit_policy.progress import steps_bar

    out = new_file(arguments.out or _in_runs('imagined.png'))
    console, policy = Console(), load_policy(arguments.checkpoint)
    _check_generates(policy)
    seen = imagination.moments(policy, arguments.measure, arguments.examples)
    with steps_bar(console) as progress:
        bar = progress.add_task('denoising', total=len(seen))
        shown = imagination.imagined(
            policy, seen, arguments.steps, arguments.seed, lambda: progress.advance(bar)
        )
    ways = {
        'imagined': shown,
        'the present one': imagination.standing_still(seen),
        'the real one, by the autoencoder': imagination.encoded_and_decoded(policy, seen),
    }
    rows = {name: imagination.likeness(seen, pictures) for name, pictures in ways.items()}
    ahead = policy.model.backbone.config.clip_offsets[-1] * policy.step
    title = f'{policy.model_id}: pictures {ahead:.1f} s ahead, {len(seen)} moments'
    console.print(imagination.likeness_table(title, rows))
    imagination.draw(seen, shown, ahead, out)
    print(out)
    return 0


def _check_generates(policy: DiT4DiTPolicy) -> None:
    video = policy.model.backbone
    if not video.generates_video:
        raise ValueError(
            f'{policy.model_id}: its backbone, {video.config.kind}, imagines nothing; expected the '
            'checkpoint of one that generates video, as cosmos'
        )


def imagine(
    policy: DiT4DiTPolicy,
    image: Frame,
    instruction: str,
    *,
    steps: int,
    clips: int = 1,
    seed: int = 0,
    on_step: Callable[[], object] = lambda: None,
) -> Imagined:
    """What the policy expects to see after `image` (H, W, 3) RGB, `image` itself first.

    steps: Euler steps of each clip (Algorithm 2). clips: how often it goes on from its own last
    frame; what it gets wrong adds up.
    """
    import torch

    video = policy.model.backbone
    _check_generates(policy)
    generator = torch.Generator().manual_seed(seed)
    offsets = np.array(video.config.clip_offsets) * policy.step
    first = policy.processor.encode_images(dict.fromkeys(policy.cameras, image))
    times, pictures = [0.0], [first]
    for _ in range(clips):
        times += (times[-1] + offsets[1:]).tolist()
        pictures += policy.clip_after(pictures[-1], instruction, steps, generator, on_step)
    frames = [(p.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8) for p in pictures]
    return Imagined(tuple(times), frames)


class _Clip:
    """A video file from some time on."""

    def __init__(self, path: Path, start: float) -> None:
        import av

        from g1_data.video import decode

        if not path.is_file():
            raise FileNotFoundError(f'--clip: there is no file {path}')
        with av.open(str(path)) as container:
            rate = container.streams.video[0].average_rate
        self._rate = float(rate or _FPS)
        self._frames = list(decode(path, round(start * self._rate)))
        if not self._frames:
            raise ValueError(f'--at: {path} ends before {start:g} s')

    def frame(self, time: float) -> Frame | None:
        """The picture `time` [s] after the start; None where the video has ended."""
        index = round(time * self._rate)
        return self._frames[index] if index < len(self._frames) else None


def _read_image(path: Path) -> Frame:
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise FileNotFoundError(f'--image: there is no file {path}')
    try:
        return np.array(Image.open(path).convert('RGB'))
    except UnidentifiedImageError as error:
        raise ValueError(f'--image: expected a picture: {error}') from None


def _write(path: Path, title: str, imagined: Imagined, real: Sequence[Frame | None] | None) -> None:
    """A video in real time: every picture stands until the next one's time."""
    from g1_data.video import VideoEncoder

    panels = 2 if real else 1
    shape = (_BAND + _PANEL[0], panels * _PANEL[1])
    encoder = VideoEncoder(path, _FPS, shape)
    ends = (*imagined.times[1:], imagined.times[-1] + _HELD)
    for index, (time, end) in enumerate(zip(imagined.times, ends, strict=True)):
        if index == 0:
            end = max(end, _HELD)
        what = 'now' if index == 0 else f'imagined, +{time:.1f} s'
        pictures: list[tuple[Frame | None, str]] = [(imagined.frames[index], what)]
        if real:
            pictures.append((real[index], 'now' if index == 0 else f'real, +{time:.1f} s'))
        frame = _page(title, pictures)
        for _ in range(max(1, round((end - time) * _FPS))):
            encoder.add(frame)
    encoder.finish()


def _page(title: str, pictures: Sequence[tuple[Frame | None, str]]) -> Frame:
    from PIL import Image, ImageDraw, ImageFont

    height, width = _PANEL
    page = Image.new('RGB', (len(pictures) * width, _BAND + height), (24, 24, 28))
    draw = ImageDraw.Draw(page)
    draw.text((12, 14), title, (235, 235, 235), ImageFont.load_default(17))
    for index, (picture, label) in enumerate(pictures):
        corner = (index * width, _BAND)
        if picture is not None:
            resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
            page.paste(resized, corner)
        else:
            label = 'the clip has ended'
        font = ImageFont.load_default(20)
        box = draw.textbbox((corner[0] + 12, corner[1] + 10), label, font)
        draw.rectangle((box[0] - 6, box[1] - 4, box[2] + 6, box[3] + 4), (24, 24, 28))
        draw.text((corner[0] + 12, corner[1] + 10), label, (255, 214, 102), font)
    return np.array(page)
