"""The training loop: what changes from step to step, how it is written and resumed."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor

from dit4dit_policy.model import checkpoint
from dit4dit_policy.model.dit4dit import Batch, DiT4DiT
from dit4dit_policy.training.config import TrainConfig
from dit4dit_policy.training.examples import Examples
from dit4dit_policy.training.held_out import Split, evaluate, on_device
from dit4dit_policy.training.objective import Objective
from dit4dit_policy.training.plots import plot_losses
from dit4dit_policy.training.start import Start


class Run:
    """Everything that changes from step to step; resumed, it goes on bit by bit the same."""

    def __init__(
        self,
        config: TrainConfig,
        accelerator: Accelerator,
        begin: Start,
        examples: Examples,
        log: Console,
    ) -> None:
        self._config, self._accelerator, self._log = config, accelerator, log
        self._examples = examples
        self._facts = begin.data.source | {'before': begin.before}
        self._model_config = begin.model.config
        self._frozen_folder = begin.model.backbone.frozen_folder
        self._split = Split.of(begin.data, config.val_fraction, config.most_episodes)
        self._weights = torch.tensor(begin.data.weights, dtype=torch.float32)
        self._films = torch.from_numpy(begin.data.films)
        objective = Objective(config, begin.model, accelerator.num_processes)
        optimizer = torch.optim.AdamW(
            [
                {'params': [p for p in part.parameters() if p.requires_grad], 'full_lr': rate}
                for part, rate in (
                    (begin.model.backbone, config.video_lr),
                    (begin.model.action, config.action_lr),
                )
            ],
            betas=(0.9, 0.95),
            weight_decay=config.weight_decay,
            fused=True,
        )
        self._whole = objective.video_batch
        self._objective, self._optimizer = accelerator.prepare(objective, optimizer)
        self._parameters = [p for p in self._objective.parameters() if p.requires_grad]
        self._ema = [p.detach().clone() for p in self._parameters]
        self.step = 0
        self._seconds = 0.0
        self._history: list[dict[str, float]] = []
        self._recent: list[dict[str, Tensor]] = []

    def advance(self) -> None:
        """One step of Algorithm 1: the action loss plus lambda times the video loss."""
        began = time.monotonic()
        config, accelerator = self._config, self._accelerator
        # Every step has its own seed, so that a resumed run draws what an unbroken one would.
        seeds = np.random.SeedSequence((config.seed, self.step, accelerator.process_index))
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        for group in self._optimizer.param_groups:
            share = learning_rate(self.step, config.warmup_steps, config.steps)
            group['lr'] = group['full_lr'] * share
        losses = self._objective.train()(self._batch())
        model = self._model_config
        weights = {
            'action': 1.0,
            'keyframe': model.action.keyframe_weight,
            'video': model.backbone_loss_weight,
        }
        if config.mode == 'video':
            weights['video'] = 1.0
        accelerator.backward(torch.stack([weights[k] * v for k, v in losses.items()]).sum())
        norm = accelerator.clip_grad_norm_(self._parameters, config.grad_clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.step += 1
        decay = min(config.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self._ema, self._parameters, 1 - decay)
        self._recent.append({k: v.detach() for k, v in losses.items()} | {'gradient': norm})
        self._seconds += time.monotonic() - began

    @property
    def losses(self) -> dict[str, float]:
        """Of the last step; asking waits for a GPU."""
        return {name: float(loss) for name, loss in self._recent[-1].items()}

    def save(self, output: Path) -> None:
        """Evaluates and writes the averaged weights, the metrics, and all that `resume` needs."""
        accelerator = self._accelerator
        with self._averaged():
            picture = output / 'chunks.png'
            errors = evaluate(self._objective, accelerator, self._examples, self._split, picture)
            state = accelerator.get_state_dict(self._objective)
            means = {
                k: float(torch.stack([r[k] for r in self._recent]).mean()) for k in self._recent[0]
            }
            record = {'step': self.step, 'seconds': round(self._seconds), **means, **errors}
            if accelerator.is_main_process:
                self._write_checkpoint(output / 'checkpoint', state, record)
        self._recent = []
        self._history.append(record)
        self._log.print('  '.join(f'{k} {v:.4g}' for k, v in record.items()), soft_wrap=True)
        if accelerator.is_main_process:
            lines = ''.join(json.dumps(r) + '\n' for r in self._history)
            (output / 'metrics.jsonl').write_text(lines)
            plot_losses(self._history, output / 'loss.png')
        self._write_state(output)

    def resume(self, output: Path) -> None:
        """Goes on from the newest state in `output`, if there is one."""
        states = sorted(output.glob('state-*[0-9]'))
        if not states:
            return
        self._accelerator.load_state(str(states[-1]))
        rank = self._accelerator.process_index
        state = torch.load(states[-1] / f'run-{rank}.pt', weights_only=True)
        self.step, self._seconds = state['step'], state['seconds']
        self._history = state['history']
        for average, value in zip(self._ema, state['ema'], strict=True):
            _local(average).copy_(value)
        self._log.print(f'going on from step {self.step}')

    def _batch(self) -> Batch:
        """A random batch, its states noisy and some hidden: the policy cannot just copy them."""
        config = self._config
        count = config.batch_size // self._accelerator.num_processes
        datasets = torch.multinomial(self._weights, count, replacement=True)
        datasets = self._films_first(datasets)
        batch = self._examples.batch(self._split.draw(datasets), augmented=True, whole=self._whole)
        noise = config.state_noise_std * torch.randn(batch.state.shape)
        shown = torch.rand(count, 1, 1) >= config.state_dropout
        hidden = replace(batch, state=(batch.state + noise) * shown)
        return on_device(hidden, self._accelerator)

    def _films_first(self, datasets_B: Tensor) -> Tensor:
        """In an order, and changed so, that all that the video loss is taken on are films."""
        films_B = self._films[datasets_B]
        datasets_B = datasets_B[films_B.sort(descending=True, stable=True).indices]
        there, asked = int(films_B.sum()), min(self._whole, len(datasets_B))
        if there < asked:
            weights = self._weights * self._films
            datasets_B[there:asked] = torch.multinomial(weights, asked - there, replacement=True)
        return datasets_B

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Within, the model has the averaged weights."""
        kept = [p.detach().clone() for p in self._parameters]
        with torch.no_grad():
            torch._foreach_copy_(self._parameters, self._ema)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self._parameters, kept)

    def _write_checkpoint(
        self, folder: Path, state: dict[str, Tensor], record: dict[str, float]
    ) -> None:
        with torch.device('meta'):
            model = DiT4DiT(self._model_config)
        model.backbone.frozen_folder = self._frozen_folder
        model.load_state_dict({k.removeprefix('model.'): v for k, v in state.items()}, assign=True)
        facts = {
            'trained': True,
            'mode': self._config.mode,
            'steps': self.step,
            'batch_size': self._config.batch_size,
            'seconds': round(self._seconds),
            'metrics': record,
            **self._facts,
        }
        checkpoint.save(model, folder, facts)
        self._examples.processor.save(folder / 'processor.json')

    def _write_state(self, output: Path) -> None:
        """A new folder first, under its name only when whole; then the older ones go."""
        accelerator, unfinished = self._accelerator, output / 'state.new'
        accelerator.save_state(str(unfinished))
        state = {
            'step': self.step,
            'seconds': self._seconds,
            'history': self._history,
            'ema': [_local(average) for average in self._ema],
        }
        torch.save(state, unfinished / f'run-{accelerator.process_index}.pt')
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            older = list(output.glob('state-*[0-9]'))
            unfinished.rename(output / f'state-{self.step:07d}')
            for folder in older:
                shutil.rmtree(folder)


def learning_rate(step: int, warmup_steps: int, steps: int) -> float:
    """Share of the full rate at `step`: a linear warm-up, then half a cosine to 0."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def _local(tensor: Any) -> Tensor:
    """This process's part of a parameter that FSDP has shared out, or the whole."""
    return tensor.to_local() if hasattr(tensor, 'to_local') else tensor
