"""Training: demonstrations in, a checkpoint out. `train` is the whole story, top to bottom.

One process trains on what torch finds; under `accelerate launch` the same script shares the batch
among many, with DDP or, for large models, FSDP (config/accelerate_fsdp.yaml).
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml
from accelerate import Accelerator, DistributedDataParallelKwargs
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from dit4dit_policy.inference import prompt_cache
from dit4dit_policy.inference.processor import Processor, seen_by
from dit4dit_policy.model import checkpoint
from dit4dit_policy.model.config import ModelConfig
from dit4dit_policy.model.cosmos.config import CosmosConfig
from dit4dit_policy.model.dit4dit import Batch, DiT4DiT
from dit4dit_policy.model.presets import preset
from dit4dit_policy.training.autoencoder import train_autoencoder
from dit4dit_policy.training.dataset import Demonstrations, Examples, LatentCache
from dit4dit_policy.training.plots import plot_chunks, plot_losses
from g1_description import load_embodiment
from g1_ros.config import load_tasks

_EVALUATED = 128  # held-out examples
_PLOTTED = 4


@dataclass(frozen=True)
class TrainConfig:
    """What `dit4dit train --config FILE` reads; paths are relative to where it is started.

    datasets: folders of LeRobot v2.x datasets, each with the share it has in what is trained on.
    tasks: name to instruction, of those that may be in the datasets; by default config/tasks.yaml.
    output: gets `checkpoint/`, `metrics.jsonl`, `loss.png`, `chunks.png`, and `state-*` to go on
    from. init_from: where to start: a checkpoint, whose model is kept but for the state and action
    dimensions of `preset` (the paper's second stage); a folder of Cosmos-Predict2.5-2B (its first);
    or '', new weights behind an autoencoder trained on the datasets. mode: which losses train.
    """

    preset: str
    datasets: dict[str, float]
    output: str
    tasks: dict[str, str] = field(default_factory=load_tasks)
    init_from: str = ''
    mode: Literal['joint', 'video', 'action'] = 'joint'
    feature_gradient: bool | None = None  # of the action loss into the video DiT; None: preset's
    seed: int = 0
    threads: int = 2
    embodiment: str = 'g1_aloha'  # of the datasets; a name, or a YAML file
    lead: int = 0  # steps by which the policy gives its targets early
    noise: float = 1.0  # standard deviation of the noise that the policy samples from
    held_out: float = 0.05  # share of the episodes that is kept for evaluation
    autoencoder_steps: int = 1500
    autoencoder_batch: int = 16
    variants: int = 3  # light and shift of the images, drawn once an episode
    steps: int = 2000
    batch: int = 64  # of all processes together
    video_batch: int = 16  # examples of it that the video loss is taken on
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
    gradient_checkpointing: bool = False  # less memory for more time

    def __post_init__(self) -> None:
        if self.mode not in ('joint', 'video', 'action'):
            raise ValueError(f"mode: expected 'joint', 'video' or 'action', got {self.mode!r}")
        if not 0 < self.video_batch <= self.batch:
            raise ValueError(
                f'video_batch: expected 1 to batch, {self.batch}, got {self.video_batch}'
            )

    @classmethod
    def read(cls, path: Path) -> TrainConfig:
        """Reads a YAML file. ValueError names an entry that is unknown, missing or wrong."""
        values = yaml.safe_load(path.read_text())
        names = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - names):
            raise ValueError(f'{path}: unknown {unknown}; known are {sorted(names)}')
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise ValueError(f'{path}: {error}') from None


def train(config: TrainConfig) -> Path:
    """Trains, or goes on where a killed run left off. Returns the checkpoint's folder."""
    torch.set_num_threads(config.threads)
    accelerator = Accelerator(
        mixed_precision='bf16' if config.bf16 else 'no',
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=config.mode == 'action')
        ],
    )
    if config.batch % accelerator.num_processes:
        raise ValueError(
            f'batch: expected a multiple of the {accelerator.num_processes} processes, '
            f'got {config.batch}'
        )
    log = Console(stderr=True, quiet=not accelerator.is_main_process)
    if accelerator.num_processes > 1:
        kind = accelerator.distributed_type.value
        log.print(f'{accelerator.num_processes} processes share each batch ({kind})')
    output = Path(config.output)
    with accelerator.main_process_first():  # the others then find its autoencoder and latents
        output.mkdir(parents=True, exist_ok=True)
        if accelerator.is_main_process:
            (output / 'config.yaml').write_text(yaml.safe_dump(asdict(config)))
        robot = load_embodiment(config.embodiment)
        data = Demonstrations.read(config.datasets, seen_by(robot, robot.model_cameras))
        model, before = _start(config, data, output, log)
        processor = replace(
            data.processor(model.config, config.tasks),
            action_shift=config.lead,
            initial_noise_std=config.noise,
        )
        progress = partial(_track, log)
        model.backbone.to(accelerator.device)
        latents = LatentCache.default().latents(model.backbone, data, config.variants, progress)
        prompts = prompt_cache.PromptCache(model.backbone, prompt_cache.default_folder())
        prompts.embed(data.instructions)
        embedded = torch.cat([prompts[text].cpu() for text in data.instructions])
        examples = Examples.make(model.config, data, processor, latents, embedded)
    run = Run(config, accelerator, model, processor, data, examples, before, log)
    run.resume(output)
    with _bar(log) as bar:
        line = bar.add_task('training', total=config.steps, completed=run.step)
        while run.step < config.steps:
            losses = run.advance()
            bar.update(line, advance=1, description=_describe(losses))
            if run.step % config.evaluate_every == 0 or run.step == config.steps:
                run.save(output)
    accelerator.end_training()
    return output / 'checkpoint'


