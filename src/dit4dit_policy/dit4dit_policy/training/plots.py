"""Pictures of a training: losses over the steps, and chunks beside what was demonstrated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

_SHOWN = 4  # joints of a chunk: those that move most


def plot_losses(history: list[dict[str, float]], path: Path) -> None:
    """Losses and held-out errors over the steps."""
    figure = Figure(figsize=(9, 3.5), layout='constrained')
    losses, errors = figure.subplots(1, 2)
    steps = [record['step'] for record in history]
    for axis, names in (
        (losses, ('action', 'keyframe', 'video', 'held_out_video')),
        (errors, ('error', 'error_wrong_image', 'error_state_only')),
    ):
        for name in names:
            if name in history[0]:
                axis.plot(steps, [r[name] for r in history], label=name.replace('_', ' '))
        axis.set_xlabel('step')
        axis.set_ylim(bottom=0)
        axis.legend()
    losses.set_ylabel('loss')
    errors.set_ylabel('held-out error [rad]')
    figure.savefig(path, dpi=120)


def plot_chunks(
    predicted: NDArray[np.float64],
    true: NDArray[np.float64],
    joint_names: tuple[str, ...],
    step: float,
    path: Path,
) -> None:
    """Held-out chunks (examples, K, J) [rad, m], predicted dashed, demonstrated in full lines."""
    figure = Figure(figsize=(4 * len(true), 3.5), layout='constrained')
    times = np.arange(true.shape[1]) * step
    for axis, guess, truth in zip(
        figure.subplots(1, len(true), squeeze=False)[0], predicted, true, strict=True
    ):
        for number, joint in enumerate(np.argsort(-np.ptp(truth, axis=0))[:_SHOWN]):
            axis.plot(times, truth[:, joint], f'C{number}', label=joint_names[joint])
            axis.plot(times, guess[:, joint], f'C{number}--')
        axis.set_xlabel('time after the image [s]')
        axis.legend(fontsize='x-small')
    figure.suptitle('held-out chunks: demonstrated, and predicted (dashed) [rad, m]')
    figure.savefig(path, dpi=120)
