"""Checkpoints of ours: a folder with `config.json`, `model.safetensors` and `processor.json`.

`config.json` says what the model is, how it was trained, and where its frozen parts are: in a
folder of published weights (`frozen`), or, without that, in `model.safetensors` with the rest.
`from_pretrained` and `model.released` read the two other kinds of weights there are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from dit4dit_policy.model import older_formats
from dit4dit_policy.model.action_dit import ActionDiT
from dit4dit_policy.model.config import ModelConfig
from dit4dit_policy.model.dit4dit import DiT4DiT
from dit4dit_policy.model.weights import Stored, assign, safetensors_file

FORMAT = 3


@dataclass(frozen=True)
class CheckpointConfig:
    """What `config.json` holds. `training` says how the weights came to be."""

    model: ModelConfig
    training: dict[str, Any]
    frozen: Path | None
    format: int = FORMAT


def save(
    model: DiT4DiT,
    folder: Path,
    training: dict[str, Any],
    dtype: torch.dtype | None = torch.bfloat16,
) -> None:
    """Writes the weights, as `dtype` (None: as they are), and `config.json`.

    `training` says how they came to be; `trained` in it is true or false. Frozen parts of published
    weights, as the VAE of Cosmos-Predict2.5, are not written but referred to.
    """
    frozen = model.backbone.frozen_folder
    referred = tuple(f'backbone.{part}' for part in model.backbone.frozen_parts)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: tensor.to(dtype or tensor.dtype).contiguous()
        for name, tensor in model.state_dict().items()
        if frozen is None or not name.startswith(referred)
    }
    save_file(weights, folder / 'model.safetensors')
    config = {
        'format': FORMAT,
        'model': model.config.to_dict(),
        'frozen': None if frozen is None else str(frozen.resolve()),
        'training': training,
    }
    (folder / 'config.json').write_text(json.dumps(config, indent=2) + '\n')


def read_config(folder: Path) -> CheckpointConfig:
    """What `config.json` says; FileNotFoundError or ValueError says what is wrong with it."""
    path = _file(folder, 'config.json')
    try:
        values = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f'{path}: not JSON: {error}') from None
    if values.get('format') not in (1, 2, FORMAT):
        raise ValueError(
            f'{path}: expected format {FORMAT}, got {values.get("format")!r}; '
            'train or convert the checkpoint again with this version'
        )
    if missing := [name for name in ('model', 'training') if name not in values]:
        raise ValueError(f'{path}: expected model and training, {missing[0]} is missing')
    frozen, entries = values.get('frozen'), values['model']
    if values['format'] < FORMAT:
        entries = older_formats.model_entries(entries)
    return CheckpointConfig(
        ModelConfig.from_dict(entries),
        values['training'],
        None if frozen is None else Path(frozen),
        values['format'],
    )


def load(folder: Path, dtype: torch.dtype | None = torch.float32) -> tuple[DiT4DiT, dict[str, Any]]:
    """The model in evaluation mode, its weights as `dtype` (None: as stored), and its training.

    Needs little more memory than the model itself. FileNotFoundError where a file is missing;
    ValueError where it is cut short, or a weight is missing, unknown, of another shape than the
    configuration says, or not finite.
    """
    record = read_config(folder)
    stored = stored_weights(folder)
    if record.format < FORMAT:
        stored = {older_formats.weight_name(name): tensor for name, tensor in stored.items()}
    with torch.device('meta'):
        model = DiT4DiT(record.model)
    if record.frozen is not None:
        try:
            frozen = model.backbone.frozen_weights(record.frozen)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'{folder}: its frozen parts are expected in {record.frozen}: {error}; put the '
                'published weights there, or their place into `frozen` of config.json'
            ) from None
        stored |= {f'backbone.{name}': tensor for name, tensor in frozen.items()}
        model.backbone.frozen_folder = record.frozen
    assign(model, stored, dtype)
    return model.eval(), record.training


def from_pretrained(
    folder: Path, config: ModelConfig, dtype: torch.dtype | None = torch.float32
) -> DiT4DiT:
    """A model of `config` whose backbone has the published weights in `folder`.

    Its action DiT is random; a text encoder is loaded when a prompt has to be embedded.
    FileNotFoundError or ValueError says what is missing, or differs between the folder and
    `config`.
    """
    with torch.device('meta'):
        model = DiT4DiT(config)
    assign(model.backbone, model.backbone.pretrained_weights(folder), dtype)
    model.action = ActionDiT(config.action, config.backbone.tokens).to(
        dtype or model.backbone.dtype
    )
    model.backbone.frozen_folder = folder
    return model.eval()


def stored_weights(folder: Path) -> dict[str, Stored]:
    """What `model.safetensors` holds, not read yet; ValueError where it is cut short."""
    return safetensors_file(_file(folder, 'model.safetensors'))


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