class Objective(nn.Module):
    """A model with what is asked of it: the one module that many processes share.

    In training, the losses of `TrainConfig.mode`; else the chunks it samples, and its video loss.
    """

    def __init__(self, config: TrainConfig, model: DiT4DiT, processes: int) -> None:
        super().__init__()
        self.model, self._mode, self._draws = model, config.mode, config.draws
        self._video_batch = max(1, config.video_batch // processes)
        if config.mode == 'video':
            if not model.backbone.has_loss:
                raise ValueError(
                    f'mode: a {model.config.backbone.kind} backbone has no loss of its own, '
                    "expected 'joint' or 'action', got 'video'"
                )
            model.action.requires_grad_(False)
        if config.mode == 'action' and not model.config.feature_gradient:
            model.backbone.requires_grad_(False)
        if config.gradient_checkpointing:
            blocks: Any = (*model.backbone.recomputable, *model.action.model.transformer_blocks)
            for block in blocks:
                block.forward = partial(recompute, block.forward, use_reentrant=False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Algorithm 1: `action`, the masked action loss, and `video`; `actions` (B, K, A)."""
        model, has_loss = self.model, self.model.backbone.has_loss
        if not self.training:
            noise = model.backbone.draw_noise(len(batch.state), device=batch.state.device)
            action = batch.state, torch.randn_like(batch.actions)
            sample = model.sample(batch.latents[:, :, :1], batch.prompt, noise, action=action)
            assert sample.actions is not None
            video = {'video': model.backbone_loss(batch)} if has_loss else {}
            return {'actions': sample.actions, **video}
        losses = {}
        if self._mode != 'video':
            losses['action'] = model.action_loss(batch, self._draws)
        if self._mode != 'action' and has_loss:
            losses['video'] = model.backbone_loss(batch.first(self._video_batch))
        return losses


class Run:
    """Everything that changes from step to step; resumed, it goes on bit by bit the same."""

    def __init__(
        self,
        config: TrainConfig,
        accelerator: Accelerator,
        model: DiT4DiT,
        processor: Processor,
        data: Demonstrations,
        examples: Examples,
        before: dict[str, Any] | None,
        log: Console,
    ) -> None:
        self.config, self.accelerator, self.model_config = config, accelerator, model.config
        self.processor, self.source, self.before, self.log = processor, data.source, before, log
        self.examples, self.frozen_folder = examples, model.backbone.frozen_folder
        self.training, self.held_out = split(data, config.held_out)
        self.weights = torch.tensor(data.weights, dtype=torch.float32)
        objective = Objective(config, model, accelerator.num_processes)
        optimizer = torch.optim.AdamW(
            [
                {'params': [p for p in part.parameters() if p.requires_grad], 'rate': rate}
                for part, rate in (
                    (model.backbone, config.video_rate),
                    (model.action, config.action_rate),
                )
            ],
            betas=(0.9, 0.95),
            weight_decay=config.weight_decay,
        )
        self.objective, self.optimizer = accelerator.prepare(objective, optimizer)
        self.parameters = [p for p in self.objective.parameters() if p.requires_grad]
        self.ema = [p.detach().clone() for p in self.parameters]
        self.step = 0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []
        self._recent: list[dict[str, float]] = []

    def advance(self) -> dict[str, float]:
        """One step of Algorithm 1: the action loss plus lambda times the video loss."""
        began = time.monotonic()
        config, accelerator = self.config, self.accelerator
        # Every step has its own seed, so that a resumed run draws what an unbroken one would.
        seeds = np.random.SeedSequence((config.seed, self.step, accelerator.process_index))
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        for group in self.optimizer.param_groups:
            group['lr'] = group['rate'] * learning_rate(self.step, config.warm_up, config.steps)
        losses = self.objective.train()(self._batch())
        weights = {'action': 1.0, 'video': self.model_config.video_weight}
        if config.mode == 'video':
            weights['video'] = 1.0
        accelerator.backward(torch.stack([weights[k] * v for k, v in losses.items()]).sum())
        norm = accelerator.clip_grad_norm_(self.parameters, config.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        decay = min(config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.ema, self.parameters, 1 - decay)
        self.seconds += time.monotonic() - began
        numbers = {name: loss.item() for name, loss in losses.items()} | {'gradient': float(norm)}
        self._recent.append(numbers)
        return numbers

    def save(self, output: Path) -> None:
        """Evaluates and writes the averaged weights, the metrics, and all that `resume` needs."""
        with self._averaged():
            errors = self.evaluate(output)
            state = self.accelerator.get_state_dict(self.objective)
            means = {k: float(np.mean([r[k] for r in self._recent])) for k in self._recent[0]}
            record = {'step': self.step, 'seconds': round(self.seconds), **means, **errors}
            if self.accelerator.is_main_process:
                self._write_checkpoint(output / 'checkpoint', state, record)
        self._recent = []
        self.history.append(record)
        self.log.print('  '.join(f'{k} {v:.4g}' for k, v in record.items()), soft_wrap=True)
        if self.accelerator.is_main_process:
            lines = ''.join(json.dumps(r) + '\n' for r in self.history)
            (output / 'metrics.jsonl').write_text(lines)
            plot_losses(self.history, output / 'loss.png')
        self._write_state(output)

    def resume(self, output: Path) -> None:
        """Goes on from the newest state in `output`, if there is one."""
        states = sorted(output.glob('state-*[0-9]'))
        if not states:
            return
        self.accelerator.load_state(str(states[-1]))
        rank = self.accelerator.process_index
        state = torch.load(states[-1] / f'run-{rank}.pt', weights_only=True)
        self.step, self.seconds = state['step'], state['seconds']
        self.history = state['history']
        for average, value in zip(self.ema, state['ema'], strict=True):
            _local(average).copy_(value)
        self.log.print(f'going on from step {self.step}')

    @torch.no_grad()
    def evaluate(self, output: Path) -> dict[str, float]:
        """Errors on held-out episodes, of sampled chunks in the robot's units; and chunks.png.

        `error` is the mean absolute error [rad]. `error_wrong_image` is the same with images of
        other examples, and `error_state_only` that of the chunk of the training example with the
        nearest state: a policy that sees is well below both.
        """
        torch.manual_seed(0)
        objective = self.objective.eval()
        rows = self.held_out[torch.randperm(len(self.held_out))[:_EVALUATED]]
        batch = self.examples.batch(rows, torch.zeros_like(rows))
        shuffled = replace(batch, latents=batch.latents[torch.randperm(len(rows))])
        seen = objective(self._on_device(batch))
        unseen = objective(self._on_device(shuffled))
        if self.accelerator.is_main_process:
            some, state = rows[:_PLOTTED], self.examples.raw_state[rows[:_PLOTTED], None]
            predicted, true = (
                self.processor.decode_action(a[: len(some)].float().cpu(), state)
                for a in (seen['actions'], batch.actions)
            )
            names, step = self.processor.action_names, self.processor.step
            plot_chunks(predicted, true, names, step, output / 'chunks.png')
        return {
            'error': self._error(seen['actions'], batch, rows),
            'error_wrong_image': self._error(unseen['actions'], batch, rows),
            'error_state_only': self._error(self._nearest(batch).actions, batch, rows),
            **({'held_out_video': float(seen['video'])} if 'video' in seen else {}),
        }

    def _error(self, actions: Tensor, batch: Batch, rows: Tensor) -> float:
        state = self.examples.raw_state[rows, None]
        guess, true = (
            self.processor.decode_action(a, state) for a in (actions.float().cpu(), batch.actions)
        )
        known: NDArray[np.bool_] = batch.mask[..., : true.shape[-1]].numpy() > 0
        return float(np.abs(guess - true)[known].mean())

    def _nearest(self, batch: Batch) -> Batch:
        rows = torch.cat(self.training)
        distance = torch.cdist(batch.state[:, 0], self.examples.state[rows])
        nearest = rows[distance.argmin(dim=1)]
        return self.examples.batch(nearest, torch.zeros_like(nearest))

    def _batch(self) -> Batch:
        """A random batch, its states noisy and some hidden: the policy cannot just copy them."""
        config = self.config
        count = config.batch // self.accelerator.num_processes
        datasets = torch.multinomial(self.weights, count, replacement=True)
        drawn = torch.rand(count)
        rows = torch.stack(
            [
                self.training[dataset][int(share * len(self.training[dataset]))]
                for dataset, share in zip(datasets.tolist(), drawn.tolist(), strict=True)
            ]
        )
        batch = self.examples.batch(rows, torch.randint(config.variants, (count,)))
        noise = config.state_noise * torch.randn(batch.state.shape)
        shown = torch.rand(count, 1, 1) >= config.state_dropout
        return self._on_device(replace(batch, state=(batch.state + noise) * shown))

    def _on_device(self, batch: Batch) -> Batch:
        return Batch(*(getattr(batch, f.name).to(self.accelerator.device) for f in fields(batch)))

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Within, the model has the averaged weights."""
        kept = [p.detach().clone() for p in self.parameters]
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, self.ema)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self.parameters, kept)

    def _write_checkpoint(
        self, folder: Path, state: dict[str, Tensor], record: dict[str, float]
    ) -> None:
        with torch.device('meta'):
            model = DiT4DiT(self.model_config)
        model.backbone.frozen_folder = self.frozen_folder
        model.load_state_dict({k.removeprefix('model.'): v for k, v in state.items()}, assign=True)
        facts = {
            'trained': True,
            'mode': self.config.mode,
            'steps': self.step,
            'batch': self.config.batch,
            'seconds': round(self.seconds),
            **self.source,
            'metrics': record,
            'before': self.before,
        }
        checkpoint.save(model, folder, facts)
        self.processor.save(folder / 'processor.json')

    def _write_state(self, output: Path) -> None:
        """A new folder first, under its name only when whole; then the older ones go."""
        accelerator, unfinished = self.accelerator, output / 'state.new'
        accelerator.save_state(str(unfinished))
        state = {
            'step': self.step,
            'seconds': self.seconds,
            'history': self.history,
            'ema': [_local(average) for average in self.ema],
        }
        torch.save(state, unfinished / f'run-{accelerator.process_index}.pt')
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            older = list(output.glob('state-*[0-9]'))
            unfinished.rename(output / f'state-{self.step:07d}')
            for folder in older:
                shutil.rmtree(folder)


