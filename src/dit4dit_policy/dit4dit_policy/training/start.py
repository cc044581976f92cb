"""Where a training starts: its demonstrations, its model and the processor that belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from dit4dit_policy.inference.processor import Processor, encoded_for, seen_by
from dit4dit_policy.inference.shipped import checkpoint_folder
from dit4dit_policy.model import checkpoint
from dit4dit_policy.model.config import ModelConfig
from dit4dit_policy.model.cosmos.config import CosmosConfig, VaeConfig
from dit4dit_policy.model.dit4dit import DiT4DiT
from dit4dit_policy.model.presets import changed, preset
from dit4dit_policy.model.views import Layout, view_places
from dit4dit_policy.progress import tracker
from dit4dit_policy.training.autoencoder import train_autoencoder
from dit4dit_policy.training.config import TrainConfig
from dit4dit_policy.training.demonstrations import Demonstrations
from dit4dit_policy.training.moments import Moments
from dit4dit_policy.training.row_file import mapped_rows, write_rows
from g1_description import Embodiment, load_embodiment


@dataclass(frozen=True)
class Start:
    """What a training begins with.

    before: the record of the checkpoint that the model is from. pictures: reads, once, all frames
    of the demonstrations as a model sees them, (N, H, W, 3), mapped from the disk.
    """

    model: DiT4DiT
    data: Demonstrations
    moments: Moments
    processor: Processor
    before: dict[str, Any] | None
    pictures: Callable[[Layout], NDArray[np.uint8]]


def demonstrations(config: TrainConfig) -> Demonstrations:
    """Those of the datasets, for the robot that is trained for.

    FileNotFoundError or ValueError says what is missing or does not fit.
    """
    robot = _robot(config, _earlier(config)[1])
    return Demonstrations.read(
        config.datasets, robot, config.evaluation_worlds, config.policy_weight
    )


def start(config: TrainConfig, data: Demonstrations, device: torch.device, log: Console) -> Start:
    """Makes the model, as `init_from` and `preset` say, for these demonstrations.

    FileNotFoundError or ValueError says what is missing or does not fit.
    """
    torch.manual_seed(config.seed)
    tasks = config.task_table()
    folder, earlier = _earlier(config)
    robot = _robot(config, earlier)
    wanted = _wanted(config, len(robot.cameras))
    before = None
    pictures = cache(partial(_pictures, config, data, log))
    if folder is None:
        model = _new_model(config, wanted, pictures, device, log)
    elif earlier is None:
        model = checkpoint.from_pretrained(folder, wanted)
    else:
        model, before = _continued(folder, wanted, config.model, log)
    moments = data.moments(model.config.action.horizon)
    processor = data.processor(model.config, tasks, moments)
    if earlier is not None:
        processor = replace(processor, embodiment=robot)
        if not config.recompute_bounds:
            processor = with_bounds_of(processor, earlier, log)
    return Start(model, data, moments, _used_as(config, earlier, processor), before, pictures)


def _used_as(config: TrainConfig, earlier: Processor | None, processor: Processor) -> Processor:
    """How chunks are sampled and followed: as told, else as the checkpoint that it starts from."""
    names = ('action_shift', 'initial_noise_std', 'imagined_noise_std', 'follow')
    told = {name: getattr(config, name) for name in names}
    kept = {name: getattr(earlier or processor, name) for name in names}
    chosen: dict[str, Any] = {k: kept[k] if told[k] is None else told[k] for k in names}
    return replace(processor, **chosen)


def with_bounds_of(processor: Processor, earlier: Processor, log: Console) -> Processor:
    """The processor with the earlier one's bounds, where both have a number alike.

    What a network has learned is in units of its bounds: with others it would have to learn it
    again. Says which numbers leave them.
    """
    changes: dict[str, tuple[float, ...]] = {}
    beyond: list[str] = []
    for kind in ('state', 'action'):
        known = dict(_bounds_by_name(earlier, kind))
        rows = []
        for name, (how, low, high) in _bounds_by_name(processor, kind):
            kept = known.get(name)
            if kept is None or kept[0] != how:
                rows.append((low, high))
                continue
            margin = 0.05 * (kept[2] - kept[1])
            if low < kept[1] - margin or high > kept[2] + margin:
                beyond.append(f'{kind} of {name}')
            rows.append(kept[1:])
        changes[f'{kind}_lower'] = tuple(low for low, _ in rows)
        changes[f'{kind}_upper'] = tuple(high for _, high in rows)
    if beyond:
        log.print(
            f'beyond the bounds of the checkpoint, cut there: {", ".join(beyond)}; '
            '`recompute_bounds: true` takes those of the datasets',
            soft_wrap=True,
        )
    return replace(processor, **changes)  # type: ignore[arg-type]


def _bounds_by_name(
    processor: Processor, kind: str
) -> list[tuple[str, tuple[tuple[Any, ...], float, float]]]:
    """Of each number of state or action: how it is encoded, and its bounds."""
    names = processor.state_names if kind == 'state' else processor.action_names
    groups = processor.embodiment.groups
    how: list[tuple[Any, ...]] = (
        [(g.state_encoding,) for g in groups for _ in g.state]
        if kind == 'state'
        else [(g.action_encoding, g.relative) for g in groups for _ in g.action]
    )
    bounds = (getattr(processor, f'{kind}_{side}') for side in ('lower', 'upper'))
    return list(zip(names, zip(how, *bounds, strict=True), strict=True))


def _earlier(config: TrainConfig) -> tuple[Path | None, Processor | None]:
    """The folder that `init_from` names, and its processor, where there are such."""
    folder = checkpoint_folder(config.init_from) if config.init_from else None
    if folder is None or not (folder / 'processor.json').is_file():
        return folder, None
    return folder, Processor.load(folder / 'processor.json')


def _robot(config: TrainConfig, earlier: Processor | None) -> Embodiment:
    """The embodiment with the cameras that are used; its groups as the checkpoint has them."""
    robot = load_embodiment(config.embodiment)
    kept = earlier.cameras if earlier and set(earlier.cameras) <= set(robot.cameras) else ()
    robot = _cropped(seen_by(robot, config.cameras or kept or robot.model_cameras), config, earlier)
    if earlier is None:
        return encoded_for(changed(preset(config.preset), config.model), robot)
    same = (earlier.state_names, earlier.action_names) == (robot.state_names, robot.action_names)
    return replace(robot, groups=earlier.embodiment.groups) if same else robot


def _cropped(robot: Embodiment, config: TrainConfig, earlier: Processor | None) -> Embodiment:
    """Its cameras cropped as told, else as it says, else as the checkpoint was shown pictures.

    ValueError where a crop is of no camera that is used, or not of its picture.
    """
    if unknown := sorted(config.crops.keys() - robot.cameras.keys()):
        raise ValueError(f'crops: expected of {", ".join(robot.cameras)}, got {unknown}')
    known = earlier.embodiment.cameras if earlier else {}
    cameras = dict(robot.cameras)
    for name, camera in robot.cameras.items():
        before = known.get(name)
        if name in config.crops:
            cameras[name] = replace(camera, crop=config.crops[name])
        elif camera.crop is None and before is not None and before.crop is not None:
            cameras[name] = replace(camera, crop=before.crop_at(camera.height, camera.width))
    return replace(robot, cameras=cameras)


def _wanted(config: TrainConfig, views: int) -> ModelConfig:
    """The preset, for that many cameras."""
    wanted = changed(preset(config.preset), config.model)
    gradient = config.feature_gradient
    return replace(
        wanted,
        backbone=wanted.backbone.with_views(views),
        feature_gradient=wanted.feature_gradient if gradient is None else gradient,
    )


def _continued(
    folder: Path, wanted: ModelConfig, told: Mapping[str, Any], log: Console
) -> tuple[DiT4DiT, dict[str, Any] | None]:
    """The checkpoint's model with the dimensions and views wanted, and its training record.

    told: entries of the model; keyframes and the size of further views are as they say, else the
    checkpoint's.
    """
    earlier, record = checkpoint.load(folder)
    action = replace(
        earlier.config.action,
        action_dim=wanted.action.action_dim,
        state_dim=wanted.action.state_dim,
        **{
            name: told.get(f'action.{name}', getattr(earlier.config.action, name))
            for name in ('keyframe_weight', 'keyframe_hands')
        },
    )
    backbone = earlier.config.backbone
    if 'backbone.further_views' in told:
        backbone = replace(backbone, further_views=wanted.backbone.further_views, views=1)
    if backbone.views != wanted.backbone.views:
        backbone = backbone.with_views(wanted.backbone.views)
    model = DiT4DiT(
        replace(
            earlier.config,
            backbone=backbone,
            action=action,
            feature_gradient=wanted.feature_gradient,
        )
    )
    model.backbone.frozen_folder = earlier.backbone.frozen_folder
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    kept = {k: v for k, v in earlier.state_dict().items() if v.shape == shapes.get(k)}
    if new := sorted(shapes.keys() - kept.keys()):
        text = f'{folder}: of other dimensions, begun anew: {", ".join(new)}'
        log.print(text, soft_wrap=True)
    model.load_state_dict(kept, strict=False)
    return model, record


def _new_model(
    config: TrainConfig,
    wanted: ModelConfig,
    pictures: Callable[[Layout], NDArray[np.uint8]],
    device: torch.device,
    log: Console,
) -> DiT4DiT:
    """New weights; a backbone with an autoencoder of its own gets one trained on the videos."""
    if not isinstance(wanted.backbone, CosmosConfig):
        return DiT4DiT(wanted)
    path = Path(config.output) / 'autoencoder.pt'
    if config.autoencoder_from:
        saved = _autoencoder_of(checkpoint_folder(config.autoencoder_from), wanted.backbone.vae)
    elif path.is_file():
        saved = torch.load(path, weights_only=True)
    else:
        vae, statistics, quality = train_autoencoder(
            wanted.backbone.vae, pictures(wanted.backbone.layout), config, device, tracker(log)
        )
        log.print(f'autoencoder: PSNR {quality:.1f} dB')
        saved = {'statistics': statistics, 'weights': vae.cpu().state_dict()}
        torch.save(saved, path)
    vae_config = replace(wanted.backbone.vae, **saved['statistics'])
    torch.manual_seed(config.seed)  # the same DiTs, whether the autoencoder was at hand or not
    model = DiT4DiT(replace(wanted, backbone=replace(wanted.backbone, vae=vae_config)))
    vae = model.backbone.autoencoder
    assert vae is not None
    vae.load_state_dict(saved['weights'])
    return model


def _autoencoder_of(folder: Path, wanted: VaeConfig) -> dict[str, Any]:
    """Weights and statistics of a checkpoint's. ValueError where it is built in another way."""
    backbone = checkpoint.load(folder)[0].backbone
    there = backbone.config.vae if isinstance(backbone.config, CosmosConfig) else None
    names = ('latents_mean', 'latents_std')
    statistics = {name: getattr(there, name) for name in names if there}
    if there is None or backbone.autoencoder is None or replace(wanted, **statistics) != there:
        raise ValueError(
            f'autoencoder_from: expected an autoencoder built as that of the preset, {folder}'
        )
    return {'statistics': statistics, 'weights': backbone.autoencoder.state_dict()}


def _pictures(
    config: TrainConfig, data: Demonstrations, log: Console, layout: Layout
) -> NDArray[np.uint8]:
    """In a file of the output's folder that has no name: they may be more than fits in memory."""
    places = view_places(*layout)
    videos = (video for i in range(len(data.sources)) for video in data.videos(i, places))
    with TemporaryFile(dir=config.output) as file:
        write_rows(file, len(data.state), tracker(log)(videos, 'reading videos', data.episodes))
        return mapped_rows(file)
