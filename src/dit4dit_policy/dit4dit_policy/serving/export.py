"""`dit4dit export`: what the published clients read of a checkpoint, where they look for it.

They are told the path of a `.pt` file and read `config.yaml` and `dataset_statistics.json` two
folders above it; the weights they leave to the server.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from dit4dit_policy.inference.processor import Processor
from dit4dit_policy.inference.shipped import checkpoint_folder
from dit4dit_policy.model import checkpoint
from dit4dit_policy.model.config import ModelConfig

_WEIGHTS = Path('checkpoints', 'served_pytorch_model.pt')


def export_checkpoint(name: str, out: Path) -> tuple[Path, str]:
    """Of the checkpoint of that name: the path that a client is told, and its robot's name."""
    folder = checkpoint_folder(name)
    config = checkpoint.read_config(folder).model
    processor = Processor.load(checkpoint.processor_file(folder))
    return export(config, processor, out), processor.embodiment.name


def export(config: ModelConfig, processor: Processor, out: Path) -> Path:
    """Both files into the new folder `out`; the path that a client is told.

    ValueError where `out` is not new, or actions are relative, which these clients do not know.
    """
    if out.exists() and any(out.iterdir()):
        raise ValueError(f'--authors: expected a new folder, {out} has something in it')
    if relative := [group.name for group in processor.embodiment.groups if group.relative]:
        raise ValueError(
            f'actions of {", ".join(relative)} are relative to the state, which the published '
            'clients cannot add; ask with units: physical (policy `remote`)'
        )
    path = out / _WEIGHTS
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()  # they ask whether it is there
    (out / 'config.yaml').write_text(yaml.safe_dump(_settings(config)))
    statistics = {processor.embodiment.robot_type: _statistics(processor)}
    (out / 'dataset_statistics.json').write_text(json.dumps(statistics, indent=2) + '\n')
    return path


def _settings(config: ModelConfig) -> dict[str, Any]:
    action = config.action
    return {
        'framework': {
            'name': 'DiT4DiT',
            'action_model': {
                'action_dim': action.action_dim,
                'state_dim': action.state_dim,
                'future_action_window_size': action.horizon - 1,
                'action_horizon': action.horizon,
            },
        },
        'datasets': {'vla_data': {'image_size': list(config.backbone.image)}},
    }


def _statistics(processor: Processor) -> dict[str, Any]:
    """`mask` says which actions are scaled by the bounds; the others are as they are."""
    scaled = [
        group.action_encoding == 'min_max'
        for group in processor.embodiment.groups
        for _ in group.action
    ]
    return {
        'action': {
            'min': list(processor.action_lower),
            'max': list(processor.action_upper),
            'mask': scaled,
        },
        'state': {'min': list(processor.state_lower), 'max': list(processor.state_upper)},
    }