def learning_rate(step: int, warm_up: int, steps: int) -> float:
    """Share of the full rate at `step`: a linear warm-up, then half a cosine to 0."""
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * min((step - warm_up) / max(1, steps - warm_up), 1.0)))


def split(data: Demonstrations, share: float) -> tuple[list[Tensor], Tensor]:
    """Frames to train on, for each dataset, and frames held out: those of every n-th episode."""
    every = max(2, round(1 / share))
    held_out = torch.from_numpy(data.episode) % every == every - 1
    if not held_out.any():
        raise ValueError(f'{data.episodes} episodes are too few to hold out one in {every}')
    dataset = torch.from_numpy(data.dataset)
    training = [(~held_out & (dataset == i)).nonzero()[:, 0] for i in range(len(data.sources))]
    for source, rows in zip(data.sources, training, strict=True):
        if not len(rows):
            raise ValueError(f'{source.root}: held out as a whole, its episodes are too few')
    return training, held_out.nonzero()[:, 0]


def _start(
    config: TrainConfig, data: Demonstrations, output: Path, log: Console
) -> tuple[DiT4DiT, dict[str, Any] | None]:
    """The model as `init_from` says, and the training record of the checkpoint it is from."""
    torch.manual_seed(config.seed)
    views = len(data.embodiment.cameras)
    wanted = preset(config.preset).with_views(views)
    gradient = config.feature_gradient
    wanted = replace(
        wanted, feature_gradient=wanted.feature_gradient if gradient is None else gradient
    )
    folder = Path(config.init_from)
    if not config.init_from:
        if isinstance(wanted.backbone, CosmosConfig):
            return _with_new_autoencoder(config, wanted, wanted.backbone, data, output, log), None
        return DiT4DiT(wanted), None
    if not (folder / 'processor.json').is_file():
        return checkpoint.from_pretrained(folder, wanted), None
    earlier, record = checkpoint.load(folder)
    action = replace(
        earlier.config.action,
        action_dim=wanted.action.action_dim,
        state_dim=wanted.action.state_dim,
    )
    changed = replace(earlier.config, action=action, feature_gradient=wanted.feature_gradient)
    model = DiT4DiT(changed.with_views(views))
    model.backbone.frozen_folder = earlier.backbone.frozen_folder
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    kept = {k: v for k, v in earlier.state_dict().items() if v.shape == shapes[k]}
    if new := sorted(shapes.keys() - kept.keys()):
        text = f'{folder}: of other dimensions, begun anew: {", ".join(new)}'
        log.print(text, soft_wrap=True)
    model.load_state_dict(kept, strict=False)
    return model, record


