"""Cosmos-Predict2.5-2B as `diffusers` lays it out: where the paper's video backbone starts from.

A folder with `transformer/`, `vae/`, `text_encoder/`, `tokenizer/` and `scheduler/`, as of
`hf download nvidia/Cosmos-Predict2.5-2B --revision diffusers/base/post-trained`.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKLWan, CosmosTransformer3DModel

from dit4dit_policy.model.cosmos.config import TransformerConfig, VaeConfig
from dit4dit_policy.model.cosmos.layers import vae_arguments
from dit4dit_policy.model.weights import Stored, safetensors_folder


def transformer_weights(folder: Path, config: TransformerConfig) -> dict[str, Stored]:
    """The video DiT's weights; ValueError where `transformer/config.json` is not `config`."""
    _compare(folder / 'transformer', CosmosTransformer3DModel, asdict(config))
    return safetensors_folder(folder / 'transformer', 'diffusion_pytorch_model')


def vae_weights(folder: Path, config: VaeConfig) -> dict[str, Stored]:
    """The VAE's weights; ValueError where `vae/config.json` is not `config`."""
    _compare(folder / 'vae', AutoencoderKLWan, vae_arguments(config))
    return safetensors_folder(folder / 'vae', 'diffusion_pytorch_model')


def _compare(folder: Path, kind: type, expected: dict[str, Any]) -> None:
    """ValueError where the arguments of `kind` in `folder/config.json` are not those expected."""
    path = folder / 'config.json'
    if not path.is_file():
        raise FileNotFoundError(
            f'no {path.name} in {folder}; expected a folder of Cosmos-Predict2.5-2B (diffusers '
            'layout, revision diffusers/base/post-trained)'
        )
    try:
        values = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f'{path}: not JSON: {error}') from None
    arguments = inspect.signature(kind).parameters
    if unknown := sorted(k for k in values if k not in arguments and not k.startswith('_')):
        raise ValueError(f'{path}: {unknown[0]} is no argument of {kind.__name__}')
    for name, argument in arguments.items():
        want = _plain(expected.get(name, argument.default))
        got = _plain(values.get(name, argument.default))
        if want != got:
            raise ValueError(
                f'{path}: {name} is {got}, expected {want}; choose the preset that these weights '
                'belong to'
            )


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
