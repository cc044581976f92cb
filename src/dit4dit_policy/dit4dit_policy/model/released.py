"""The checkpoints that the paper's authors released: a `.pt` file, and beside it `config.yaml` and
`dataset_statistics.json` (in its folder, or, where that is `checkpoints/`, in the one above).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import yaml

from dit4dit_policy.model.config import ActionConfig, ModelConfig
from dit4dit_policy.model.cosmos.config import CosmosConfig
from dit4dit_policy.model.dit4dit import DiT4DiT
from dit4dit_policy.model.presets import preset
from dit4dit_policy.model.weights import Stored, assign, torch_file

#: Where each part's weights are in the file, and where they belong in `DiT4DiT`.
PREFIXES = {
    'backbone_interface.extractor.transformer.': 'backbone.transformer.',
    'backbone_interface.extractor.vae.': 'backbone.vae.',
    'action_model.': 'action.',
}
TEXT_ENCODER = 'backbone_interface.extractor.text_encoder.'
#: Width and heads of the action DiTs that have a name.
_ACTION_DITS = {'DiT-B': (768, 12), 'DiT-L': (1536, 32)}


@dataclass(frozen=True)
class Released:
    """What is in the three files; no weight has been read yet.

    `weights` have our names. The text encoder is frozen, and belongs to Cosmos-Predict2.5: its
    tensors are only counted. `statistics` are of one embodiment: for 'state' and 'action' the
    'min', 'max', ... of each dimension.
    """

    model: ModelConfig
    statistics: dict[str, Any]
    weights: dict[str, Stored]
    text_encoder: dict[str, Stored]

    def load(self, dtype: torch.dtype | None = torch.float32) -> DiT4DiT:
        """The model, its weights as `dtype` (None: as stored).

        ValueError where a weight is missing, unknown, of another shape, or not finite.
        """
        with torch.device('meta'):
            model = DiT4DiT(self.model)
        assign(model, self.weights, dtype)
        return model.eval()


def read(path: Path, embodiment: str | None = None) -> Released:
    """The released checkpoint `path`; `embodiment` where the statistics are of several.

    FileNotFoundError or ValueError says what is missing or cannot be represented.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no {path}; expected the .pt file of a released checkpoint')
    settings = _beside(path, 'config.yaml')
    statistics = _beside(path, 'dataset_statistics.json')
    try:
        values = yaml.safe_load(settings.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f'{settings}: not YAML: {error}') from None
    model = model_config(values, str(settings))
    weights, text_encoder = named_as_ours(torch_file(path))
    _check_text_encoder(path, text_encoder, model)
    return Released(model, _statistics(statistics, embodiment), weights, text_encoder)


def named_as_ours(stored: dict[str, Stored]) -> tuple[dict[str, Stored], dict[str, Stored]]:
    """The weights by the names they have here, and those of the text encoder apart.

    ValueError where one belongs to neither.
    """
    weights, text_encoder = {}, {}
    for name, tensor in stored.items():
        prefix = next((p for p in PREFIXES if name.startswith(p)), None)
        if prefix is not None:
            weights[PREFIXES[prefix] + name.removeprefix(prefix)] = tensor
        elif name.startswith(TEXT_ENCODER):
            text_encoder[name.removeprefix(TEXT_ENCODER)] = tensor
        else:
            raise ValueError(
                f'{tensor.path}: unknown weight {name}; those of a released checkpoint start with '
                f'{", ".join([*PREFIXES, TEXT_ENCODER])}'
            )
    return weights, text_encoder


def model_config(values: dict[str, Any], where: str) -> ModelConfig:
    """The configuration that a released `config.yaml` describes; without an entry, as `released`.

    ValueError names an entry, expected and given, that would make it another model than ours.
    """
    released, read = preset('released'), _Entries(values, where)
    backbone = released.backbone
    assert isinstance(backbone, CosmosConfig)
    video = 'framework.cosmos25'
    if read.get(f'{video}.training', 'joint') == 'video':
        raise ValueError(f'{where}: {video}.training is video: there is no action head to use')
    read.require(f'{video}.future_loss_type', 'flow_matching')
    read.require(f'{video}.flow_matching.high_sigma_ratio', 0.05)
    read.require(f'{video}.flow_matching.high_sigma_min', 0.98)
    frame_step, latent_frames = _clip(read, backbone)
    return replace(
        released,
        backbone=replace(
            backbone,
            image=tuple(read.get('datasets.vla_data.image_size', backbone.image)),
            feature_layer=read.get(f'{video}.extract_layer', backbone.feature_layer),
            condition_time=float(
                read.get(f'{video}.conditional_frame_timestep', backbone.condition_time)
            ),
            time_distribution=read.get(
                f'{video}.flow_matching.time_distribution', backbone.time_distribution
            ),
            frame_step=frame_step,
            latent_frames=latent_frames,
        ),
        action=action_config(values, where),
    )