def _with_new_autoencoder(
    config: TrainConfig,
    start: ModelConfig,
    backbone: CosmosConfig,
    data: Demonstrations,
    output: Path,
    log: Console,
) -> DiT4DiT:
    path = output / 'autoencoder.pt'
    if path.is_file():
        saved = torch.load(path, weights_only=True)
        statistics, weights = saved['statistics'], saved['weights']
    else:
        image, progress = backbone.image, partial(_track, log)
        videos = (video for i in range(len(data.sources)) for video in data.videos(i, image))
        vae, statistics, quality = train_autoencoder(
            backbone.vae,
            np.concatenate(list(progress(videos, 'reading videos', data.episodes))),
            config.autoencoder_steps,
            config.autoencoder_batch,
            config.seed,
            progress,
        )
        log.print(f'autoencoder: PSNR {quality:.1f} dB')
        weights = vae.state_dict()
        torch.save({'statistics': statistics, 'weights': weights}, path)
    vae_config = replace(backbone.vae, **statistics)
    torch.manual_seed(config.seed)  # the same DiTs, whether the autoencoder was at hand or not
    model = DiT4DiT(replace(start, backbone=replace(backbone, vae=vae_config)))
    vae = model.backbone.autoencoder
    assert vae is not None
    vae.load_state_dict(weights)
    return model


def _local(tensor: Any) -> Tensor:
    """This process's part of a parameter that FSDP has shared out, or the whole."""
    return tensor.to_local() if hasattr(tensor, 'to_local') else tensor


def _bar(log: Console) -> Bar:
    columns = (
        SpinnerColumn(),
        TextColumn('{task.description}'),
        TextColumn('{task.completed}/{task.total}'),
    )
    return Bar(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=log)


def _track(log: Console, items: Iterable[Any], what: str, count: int) -> Iterable[Any]:
    with _bar(log) as bar:
        yield from bar.track(items, total=count, description=what)


def _describe(losses: dict[str, float]) -> str:
    return 'training  ' + '  '.join(f'{k} {v:.3f}' for k, v in losses.items())
