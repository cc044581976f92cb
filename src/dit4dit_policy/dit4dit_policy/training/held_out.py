"""Episodes that are not trained on, and how well the model does on them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from dit4dit_policy.model.dit4dit import Batch
from dit4dit_policy.training.demonstrations import Demonstrations
from dit4dit_policy.training.examples import Examples
from dit4dit_policy.training.plots import plot_chunks

_EVALUATED = 128  # examples
_PLOTTED = 4
_COMPARED = 50_000  # frames at once


@dataclass(frozen=True)
class Split:
    """Frames to train on, for each dataset, and frames held out.

    totals (N,): of the weights of the frames to train on, all datasets', up to each.
    """

    training: list[Tensor]
    totals: Tensor
    held_out: Tensor

    @classmethod
    def of(cls, data: Demonstrations, fraction: float, most: int = 0) -> Split:
        """Every n-th episode with a film is held out. ValueError where there are too few of them.

        most: episodes of each dataset that are trained on, the first ones; 0 for all.
        """
        every = max(2, round(1 / fraction))
        films = np.unique(data.episode[data.film])
        number = np.searchsorted(films, data.episode)  # of a film among films
        held_out = torch.from_numpy((number % every == every - 1) & data.film)
        weight = torch.from_numpy(data.weight)
        taught = weight > 0
        if not (held_out & taught).any():
            raise ValueError(
                f'{len(films)} episodes are too few to hold out one in {every}; expected at '
                f'least {every}: record more, or set val_fraction in the config, up to 0.5 for 2'
            )
        dataset = torch.from_numpy(data.dataset)
        training = []
        for index in range(len(data.sources)):
            rows = (taught & ~held_out & (dataset == index)).nonzero()[:, 0]
            _, place = torch.from_numpy(data.episode)[rows].unique(return_inverse=True)
            training.append(rows[place < most] if most else rows)
        for source, rows in zip(data.sources, training, strict=True):
            if not len(rows):
                raise ValueError(
                    f'{source.root}: held out as a whole; expected at least 2 episodes of it, got '
                    f'{len(source.episodes)}'
                )
        totals = weight[torch.cat(training)].cumsum(0)
        return cls(training, totals, (held_out & taught).nonzero()[:, 0])

    def draw(self, dataset_B: Tensor) -> Tensor:
        """(B,) a random frame to train on of each of those datasets, by their weights."""
        ends = torch.tensor([len(rows) for rows in self.training]).cumsum(0)
        upper = self.totals[ends - 1]
        lower = torch.cat((torch.zeros(1), upper[:-1]))
        share_B = torch.rand(len(dataset_B), dtype=torch.float64)
        total_B = lower[dataset_B] + share_B * (upper - lower)[dataset_B]
        place_B = torch.searchsorted(self.totals, total_B, right=True)
        return torch.cat(self.training)[torch.minimum(place_B, ends[dataset_B] - 1)]


@torch.no_grad()
def evaluate(
    objective: Any, accelerator: Accelerator, examples: Examples, split: Split, picture: Path
) -> dict[str, float]:
    """Errors on held-out episodes, of sampled chunks in the robot's units; draws `picture`.

    `error` is the mean absolute error [rad]. `error_wrong_image` is the same with images of other
    examples, and `error_state_only` that of the chunk of the training example with the nearest
    state: a policy that sees is well below both.
    """
    torch.manual_seed(0)
    objective = objective.eval()
    rows = split.held_out[torch.randperm(len(split.held_out))[:_EVALUATED]]
    batch = examples.batch(rows)
    shuffled = replace(batch, latents=batch.latents[torch.randperm(len(rows))])
    seen = objective(on_device(batch, accelerator))
    unseen = objective(on_device(shuffled, accelerator))
    true = examples.decoded(batch.actions, rows)
    known = batch.mask[..., : true.shape[-1]].numpy() > 0

    def error(actions: Tensor) -> float:
        return float(np.abs(examples.decoded(actions, rows) - true)[known].mean())

    if accelerator.is_main_process:
        processor, guess = examples.processor, examples.decoded(seen['actions'], rows)
        names = processor.action_names
        plot_chunks(guess[:_PLOTTED], true[:_PLOTTED], names, processor.step, picture)
    nearest = _nearest(examples, split, batch)
    return {
        'error': error(seen['actions']),
        'error_wrong_image': error(unseen['actions']),
        'error_state_only': error(examples.batch(nearest).actions),
        **({'held_out_video': float(seen['video'])} if 'video' in seen else {}),
    }


def on_device(batch: Batch, accelerator: Accelerator) -> Batch:
    """The batch where the model is."""
    return Batch(*(getattr(batch, f.name).to(accelerator.device) for f in fields(batch)))


def _nearest(examples: Examples, split: Split, batch: Batch) -> Tensor:
    """(B,) the training frame whose state is nearest to each of the batch."""
    states_BS = batch.state[:, 0]
    least_B = torch.full((len(states_BS),), torch.inf)
    nearest_B = torch.zeros(len(states_BS), dtype=torch.long)
    for rows in torch.cat(split.training).split(_COMPARED):
        states = examples.processor.encode_state(examples.state[rows])
        distance_B, place_B = torch.cdist(states_BS, states).min(dim=1)
        nearer_B = distance_B < least_B
        least_B[nearer_B] = distance_B[nearer_B]
        nearest_B[nearer_B] = rows[place_B[nearer_B]]
    return nearest_B