def action_config(
    values: dict[str, Any], where: str, width_and_heads: tuple[int, int] | None = None
) -> ActionConfig:
    """The action head of a released configuration; `width_and_heads` of one without a name."""
    released, read = preset('released').action, _Entries(values, where)
    head = 'framework.action_model'
    if width_and_heads is None:
        name = read.get(f'{head}.action_model_type', 'DiT-B')
        if name not in _ACTION_DITS:
            raise ValueError(
                f'{where}: {head}.action_model_type is {name}, expected {" or ".join(_ACTION_DITS)}'
            )
        width_and_heads = _ACTION_DITS[name]
    hidden = read.get(f'{head}.hidden_size', released.hidden_dim)
    for entry, only in {
        'add_pos_embed': True,
        'noise_s': 0.999,
        'num_timestep_buckets': 1000,
        'past_action_window_size': 0,
        'diffusion_model_cfg.interleave_self_attention': True,
        'diffusion_model_cfg.norm_type': 'ada_norm',
        'diffusion_model_cfg.final_dropout': True,
        'diffusion_model_cfg.positional_embeddings': None,
        'diffusion_model_cfg.output_dim': hidden,
    }.items():
        read.require(f'{head}.{entry}', only)
    return replace(
        released,
        width=width_and_heads[0],
        heads=width_and_heads[1],
        hidden_dim=hidden,
        layers=read.get(f'{head}.diffusion_model_cfg.num_layers', released.layers),
        dropout=read.get(f'{head}.diffusion_model_cfg.dropout', released.dropout),
        feature_dim=read.get(
            f'{head}.diffusion_model_cfg.cross_attention_dim', released.feature_dim
        ),
        action_dim=read.get(f'{head}.action_dim', released.action_dim),
        state_dim=read.get(f'{head}.state_dim', released.state_dim),
        horizon=read.get(f'{head}.future_action_window_size', released.horizon - 1) + 1,
        max_positions=read.get(f'{head}.max_seq_len', released.max_positions),
        euler_steps=read.get(f'{head}.num_inference_timesteps', released.euler_steps),
        beta=(
            read.get(f'{head}.noise_beta_alpha', released.beta[0]),
            read.get(f'{head}.noise_beta_beta', released.beta[1]),
        ),
    )


def _clip(read: _Entries, released: CosmosConfig) -> tuple[int, int]:
    """`frame_step` and `latent_frames` of every n-th of the frames at `video_delta_indices`."""
    data = 'datasets.vla_data'
    ratio = read.get(f'{data}.action_video_freq_ratio', 2)
    indices = read.get(f'{data}.video_delta_indices', list(range(17)))[::ratio]
    steps = {after - before for before, after in pairwise(indices)}
    compression = released.vae.temporal_compression
    if len(steps) != 1 or indices[0] != 0 or (len(indices) - 1) % compression:
        raise ValueError(
            f'{read.where}: {data}.video_delta_indices: expected frame 0 and a multiple of '
            f'{compression} evenly spaced frames after it, got every {ratio}th of them as {indices}'
        )
    return steps.pop(), (len(indices) - 1) // compression + 1


@dataclass(frozen=True)
class _Entries:
    """A nested configuration, read by dotted names."""

    values: dict[str, Any]
    where: str

    def get(self, name: str, default: Any) -> Any:
        values: Any = self.values
        for part in name.split('.'):
            if not isinstance(values, dict) or part not in values:
                return default
            values = values[part]
        return values

    def require(self, name: str, only: Any) -> None:
        if (got := self.get(name, only)) != only:
            raise ValueError(f'{self.where}: {name} is {got}, only {only} can be represented')


def _statistics(path: Path, embodiment: str | None) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f'{path}: not JSON: {error}') from None
    if embodiment is None and len(values) == 1:
        embodiment = next(iter(values))
    if embodiment not in values:
        raise ValueError(f'{path}: choose one embodiment of {", ".join(values)}, got {embodiment}')
    statistics: dict[str, Any] = values[embodiment]
    for kind in ('state', 'action'):
        for bound in ('min', 'max'):
            if bound not in statistics.get(kind, {}):
                raise ValueError(f'{path}: {embodiment} has no {bound} of its {kind} values')
    return statistics


def _check_text_encoder(path: Path, stored: dict[str, Stored], model: ModelConfig) -> None:
    """It is not read, but it has to be the one that the prompts are embedded with."""
    layer = re.compile(r'(?!.*visual).*layers\.(\d+)\.input_layernorm\.weight')
    shapes = [tensor.shape for name, tensor in stored.items() if layer.fullmatch(name)]
    assert isinstance(model.backbone, CosmosConfig)
    text = model.backbone.text
    if stored and shapes != [(text.hidden,)] * text.layers:
        raise ValueError(
            f'{path}: expected a text encoder of {text.layers} layers of {text.hidden}, got '
            f'{len(shapes)} of {sorted({size for shape in shapes for size in shape})}'
        )


def _beside(path: Path, name: str) -> Path:
    folders = [path.parent]
    if path.parent.name == 'checkpoints':
        folders.append(path.parent.parent)
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f'no {name} in {" or ".join(str(f) for f in folders)}; a released checkpoint comes with it'
    )
