"""A run to look at: the plot of the joints and the videos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import matplotlib
import numpy as np
from dit4dit_msgs.msg import ActionChunk
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image

from g1_bench.monitor import Record
from g1_bench.report import DemoRun, JointMotion, commanded, executed, within
from g1_data.video import VideoEncoder
from g1_ros.compressed import pixels_of
from g1_ros.conversions import rgb_array, trajectory_arrays
from g1_ros.stamps import nanoseconds, serialised_stamp

#: Frames per second of both videos: the simulated camera's rate.
FPS = 15
_HALF = (400, 300)  # [px] of what was imagined, and of what came


def plot_joints(record: Record, run: DemoRun, path: Path) -> None:
    """Planned chunks over commanded and executed motion: left arm left, right arm right."""
    motion = executed(within(record.joint_states, run))
    sent = commanded(within(record.commands, run))
    chunks = [chunk for _, chunk in within(record.chunks, run)]
    half = (len(motion.names) - 2) // 2
    order = [*range(half), 2 * half, *range(half, 2 * half), 2 * half + 1]
    figure = Figure(figsize=(16, 20), layout='constrained')
    axes = figure.subplots(half + 1, 2, sharex=True)
    for axis, joint in zip(axes.T.flat, order, strict=True):
        name = motion.names[joint]
        _plot_chunks(axis, chunks, name, run.start)
        if joint < sent.positions.shape[1]:
            axis.plot(_seconds(sent, run), sent.positions[:, joint], 'C0', lw=1, label='commanded')
        axis.plot(_seconds(motion, run), motion.positions[:, joint], 'k', lw=1.2, label='measured')
        unit = 'm' if 'gripper' in name else 'rad'
        axis.set_title(f'{name.removesuffix("_joint").replace("_", " ")} [{unit}]', loc='left')
        axis.margins(x=0)
        axis.grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel('time [s]')
    for handle in axes[0, 0].legend(loc='upper right').legend_handles:
        handle.set(alpha=1.0, linewidth=2.0)
    figure.suptitle(f'{run.task}, seed {run.seed}: {len(chunks)} chunks')
    figure.savefig(path, dpi=90)


def _plot_chunks(
    axis: matplotlib.axes.Axes, chunks: list[ActionChunk], name: str, start: int
) -> None:
    for number, chunk in enumerate(chunks):
        index = chunk.trajectory.joint_names.index(name)
        begin = (nanoseconds(chunk.header.stamp) - start) * 1e-9
        due, positions = trajectory_arrays(chunk.trajectory)
        label = 'planned' if number == 0 else None
        axis.plot(begin + due, positions[:, index], color='C1', alpha=0.35, lw=0.8, label=label)


def _seconds(motion: JointMotion, run: DemoRun) -> NDArray[np.float64]:
    return np.asarray((motion.times - run.start) * 1e-9, np.float64)


def camera_frames(record: Record, run: DemoRun, images: Path) -> Iterator[NDArray[np.uint8]]:
    """What the camera had last published, `FPS` times a second of the run: (H, W, 3) RGB."""
    entries = within(record.images, run)
    if not entries:
        return
    arrivals = np.array([entry[0] for entry in entries])
    ticks = np.arange(arrivals[0], run.end, 1e9 / FPS)
    with images.open('rb') as file:
        shown, frame = -1, np.zeros((0, 0, 3), np.uint8)
        for newest in np.searchsorted(arrivals, ticks, side='right') - 1:
            if newest != shown:
                shown = newest
                file.seek(entries[newest][1])
                message = deserialize_message(file.read(entries[newest][2]), Image)
                frame = rgb_array(message)
            yield frame


def foresight_frames(record: Record, run: DemoRun, images: Path) -> Iterator[NDArray[np.uint8]]:
    """What was imagined, on the left, beside what came at that moment, `FPS` times a second.

    Each stands until the next one's moment. (H, W, 3) RGB.
    """
    entries, imagined = within(record.images, run), within(record.imagined, run)
    if not entries or not imagined:
        return
    ends = [moment for moment, _ in imagined[1:]] + [run.end]
    with images.open('rb') as file:

        def message(entry: tuple[int, int, int]) -> bytes:
            file.seek(entry[1])
            return file.read(entry[2])

        stamps = np.array([serialised_stamp(message(entry)) for entry in entries])
        for (moment, picture), end in zip(imagined, ends, strict=True):
            nearest = int(np.abs(stamps - moment).argmin())
            came = rgb_array(deserialize_message(message(entries[nearest]), Image))
            pair = [_labelled(pixels_of(picture), 'imagined'), _labelled(came, 'what came')]
            for _ in range(max(1, round((end - moment) * 1e-9 * FPS))):
                yield np.concatenate(pair, axis=1)


def _labelled(pixels: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    image = PilImage.fromarray(np.ascontiguousarray(pixels)).resize(_HALF)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(18)
    draw.rectangle((0, 0, *draw.textbbox((8, 6), text, font)[2:]), (24, 24, 28))
    draw.text((8, 4), text, (255, 214, 102), font)
    return np.asarray(image)


def write_video(frames: Iterable[NDArray[np.uint8]], path: Path) -> None:
    """Encodes the frames, all of one size, at `FPS`; no frames, no file."""
    encoder = None
    for frame in frames:
        if encoder is None:
            encoder = VideoEncoder(path, FPS, (frame.shape[0], frame.shape[1]))
        encoder.add(frame)
    if encoder is not None:
        encoder.finish()
