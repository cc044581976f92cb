"""Training: demonstrations in, a checkpoint out. `train` is the whole story, top to bottom."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from dit4dit_policy.inference.processor import Processor
from dit4dit_policy.model import checkpoint
from dit4dit_policy.model.config import preset
from dit4dit_policy.model.dit4dit import Batch, DiT4DiT
from dit4dit_policy.training.autoencoder import train_autoencoder
from dit4dit_policy.training.dataset import Demonstrations, Examples, encode

console = Console(stderr=True)


@dataclass(frozen=True)
class TrainConfig:
    """What `dit4dit train --config FILE` reads; paths are relative to where it is started.

    datasets: LeRobot v2.x folders. output: gets `checkpoint/`, `metrics.jsonl`, `loss.png` and
    `state.pt`. tasks: name to instruction of the tasks in the datasets. init_from: a checkpoint to
    go on from (its autoencoder is kept), '' to start new.
    """

    preset: str
    datasets: list[str]
    output: str
    tasks: dict[str, str]
    init_from: str = ''
    seed: int = 0
    threads: int = 2
    step: float = 0.1  # s between two targets of a chunk
    held_out: float = 0.05  # share of the episodes that is kept for evaluation
    autoencoder_steps: int = 1500
    autoencoder_batch: int = 16
    variants: int = 3  # light and shift of the images, drawn once an episode
    steps: int = 2000
    batch: int = 64
    video_batch: int = 16  # examples of a batch that the video loss is taken on
    draws: int = 2  # action noises and times for each example
    video_rate: float = 1e-3  # learning rate of the video DiT
    action_rate: float = 1e-3  # learning rate of the action DiT
    warm_up: int = 100
    weight_decay: float = 1e-2
    clip: float = 1.0
    ema: float = 0.995
    state_noise: float = 0.03  # standard deviation, of values in [-1, 1]
    state_dropout: float = 0.2  # share of examples whose state is hidden: the image has to say it
    evaluate_every: int = 250
    bf16: bool = True

    @classmethod
    def read(cls, path: Path) -> TrainConfig:
        """Reads a YAML file. ValueError names an entry that is unknown or missing."""
        values = yaml.safe_load(path.read_text())
        names = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - names):
            raise ValueError(f'{path}: unknown {unknown}; known are {sorted(names)}')
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f'{path}: {error}') from None


def train(config: TrainConfig) -> Path:
    """Trains, or goes on where a killed run left off. Returns the checkpoint's folder."""
    torch.set_num_threads(config.threads)
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    (output / 'config.yaml').write_text(yaml.safe_dump(asdict(config)))

    start = preset(config.preset)
    data = Demonstrations.read(
        [Path(d) for d in config.datasets], start.video.image, config.step, _progress
    )
    model, before = _make_model(config, data, output)
    processor = data.processor(model.config, config.step, config.tasks)
    prompts = model.video.embed(list(data.instructions))
    latents = encode(model.video, data, config.variants, _progress)
    examples = Examples.make(model.config, data, processor, latents, prompts)
    training, held_out = split(data, config.held_out)
    run = Run(config, model, processor, examples, training, held_out, data.source, before)
    run.resume(output / 'state.pt')
    with _bar() as bar:
        line = bar.add_task('training', total=config.steps, completed=run.step)
        while run.step < config.steps:
            losses = run.advance()
            bar.update(line, advance=1, description=_describe(losses))
            if run.step % config.evaluate_every == 0 or run.step == config.steps:
                run.save(output)
    return output / 'checkpoint'


