"""`dit4dit verify`: is this the model that was published? Recorded numbers and names say so.

A golden folder holds tiny networks of the authors' own implementation, `action_head.safetensors`
and `video_backbone.safetensors`: weights, inputs (`in.*`) and outputs (`out.*`), and the networks'
configuration as metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from dit4dit_policy.model import flow, released
from dit4dit_policy.model.action_dit import ActionDiT
from dit4dit_policy.model.cosmos.backbone import CosmosBackbone
from dit4dit_policy.model.cosmos.config import (
    CosmosConfig,
    TextConfig,
    TransformerConfig,
    VaeConfig,
)
from dit4dit_policy.model.dit4dit import DiT4DiT
from dit4dit_policy.model.presets import preset
from dit4dit_policy.model.weights import Stored, assign, safetensors_file

# --- recorded outputs -----------------------------------------------------------------------------

TOLERANCE = 1e-4
#: Decoded video, where errors of many layers of convolutions add up.
TOLERANCES = {'decode_latents': 5e-4}


@dataclass(frozen=True)
class Comparison:
    """The largest absolute error of one recorded output, float32."""

    file: str
    output: str
    error: float

    @property
    def limit(self) -> float:
        """The largest error that still counts as agreement."""
        return TOLERANCES.get(self.output, TOLERANCE)

    @property
    def agrees(self) -> bool:
        """Whether the error is within the limit."""
        return self.error <= self.limit


def compare_golden(folder: Path) -> list[Comparison]:
    """Every recorded output of a golden folder against ours.

    FileNotFoundError or ValueError where the folder is not of that format.
    """
    files = {'action_head': _action_head, 'video_backbone': _video_backbone}
    found = [name for name in files if (folder / f'{name}.safetensors').is_file()]
    if not found:
        raise FileNotFoundError(
            f'{folder}: expected {" or ".join(f"{name}.safetensors" for name in files)}: numbers '
            "recorded from the authors' own networks, which do not ship with this suite; "
            'docs/model.md tells the format'
        )
    comparisons = []
    for name in found:
        recorded = _Recorded.read(folder / f'{name}.safetensors')
        ours = dict(files[name](recorded))
        if unknown := sorted(recorded.outputs.keys() - ours.keys()):
            raise ValueError(f'{recorded.path}: nothing to compare out.{unknown[0]} with')
        for output, expected in recorded.outputs.items():
            got = ours[output]
            if got.shape != expected.shape:
                raise ValueError(
                    f'{recorded.path}: out.{output} is {tuple(expected.shape)}, ours is '
                    f'{tuple(got.shape)}'
                )
            error = (got - expected).abs().max().item()
            comparisons.append(Comparison(name, output, error))
    return comparisons


def verify_golden(folder: Path) -> int:
    """Prints the errors of a golden folder: 0 where all are within their limits, else 1."""
    from rich.console import Console
    from rich.table import Table

    with torch.no_grad():
        comparisons = compare_golden(folder)
    table = Table(title='largest absolute error against the published networks, float32')
    for column in ('network', 'output'):
        table.add_column(column)
    for column in ('error', 'limit', ''):
        table.add_column(column, justify='right')
    for each in comparisons:
        verdict = '[green]agrees[/]' if each.agrees else '[red]DIFFERS[/]'
        table.add_row(each.file, each.output, f'{each.error:.1e}', f'{each.limit:.0e}', verdict)
    table.caption = 'The condition latent is a recorded sample: it enters, and is not computed.'
    Console().print(table)
    return 0 if all(each.agrees for each in comparisons) else 1


@dataclass(frozen=True)
class _Recorded:
    path: Path
    settings: dict[str, Any]
    weights: dict[str, Stored]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]

    @classmethod
    def read(cls, path: Path) -> _Recorded:
        weights = safetensors_file(path)
        inputs, outputs = {}, {}
        for name in list(weights):
            kind, _, rest = name.partition('.')
            if kind == 'out':
                outputs[rest] = weights.pop(name).read(torch.float32)
            elif kind == 'in' or not rest:
                inputs[rest or name] = weights.pop(name).read(torch.float32)
        with safe_open(path, 'pt') as file:
            metadata = file.metadata() or {}
        try:
            settings = {name: _parsed(text) for name, text in metadata.items()}
        except json.JSONDecodeError as error:
            raise ValueError(f'{path}: metadata is not JSON: {error}') from None
        return cls(path, settings, weights, inputs, outputs)

    def setting(self, name: str) -> Any:
        if name not in self.settings:
            raise ValueError(f'{self.path}: its metadata has no {name}, which a golden file has')
        return self.settings[name]

    def input(self, name: str) -> Tensor:
        if name not in self.inputs:
            raise ValueError(f'{self.path}: has no input {name}, which a golden file has')
        return self.inputs[name]


def _parsed(text: str) -> Any:
    return json.loads(text) if text[:1] in '{[' or text.isdecimal() else text


def _action_head(recorded: _Recorded) -> Iterator[tuple[str, Tensor]]:
    heads = recorded.setting('num_attention_heads')
    width = heads * recorded.setting('attention_head_dim')
    config = released.action_config(recorded.setting('config'), str(recorded.path), (width, heads))
    with torch.device('meta'):
        action = ActionDiT(config)
    weights = {name.removeprefix('w.'): stored for name, stored in recorded.weights.items()}
    assign(action, weights, torch.float32)
    action.eval()
    actions, noise = recorded.input('actions'), recorded.input('noise')
    features, state = recorded.input('h'), recorded.input('state')
    velocity = action.velocity(features, state)
    for name in recorded.outputs:
        if name.startswith('velocity_t'):
            tau = float(name.removeprefix('velocity_t'))
            tau_B = torch.full((len(actions),), tau)
            yield name, velocity(flow.interpolate(actions, noise, tau_B), tau)
    yield 'actions', flow.euler(velocity, recorded.input('sample_noise'), config.euler_steps)
    tau_B, noise = recorded.input('loss_t'), recorded.input('loss_noise')
    noisy, times = flow.interpolate(actions, noise, tau_B), action.modulation(tau_B)
    predicted = action(noisy, times, action.tokens(state), action.context(features))
    error = predicted - flow.velocity_target(actions, noise)
    yield 'loss', flow.masked_mean_square(error, recorded.input('mask'))


def _video_backbone(recorded: _Recorded) -> Iterator[tuple[str, Tensor]]:
    video = CosmosBackbone(_video_config(recorded))
    assign(video, recorded.weights, torch.float32)
    video.eval()
    # What enters the transformer is seen where it enters.
    entered: dict[str, Tensor] = {}
    net = video.transformer
    net.patch_embed.register_forward_pre_hook(lambda _m, x: entered.update(clip=x[0]))
    net.time_embed.register_forward_pre_hook(lambda _m, x: entered.update(times=x[1]))
    given = recorded.outputs.get('transformer_input')
    if given is None:
        raise ValueError(f'{recorded.path}: has no out.transformer_input, which a golden file has')
    condition, noise = given[:, :, :1], recorded.input('noise')
    prompt, tau = recorded.input('prompt_embeds'), recorded.input('sigma_first').expand(len(noise))
    yield 'hidden', video.features(condition, noise, prompt, tau)
    channels = noise.shape[1]
    yield 'transformer_input', entered['clip'][:, :channels]
    yield 'condition_mask', entered['clip'][:, channels : channels + 1]
    yield 'timestep', entered['times'].view(len(noise), 1, -1, 1, 1)
    yield 'velocity', video.velocity(torch.cat([condition, noise[:, :, 1:]], dim=2), prompt, tau)
    frames = recorded.input('future_btchw01').transpose(1, 2)
    latents = video.encode(frames)
    yield f'latents_norm_{frames.shape[2]}frames', latents
    recorded_latents = recorded.outputs.get(f'latents_norm_{frames.shape[2]}frames', latents)
    yield 'decode_latents', video.decode(recorded_latents).transpose(1, 2)


def _video_config(recorded: _Recorded) -> CosmosConfig:
    noise, prompt = recorded.input('noise'), recorded.input('prompt_embeds')
    values: dict[str, Any] = {
        name: {k: tuple(v) if isinstance(v, list) else v for k, v in recorded.setting(name).items()}
        for name in ('transformer_config', 'vae_config')
    }
    try:
        transformer = TransformerConfig(**values['transformer_config'])
        vae = VaeConfig(**values['vae_config'])
    except TypeError as error:
        raise ValueError(f'{recorded.path}: its metadata does not fit: {error}') from None
    tau = recorded.input('sigma_first').item()
    return CosmosConfig(
        transformer=transformer,
        vae=vae,
        text=TextConfig('qwen2_5_vl', layers=1, hidden=prompt.shape[2], tokens=prompt.shape[1]),
        image=(noise.shape[3] * vae.spatial_compression, noise.shape[4] * vae.spatial_compression),
        feature_layer=recorded.setting('extract_layer'),
        latent_frames=noise.shape[2],
        feature_time=tau,
        feature_times=(tau,),
        condition_time=float(recorded.setting('conditional_frame_timestep')),
        latent_scaling='multiply_by_std',  # as the released code does
    )


# --- names and shapes -----------------------------------------------------------------------------


def verify_keys(path: Path) -> int:
    """Prints how a JSON file of names and shapes fits `released`: 0 where exactly, else 1."""
    from rich.console import Console
    from rich.table import Table

    if not path.is_file():
        raise FileNotFoundError(f'no {path}; expected a JSON file of names and shapes')
    try:
        listed = {name: tuple(shape) for name, shape in json.loads(path.read_text()).items()}
    except (json.JSONDecodeError, AttributeError, TypeError) as error:
        raise ValueError(f'{path}: expected JSON of names and shapes: {error}') from None
    stored = {
        name: Stored(path, name, shape, torch.float32, _nothing) for name, shape in listed.items()
    }
    theirs, text_encoder = released.named_as_ours(stored)
    with torch.device('meta'):
        model = DiT4DiT(preset('released'))
    ours = model.state_dict()
    table = Table(title=f'names and shapes of the preset released against {path.name}')
    for column in ('part', 'tensors', 'values', 'missing', 'left over', 'other shape'):
        table.add_column(column, justify='left' if column == 'part' else 'right')
    wrong: list[str] = []
    for prefix in released.PREFIXES.values():
        here = {name: tensor for name, tensor in ours.items() if name.startswith(prefix)}
        there = {name for name in theirs if name.startswith(prefix)}
        missing, left = sorted(here.keys() - there), sorted(there - here.keys())
        both = sorted(here.keys() & there)
        shapes = [n for n in both if tuple(here[n].shape) != theirs[n].shape]
        values = sum(tensor.numel() for tensor in here.values())
        counts = [str(len(names)) for names in (missing, left, shapes)]
        table.add_row(prefix.rstrip('.'), f'{len(both)}', f'{values:,}', *counts)
        wrong += [f'missing: {n}' for n in missing] + [f'left over: {n}' for n in left]
        wrong += [f'{n}: {tuple(here[n].shape)} here, {theirs[n].shape} there' for n in shapes]
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    table.caption = f'{trainable:,} trainable values' + (
        f'; {len(text_encoder)} tensors of the text encoder not compared' if text_encoder else ''
    )
    console = Console()
    console.print(table)
    for line in wrong[:10]:
        console.print(line, style='red')
    return 1 if wrong else 0


def _nothing(_dtype: torch.dtype | None) -> Tensor:
    raise ValueError('a list of names and shapes has no values')
