"""`dit4dit convert`: published weights become a checkpoint of ours."""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dit4dit_policy.inference.policy import near_home
from dit4dit_policy.inference.processor import Processor, encoded_for, seen_by
from dit4dit_policy.inference.upgrade import upgrade_processor
from dit4dit_policy.model import checkpoint, released
from dit4dit_policy.model.cosmos import pretrained
from dit4dit_policy.model.cosmos.config import CosmosConfig
from dit4dit_policy.model.dit4dit import DiT4DiT
from dit4dit_policy.model.presets import preset
from dit4dit_policy.model.weights import Stored
from g1_description import Embodiment, load_embodiment

#: Smallest range that a joint is given which never moved in the demonstrations [rad, m].
_SMALLEST = 1e-6


def main(arguments: argparse.Namespace) -> int:
    """Runs `dit4dit convert` and prints what became of every tensor.

    FileNotFoundError or ValueError says what is missing or does not fit.
    """
    from rich.console import Console
    from rich.table import Table

    if arguments.upgrade is not None:
        done = upgrade_processor(arguments.upgrade)
        print(f'{arguments.upgrade}: {"converted" if done else "of this version already"}')
        return 0
    if arguments.out is None:
        raise ValueError('expected --out DIR, the new folder')
    if arguments.released is None:
        if arguments.cosmos is None:
            raise ValueError('expected --released FILE or --cosmos DIR, or both')
        convert_cosmos(arguments.cosmos, arguments.out)
        print(f'checkpoint: {arguments.out}, its action DiT still to be trained')
        return 0
    if arguments.step is None:
        raise ValueError('--released needs --step: the seconds between two actions of its data')
    parts = convert_released(
        arguments.released,
        arguments.out,
        arguments.step,
        load_embodiment(arguments.robot),
        arguments.embodiment,
        arguments.cosmos,
    )
    table = Table(title=f'checkpoint: {arguments.out}')
    table.add_column('part')
    table.add_column('tensors', justify='right')
    table.add_column('values', justify='right')
    for part, stored in parts.items():
        values = sum(torch.Size(tensor.shape).numel() for tensor in stored.values())
        table.add_row(part, str(len(stored)), f'{values:,}')
    Console().print(table)
    return 0


def convert_cosmos(folder: Path, out: Path) -> None:
    """Cosmos-Predict2.5-2B as a `g1` policy whose action DiT is still to be trained."""
    torch.manual_seed(0)
    robot = load_embodiment()
    config = preset('g1').with_views(len(robot.model_cameras))
    model = checkpoint.from_pretrained(folder, config, None)
    _write(
        model,
        near_home(config, robot),
        {'trained': False, 'cosmos': folder.name},
        out,
    )


def convert_released(
    path: Path,
    out: Path,
    step: float,
    robot: Embodiment,
    embodiment: str | None = None,
    frozen: Path | None = None,
) -> dict[str, dict[str, Stored]]:
    """A released checkpoint; `step` [s] lies between two actions of the data it was trained on.

    `robot` has the groups of that data, in its order; `embodiment` names the statistics.

    With `frozen`, a folder of Cosmos-Predict2.5-2B, the VAE is referred to and prompts can be
    embedded; without, the VAE is included. Returns what became of every tensor: those of the model
    by part, and those of the text encoder, which are not copied. FileNotFoundError or ValueError
    says what is missing or does not fit.
    """
    source = released.read(path, embodiment)
    source = replace(source, model=source.model.with_views(len(robot.model_cameras)))
    processor = _processor(source, path, step, robot)
    if frozen is not None:
        _check_same_vae(source, frozen, path)
    model = source.load(None)
    model.backbone.frozen_folder = frozen
    _write(model, processor, {'trained': True, 'released': path.name}, out)
    parts = {
        prefix.rstrip('.'): {n: s for n, s in source.weights.items() if n.startswith(prefix)}
        for prefix in released.PREFIXES.values()
    }
    return parts | {'text encoder (not copied)': source.text_encoder}


def _write(model: DiT4DiT, processor: Processor, training: dict[str, Any], out: Path) -> None:
    checkpoint.save(model, out, training, dtype=None)
    processor.save(out / 'processor.json')


def _processor(source: released.Released, path: Path, step: float, robot: Embodiment) -> Processor:
    """Numbers, their order and normalisation: actions min-max to [-1, 1], states sin and cos."""
    bounds: dict[str, Any] = {}
    for kind in ('state', 'action'):
        lower, upper = (source.statistics[kind][bound] for bound in ('min', 'max'))
        names = robot.state_names if kind == 'state' else robot.action_names
        if len(lower) != len(names) or len(upper) != len(names):
            raise ValueError(
                f'{path}: its statistics are of {len(lower)} {kind} values, {robot.name} has '
                f'{len(names)}; name the robot of its training with --robot'
            )
        bounds[f'{kind}_lower'] = tuple(lower)
        bounds[f'{kind}_upper'] = tuple(
            max(high, low + _SMALLEST) for low, high in zip(lower, upper, strict=True)
        )
    config = source.model
    proof = hashlib.sha256(json.dumps(source.statistics, sort_keys=True).encode()).hexdigest()
    robot = replace(seen_by(robot, robot.model_cameras), rate=1 / step)
    return Processor(
        embodiment=encoded_for(config, robot),
        **bounds,
        image=config.backbone.image,
        further_views=config.backbone.further_views,
        state_dim=config.action.state_dim,
        action_dim=config.action.action_dim,
        tasks={},
        dataset={
            'datasets': [path.name],
            'episodes': source.statistics.get('num_trajectories'),
            'frames': source.statistics.get('num_transitions'),
            'hash': [proof],
        },
    )


def _check_same_vae(source: released.Released, frozen: Path, path: Path) -> None:
    assert isinstance(source.model.backbone, CosmosConfig)
    for name, tensor in pretrained.vae_weights(frozen, source.model.backbone.vae).items():
        theirs = source.weights.get(f'backbone.vae.{name}')
        if theirs is not None:
            weights = theirs.read(None)
            if not torch.equal(weights, tensor.read(weights.dtype)):
                raise ValueError(
                    f'{path}: its VAE is not that of {frozen} ({name} differs); convert without '
                    '--cosmos to include its own'
                )
