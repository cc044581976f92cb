"""Checkpoints on disk: a folder with `config.json`, `model.safetensors` and `processor.json`.

`model.safetensors` holds every weight, the frozen ones too, in bfloat16; loading gives float32.
Nothing is ever unpickled.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from dit4dit_policy.model.config import ModelConfig
from dit4dit_policy.model.dit4dit import DiT4DiT

FORMAT = 1


def save(model: DiT4DiT, folder: Path, training: dict[str, Any]) -> None:
    """Writes `config.json`, with `training` saying how the weights came to be, and the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {'format': FORMAT, 'model': model.config.to_dict(), 'training': training}
    (folder / 'config.json').write_text(json.dumps(config, indent=2) + '\n')
    weights = {
        name: tensor.to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items()
    }
    save_file(weights, folder / 'model.safetensors')


def read_config(folder: Path) -> tuple[ModelConfig, dict[str, Any]]:
    """The model's configuration and its training record; an error says what is wrong."""
    path = _file(folder, 'config.json')
    try:
        config = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f'{path}: not JSON: {error}') from None
    if config.get('format') != FORMAT:
        raise ValueError(f'{path}: expected format {FORMAT}, got {config.get("format")!r}')
    return ModelConfig.from_dict(config['model']), config['training']


def load(folder: Path) -> tuple[DiT4DiT, dict[str, Any]]:
    """The model in evaluation mode and its training record.

    FileNotFoundError where a file is missing; ValueError where it is cut short, or a weight is
    missing, unknown, of another shape than the configuration says, or not finite.
    """
    config, training = read_config(folder)
    path = _file(folder, 'model.safetensors')
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ValueError(f'{path}: unreadable, probably cut short: {error}') from None
    model = DiT4DiT(config)
    _check(path, model.state_dict(), weights)
    model.load_state_dict(weights)
    return model.eval(), training


def processor_file(folder: Path) -> Path:
    """Path of `processor.json`, which `inference.processor` reads."""
    return _file(folder, 'processor.json')


def _file(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(
            f'no {name} in {folder}; a checkpoint is a folder with config.json, model.safetensors '
            'and processor.json'
        )
    return path


def _check(path: Path, expected: dict[str, torch.Tensor], got: dict[str, torch.Tensor]) -> None:
    if missing := sorted(expected.keys() - got.keys()):
        raise ValueError(f'{path}: {len(missing)} weights are missing, the first is {missing[0]}')
    if unknown := sorted(got.keys() - expected.keys()):
        raise ValueError(f'{path}: {len(unknown)} weights are unknown, the first is {unknown[0]}')
    for name, tensor in got.items():
        if tensor.shape != expected[name].shape:
            raise ValueError(
                f'{path}: {name} should be {tuple(expected[name].shape)} by config.json, '
                f'is {tuple(tensor.shape)}'
            )
        if not tensor.isfinite().all():
            raise ValueError(f'{path}: {name} is not finite; train or copy the checkpoint again')
