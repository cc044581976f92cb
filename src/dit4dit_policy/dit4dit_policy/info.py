"""`dit4dit info`: what a checkpoint is. Reads no weight, so that it is quick for large ones too."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch

from dit4dit_policy.inference.processor import Processor
from dit4dit_policy.model import checkpoint
from dit4dit_policy.model.backbone import count_parameters
from dit4dit_policy.model.dit4dit import DiT4DiT
from g1_description import Group


def show(folder: Path) -> int:
    """Prints the checkpoint in `folder`; FileNotFoundError or ValueError says what is wrong."""
    from rich.console import Console
    from rich.table import Table

    record = checkpoint.read_config(folder)
    processor = Processor.load(checkpoint.processor_file(folder))
    sections = {
        'model': _model(folder, record),
        'robot and data': _robot(processor),
        'training': _training(record.training),
    }
    console = Console()
    for title, rows in sections.items():
        table = Table(title=f'{folder.resolve().name}: {title}', show_header=False, min_width=72)
        table.add_column(min_width=20)
        table.add_column(overflow='fold')
        for name, value in rows.items():
            table.add_row(name, value)
        console.print(table)
    return 0


def _model(folder: Path, record: checkpoint.CheckpointConfig) -> dict[str, str]:
    with torch.device('meta'):
        model = DiT4DiT(record.model)
    action = record.model.action
    stored = checkpoint.stored_weights(folder)
    kinds = Counter(str(tensor.dtype) for tensor in stored.values())
    size = (folder / 'model.safetensors').stat().st_size
    return {
        **model.backbone.describe(record.frozen),
        'action DiT': f'{count_parameters(model.action)}, {action.layers} blocks of {action.width}',
        'chunk': f'{action.horizon} actions in {action.euler_steps} Euler steps, '
        f'{action.future_tokens} future tokens',
        'weights': f'{size / 1e6:,.1f} MB, {", ".join(kinds)}',
    }


def _robot(processor: Processor) -> dict[str, str]:
    data = processor.dataset or {}
    return {
        'robot': f'{processor.embodiment.name}, {processor.step:g} s between two targets',
        **{f'group {group.name}': _group(group) for group in processor.embodiment.groups},
        'model': f'{processor.state_dim} state and {processor.action_dim} action values',
        'cameras': ', '.join(processor.cameras),
        'followed': f'{processor.follow} targets of a chunk before the next is made'
        if processor.follow
        else 'a chunk until the next, made as soon as can be',
        **{f'task {name}': text for name, text in processor.tasks.items()},
        'dataset': f'{", ".join(data["datasets"])}: {data["episodes"]} episodes, '
        f'{data["frames"]} frames'
        if data
        else "none: the bounds are the robot's",
    }


def _group(group: Group) -> str:
    what = f'{group.state_encoding} state, {group.action_encoding} action'
    if group.relative:
        what += ' relative to the state'
    names = dict.fromkeys((*group.state, *group.action))
    return f'{len(group.state)} and {len(group.action)}, {what}: {", ".join(names)}'


def _training(training: dict[str, Any]) -> dict[str, str]:
    """Numbers and words as they are; what came before it in one line each."""
    rows: dict[str, str] = {}
    for name, value in training.items():
        if name == 'before':
            rows |= _before(value)
        elif isinstance(value, dict):
            rows |= {f'{name}: {k}': _short(v) for k, v in value.items()}
        else:
            rows[name] = _short(value)
    return rows


def _before(training: dict[str, Any] | None) -> dict[str, str]:
    rows, back = {}, 1
    while training:
        rows[f'{back} run(s) before'] = f'{training.get("steps", "?")} steps on ' + _short(
            training.get('datasets', '?')
        )
        training, back = training.get('before'), back + 1
    return rows


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f'{value:.4g}'
    if isinstance(value, list):
        return ', '.join(_short(v) for v in value)
    text = str(value)
    return text if len(text) < 64 else f'{text[:12]}…'
