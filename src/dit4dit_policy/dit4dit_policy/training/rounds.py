"""Training in rounds: train, let an expert correct what came of it, train on all (DAgger)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dit4dit_policy.training.config import Rounds, TrainConfig
from dit4dit_policy.training.correct import Collection, collect
from dit4dit_policy.training.train import train


def train_in_rounds(config: TrainConfig) -> Path:
    """Trains, then goes through `config.rounds`; returns the last checkpoint's folder.

    The n-th round is in `round-N` of the output: `corrections`, and a training that begins from the
    checkpoint before and keeps its bounds. Killed, it goes on where it was.
    """
    checkpoint = train(replace(config, rounds=Rounds()))
    corrections: list[Path] = []
    for number in range(1, config.rounds.count + 1):
        folder = Path(config.output) / f'round-{number}'
        corrections += _corrected(config.rounds, number, checkpoint, folder / 'corrections')
        checkpoint = train(round_config(config, str(checkpoint), corrections, folder))
    return checkpoint


def _corrected(rounds: Rounds, number: int, checkpoint: Path, out: Path) -> list[Path]:
    return collect(
        Collection(
            env=rounds.env,
            task=rounds.task,
            policy='dit4dit',
            checkpoint=str(checkpoint),
            episodes=rounds.episodes,
            seed_start=rounds.seed_start + (number - 1) * rounds.episodes,
            latency=rounds.latency,
            workers=rounds.workers or os.cpu_count() or 1,
            out=out,
        )
    )


def round_config(
    config: TrainConfig, checkpoint: str, corrections: Sequence[Path], folder: Path
) -> TrainConfig:
    """Of a training in `folder` that goes on from a checkpoint; see `train_in_rounds`.

    All corrections together weigh as much as all demonstrations.
    """
    rounds, shares = config.rounds, sum(config.datasets.values())
    mixture = {str(path): shares / len(corrections) for path in corrections}
    return replace(
        config,
        datasets=config.datasets | mixture,
        output=str(folder),
        init_from=checkpoint,
        recompute_bounds=False,
        steps=rounds.steps,
        video_lr=rounds.lr,
        action_lr=rounds.lr,
        rounds=Rounds(),
    )