class Run:
    """Everything that changes from step to step; resumed, it goes on bit by bit the same."""

    def __init__(
        self,
        config: TrainConfig,
        model: DiT4DiT,
        processor: Processor,
        examples: Examples,
        training: Tensor,
        held_out: Tensor,
        source: dict[str, Any],
        before: dict[str, Any] | None,
    ) -> None:
        self.config, self.model, self.processor = config, model, processor
        self.examples, self.training, self.held_out = examples, training, held_out
        self.source, self.before = source, before
        self.ema = copy.deepcopy(model).eval().requires_grad_(False)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            [
                {'params': list(model.video.transformer.parameters()), 'lr': config.video_rate},
                {'params': list(model.action.parameters()), 'lr': config.action_rate},
            ],
            betas=(0.9, 0.95),
            weight_decay=config.weight_decay,
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.step = 0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []
        self._recent: list[dict[str, float]] = []

    def advance(self) -> dict[str, float]:
        """One step of Algorithm 1: the masked action loss plus lambda times the video loss."""
        began = time.monotonic()
        config, model = self.config, self.model.train()
        batch = self._batch()
        with torch.autocast('cpu', torch.bfloat16, enabled=config.bf16):
            action_loss = model.action_loss(batch, config.draws, self.generator)
            video_loss = model.video_loss(batch.first(config.video_batch), self.generator)
        loss = action_loss + model.config.video_weight * video_loss
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, config.clip)
        self.optimizer.step()
        self.schedule.step()
        self.step += 1
        decay = min(config.ema, (1 + self.step) / (10 + self.step))
        for average, value in zip(self.ema.parameters(), model.parameters(), strict=True):
            average.lerp_(value.detach(), 1 - decay)
        self.seconds += time.monotonic() - began
        losses = {'action': action_loss.item(), 'video': video_loss.item(), 'gradient': float(norm)}
        self._recent.append(losses)
        return losses

    def save(self, output: Path) -> None:
        """Evaluates and writes the averaged weights, the metrics, and all that `resume` needs."""
        means = {k: float(np.mean([r[k] for r in self._recent])) for k in self._recent[0]}
        self._recent = []
        record = {'step': self.step, 'seconds': round(self.seconds), **means, **self.evaluate()}
        self.history.append(record)
        console.print('  '.join(f'{k} {v:.4g}' for k, v in record.items()))
        lines = ''.join(json.dumps(r) + '\n' for r in self.history)
        (output / 'metrics.jsonl').write_text(lines)
        plot(self.history, output / 'loss.png')
        facts = {
            'trained': True,
            'steps': self.step,
            'batch': self.config.batch,
            'seconds': round(self.seconds),
            **self.source,
            'metrics': record,
            'before': self.before,
        }
        checkpoint.save(self.ema, output / 'checkpoint', facts)
        self.processor.save(output / 'checkpoint' / 'processor.json')
        state = {
            'step': self.step,
            'seconds': self.seconds,
            'model': self.model.state_dict(),
            'ema': self.ema.state_dict(),
            'optimizer': self.optimizer.state_dict(),
            'schedule': self.schedule.state_dict(),
            'generator': self.generator.get_state(),
            'history': self.history,
        }
        torch.save(state, output / 'state.new')
        (output / 'state.new').replace(output / 'state.pt')

    def resume(self, path: Path) -> None:
        """Goes on from `path`, if it is there."""
        if not path.is_file():
            return
        state = torch.load(path, weights_only=True)
        self.step, self.seconds = state['step'], state['seconds']
        self.history = state['history']
        self.model.load_state_dict(state['model'])
        self.ema.load_state_dict(state['ema'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.schedule.load_state_dict(state['schedule'])
        self.generator.set_state(state['generator'])
        console.print(f'going on from step {self.step}')

    @torch.inference_mode()
    def evaluate(self) -> dict[str, float]:
        """Errors on held-out episodes, of sampled chunks in the robot's units.

        `error` is the mean absolute error [rad]. `error_wrong_image` is the same with images of
        other examples, and `error_state_only` that of the chunk of the training example with the
        nearest state: a policy that sees is well below both.
        """
        generator = torch.Generator().manual_seed(0)
        rows = self.held_out[torch.randperm(len(self.held_out), generator=generator)[:128]]
        batch = self.examples.batch(rows, torch.zeros_like(rows))
        shuffled = batch.latents[torch.randperm(len(rows), generator=generator)]
        nearest = self._nearest(batch.state[:, 0])
        video = self.ema.video_loss(batch, generator)
        return {
            'error': self._error(batch, batch.latents, generator),
            'error_wrong_image': self._error(batch, shuffled, generator),
            'error_state_only': self._difference(self.examples.batch(*nearest).actions, batch),
            'held_out_video': float(video),
        }

    def _error(self, batch: Batch, latents: Tensor, generator: torch.Generator) -> float:
        model, size = self.ema, len(batch.state)
        tau = torch.full((size,), model.config.video.feature_time)
        noise = torch.randn(batch.latents.shape, generator=generator)
        features = model.video.features(latents[:, :, :1], noise, batch.prompt, tau)
        noise = torch.randn(batch.actions.shape, generator=generator)
        velocity = model.action.velocity(features, batch.state)
        return self._difference(model.sample_actions(velocity, noise), batch)

    def _difference(self, actions: Tensor, batch: Batch) -> float:
        decode = self.processor.decode_action
        return float(np.abs(decode(actions) - decode(batch.actions)).mean())

    def _nearest(self, state: Tensor) -> tuple[Tensor, Tensor]:
        distance = torch.cdist(state, self.examples.state[self.training])
        rows = self.training[distance.argmin(dim=1)]
        return rows, torch.zeros_like(rows)

    def _batch(self) -> Batch:
        """A random batch, its states noisy and some hidden: the policy cannot just copy them."""
        config, g = self.config, self.generator
        rows = self.training[torch.randint(len(self.training), (config.batch,), generator=g)]
        variant = torch.randint(config.variants, (config.batch,), generator=g)
        batch = self.examples.batch(rows, variant)
        noise = config.state_noise * torch.randn(batch.state.shape, generator=g)
        shown = torch.rand(config.batch, 1, 1, generator=g) >= config.state_dropout
        return replace(batch, state=(batch.state + noise) * shown)

    def _rate(self, step: int) -> float:
        if step < self.config.warm_up:
            return (step + 1) / self.config.warm_up
        done = (step - self.config.warm_up) / max(1, self.config.steps - self.config.warm_up)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def split(data: Demonstrations, share: float) -> tuple[Tensor, Tensor]:
    """Frames to train on and frames held out: every n-th episode, so that each task gives some."""
    every = max(2, round(1 / share))
    held_out = torch.from_numpy(data.episode) % every == every - 1
    if not held_out.any():
        raise ValueError(f'{data.episodes} episodes are too few to hold out one in {every}')
    frames = torch.arange(len(data.episode))
    return frames[~held_out], frames[held_out]


def plot(history: list[dict[str, float]], path: Path) -> None:
    """Losses and held-out errors over the steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout='constrained')
    losses, errors = figure.subplots(1, 2)
    steps = [r['step'] for r in history]
    for axis, names in (
        (losses, ('action', 'video', 'held_out_video')),
        (errors, ('error', 'error_wrong_image', 'error_state_only')),
    ):
        for name in names:
            axis.plot(steps, [r[name] for r in history], label=name.replace('_', ' '))
        axis.set_xlabel('step')
        axis.set_ylim(bottom=0)
        axis.legend()
    losses.set_ylabel('loss')
    errors.set_ylabel('held-out error [rad]')
    figure.savefig(path, dpi=120)


def _make_model(
    config: TrainConfig, data: Demonstrations, output: Path
) -> tuple[DiT4DiT, dict[str, Any] | None]:
    """The model of `init_from` and its training record, or a new one of the preset.

    A new one stands behind an autoencoder trained on the frames.
    """
    torch.manual_seed(config.seed)
    if config.init_from:
        return checkpoint.load(Path(config.init_from))
    start = preset(config.preset)
    path = output / 'autoencoder.pt'
    if path.is_file():
        saved = torch.load(path, weights_only=True)
        statistics, weights = saved['statistics'], saved['weights']
    else:
        vae, statistics, quality = train_autoencoder(
            start.video.vae,
            data.frames,
            config.autoencoder_steps,
            config.autoencoder_batch,
            config.seed,
            _progress,
        )
        console.print(f'autoencoder: PSNR {quality:.1f} dB')
        weights = vae.state_dict()
        torch.save({'statistics': statistics, 'weights': weights}, path)
    model = DiT4DiT(
        replace(start, video=replace(start.video, vae=replace(start.video.vae, **statistics)))
    )
    model.video.vae.load_state_dict(weights)
    return model, None


def _bar() -> Bar:
    columns = (
        SpinnerColumn(),
        TextColumn('{task.description}'),
        TextColumn('{task.completed}/{task.total}'),
    )
    return Bar(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)


def _progress(items: Iterable[Any], what: str, count: int) -> Iterable[Any]:
    with _bar() as bar:
        yield from bar.track(items, total=count, description=what)


def _describe(losses: dict[str, float]) -> str:
    return 'training  ' + '  '.join(f'{k} {v:.3f}' for k, v in losses.items())
