"""Checkpoints of formats 1 (before version 0.2) and 2: their names become today's."""

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
    """`model` of an older config.json by today's names; the backbone of format 1 was Cosmos."""
    values = _renamed(values, {'video_weight': 'backbone_loss_weight'})
    if 'video' in values:
        values['backbone'] = {'kind': 'cosmos'} | _renamed(values.pop('video'), _VIDEO)
        values['action'] = _renamed(values['action'], _ACTION)
    return values


def weight_name(name: str) -> str:
    """Today's name of a weight."""
    return f'backbone.{name.removeprefix("video.")}' if name.startswith('video.') else name


def _renamed(values: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}
