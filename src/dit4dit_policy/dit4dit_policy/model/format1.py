"""Checkpoints of format 1, written before version 0.2: their names become today's."""

from __future__ import annotations

from typing import Any

_VIDEO = {'hook': 'feature_layer', 'time': 'time_distribution', 'scale': 'latent_scaling'}
_ACTION = {
    'hidden': 'hidden_dim',
    'features': 'feature_dim',
    'action': 'action_dim',
    'state': 'state_dim',
    'positions': 'max_positions',
    'time': 'time_convention',
}


def model_entries(values: dict[str, Any]) -> dict[str, Any]:
    """`model` of a config.json by the names of format 2; the backbone then was Cosmos."""
    values = dict(values)
    if 'video' in values:
        values['backbone'] = {'kind': 'cosmos'} | _renamed(values.pop('video'), _VIDEO)
    if 'action' in values:
        values['action'] = _renamed(values['action'], _ACTION)
    return values


def weight_name(name: str) -> str:
    """The name in format 2 of a weight."""
    return f'backbone.{name.removeprefix("video.")}' if name.startswith('video.') else name


def _renamed(values: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}
