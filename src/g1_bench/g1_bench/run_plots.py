"""A run to look at: the plot of the joints and the two videos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import matplotlib
import numpy as np
from dit4dit_msgs.msg import ActionChunk
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image

from g1_bench.monitor import Record
from g1_bench.report import DemoRun, JointMotion, commanded, executed, within
from g1_data.video import VideoEncoder
from g1_ros.conversions import rgb_array, trajectory_arrays
from g1_ros.stamps import nanoseconds

#: Frames per second of both videos: the simulated camera's rate.
FPS = 15


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


def write_video(frames: Iterable[NDArray[np.uint8]], path: Path) -> None:
    """Encodes the frames, all of one size, at `FPS`; no frames, no file."""
    encoder = None
    for frame in frames:
        if encoder is None:
            encoder = VideoEncoder(path, FPS, (frame.shape[0], frame.shape[1]))
        encoder.add(frame)
    if encoder is not None:
        encoder.finish()
