"""How well a model's features tell the phases of a task apart (Figure 8c of the paper).

N moments of demonstrations, D numbers of a feature: its mean over the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score

from dit4dit_policy.inference.policy import DiT4DiTPolicy
from g1_data import Dataset
from g1_data.schema import ACTION_KEY

_EVERY = 5  # frames
_MOST = 240  # moments of a dataset
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Phases:
    """Features (N, D) of moments of a task, and the phases (N,) that they are of."""

    task: str
    features: Array
    phase: NDArray[np.int64]

    @property
    def silhouette(self) -> float:
        """Mean silhouette: see `silhouette`."""
        return silhouette(self.features, self.phase)


def phases(action_TA: Array, grippers: Sequence[int]) -> NDArray[np.int64]:
    """(T,) how often a gripper has been shut or opened so far: the phase of a demonstration."""
    count = np.zeros(len(action_TA), dtype=np.int64)
    for column in grippers:
        values = action_TA[:, column]
        shut = values < (values.min() + values.max()) / 2
        if np.ptp(values) > 1e-3:
            count[1:] += np.cumsum(shut[1:] != shut[:-1])
    return count


@torch.inference_mode()
def read_phases(policy: DiT4DiTPolicy, root: Path, seed: int = 0) -> Phases:
    """Of a dataset of one task, moments spread evenly over its episodes."""
    data = Dataset(root)
    grippers = [i for i, name in enumerate(data.action_names) if 'gripper' in name]
    places = [(e, row) for e in data.episodes for row in range(0, e.length, _EVERY)]
    picked = np.linspace(0, len(places) - 1, min(_MOST, len(places))).round().astype(int)
    labels = {
        e.index: phases(data.read_finite(e.index, (ACTION_KEY,))[ACTION_KEY], grippers)
        for e in data.episodes
    }
    video, generator = policy.model.backbone, torch.Generator().manual_seed(seed)
    noise = video.draw_noise(1, generator, video.device)
    tau = torch.full((1,), video.feature_time, device=video.device)
    prompt = policy.prompts[data.tasks[0]]
    features, phase = [], []
    for at in picked:
        episode, row = places[at]
        cameras = policy.processor.embodiment.cameras.values()
        images = {c.name: next(iter(data.frames(episode.index, c, row, row + 1))) for c in cameras}
        pixels = policy.processor.encode_images(images).to(video.device)
        observed = video.observe(pixels[None], ('one_frame',))
        features.append(video.features(observed, noise, prompt, tau)[0].mean(0).double().cpu())
        phase.append(labels[episode.index][row])
    return Phases(root.name, torch.stack(features).numpy(), np.array(phase))


def silhouette(features_ND: Array, label_N: NDArray[np.int64]) -> float:
    """Mean silhouette coefficient (Rousseeuw 1987), from -1 to 1; nan with a single label."""
    if len(np.unique(label_N)) < 2:
        return float('nan')
    return float(silhouette_score(features_ND, label_N))


def flattened(features_ND: Array) -> Array:
    """(N, 2) for a picture, by t-SNE."""
    perplexity = min(30.0, (len(features_ND) - 1) / 3)
    return np.asarray(TSNE(perplexity=perplexity, random_state=0).fit_transform(features_ND))
