"""What `dit4dit train` is told: `TrainConfig`, a YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import yaml


@dataclass(frozen=True)
class Rounds:
    """Rounds after a training, each with an expert's corrections of what the last has made.

    count: 0 for none. env, task, episodes, seed_start, latency, workers: of `dit4dit correct`, 0
    workers are one a core; each round has scenes of its own. steps, lr: of each round's training,
    on demonstrations and corrections in equal shares. See `train_in_rounds`.
    """

    count: int = 0
    env: str = 'g1'
    task: str = 'all'
    episodes: int = 150
    seed_start: int = 100_000
    latency: float = 0.15
    workers: int = 0
    steps: int = 1200
    lr: float = 2e-4

    def __post_init__(self) -> None:
        if self.count < 0 or self.episodes < 1 or self.steps < 1 or not self.lr > 0:
            raise ValueError(
                'rounds: expected a count of 0 or more, and episodes, steps and lr above 0, got '
                f'{self.count}, {self.episodes}, {self.steps} and {self.lr:g}'
            )


@dataclass(frozen=True)
class TrainConfig:
    """What `dit4dit train --config FILE` reads; paths are relative to where it is started.

    datasets: folders of LeRobot v2.1 datasets, each with the share it has in what is trained on.
    evaluation_worlds: also such as show a variant, which nobody trains on unasked. policy_weight:
    how often what a policy did itself in an attempt is drawn, beside 1 of what an operator did
    there. model: entries of the preset to change, as {'backbone.feature_layer': 2}. output: gets
    `checkpoint/`, `metrics.jsonl`, `loss.png`, `chunks.png`, and `state-*` to go on from.
    embodiment: the robot of the datasets, a name or a YAML file. cameras: whose pictures the model
    sees in one frame, in this order; by default those of the checkpoint it starts from, where the
    embodiment has them, else the embodiment's. crops: by camera, (top, left, height, width) [px] of
    its picture that the model is shown, at the size the embodiment states; by default as the
    embodiment says, else as the checkpoint that it starts from was shown it. tasks: name to
    instruction of those that may be in the datasets, or a YAML file of these; by default the
    datasets name them. init_from: where to start: a checkpoint (its folder, or the name of a
    shipped one), whose model is kept but for what `preset`, embodiment and cameras give other
    dimensions (the paper's second stage), and for a keyframe weight and `further_views` told in
    `model`; a folder of
    Cosmos-Predict2.5-2B (its first); or '', new weights behind an autoencoder trained on the
    datasets, or that of the checkpoint `autoencoder_from`. recompute_bounds: normalise by the
    datasets' bounds also where the checkpoint has some. mode: which losses train. augment:
    'episode' encodes `variants` of every episode once; 'example' keeps all pictures, in a GPU's
    memory or on disk, and changes and encodes them anew for each example, which asks for a small
    autoencoder. action_shift, initial_noise_std, imagined_noise_std, follow: None keeps what the
    checkpoint says that it starts from, else it is as in `Processor`. rounds: of corrections, after
    the training.
    """

    preset: str
    datasets: dict[str, float]
    output: str
    model: dict[str, Any] = field(default_factory=dict)
    embodiment: str = 'g1_aloha'
    cameras: tuple[str, ...] = ()
    crops: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    tasks: dict[str, str] | str = field(default_factory=dict)
    init_from: str = ''
    autoencoder_from: str = ''
    recompute_bounds: bool = False
    mode: Literal['joint', 'video', 'action'] = 'joint'
    evaluation_worlds: bool = False
    policy_weight: float = 0.0
    feature_gradient: bool | None = None  # of the action loss into the backbone; None: preset's
    seed: int = 0
    threads: int = 2  # of each process
    processes: int = 1  # that share the batch on this machine's CPU; see `accelerate launch`
    action_shift: int | None = None  # steps by which the policy gives its targets early
    initial_noise_std: float | None = None  # of the noise that the policy samples from
    imagined_noise_std: float | None = None  # and of that which it imagines video from
    follow: int | None = None  # targets of a chunk followed before the next one is made, at least
    val_fraction: float = 0.05  # of the episodes, held out for evaluation
    most_episodes: int = 0  # of each dataset to train on, the first ones; 0: all
    autoencoder_steps: int = 1500
    autoencoder_batch_size: int = 16
    autoencoder_lr: float = 2e-3
    augment: Literal['episode', 'example'] = 'episode'  # how often light and place are drawn anew
    variants: int = 3  # drawn for each episode, encoded once and kept on disk
    steps: int = 2000
    batch_size: int = 64  # of all processes together
    video_batch_size: int = 16  # examples of it that the video loss is taken on
    noise_samples: int = 2  # action noises and flow times for each example
    video_lr: float = 1e-3
    action_lr: float = 1e-3
    warmup_steps: int = 100
    weight_decay: float = 1e-2
    grad_clip_norm: float = 1.0
    ema_decay: float = 0.995
    state_noise_std: float = 0.03  # of values in [-1, 1]
    state_dropout: float = 0.2  # share of examples whose state is hidden: the image has to say it
    evaluate_every: int = 250
    bf16: bool = True
    compiled: bool = False  # the blocks, by torch.compile: a minute at the start, then faster
    gradient_checkpointing: bool = False  # less memory for more time
    rounds: Rounds = field(default_factory=Rounds)

    def __post_init__(self) -> None:
        if self.mode not in ('joint', 'video', 'action'):
            raise ValueError(f"mode: expected 'joint', 'video' or 'action', got {self.mode!r}")
        if self.augment not in ('episode', 'example'):
            raise ValueError(f"augment: expected 'episode' or 'example', got {self.augment!r}")
        if not 0 < self.video_batch_size <= self.batch_size:
            raise ValueError(
                f'video_batch_size: expected 1 to batch_size, {self.batch_size}, '
                f'got {self.video_batch_size}'
            )
        if self.processes < 1 or self.threads < 1:
            raise ValueError(
                'processes, threads: expected at least 1 of each, got '
                f'{self.processes} and {self.threads}'
            )
        if self.policy_weight < 0:
            raise ValueError(f'policy_weight: expected 0 or more, got {self.policy_weight}')
        if not 0 < self.val_fraction <= 0.5:
            raise ValueError(f'val_fraction: expected above 0 to 0.5, got {self.val_fraction}')

    @classmethod
    def read(cls, path: Path) -> TrainConfig:
        """Reads a YAML file. ValueError names an entry that is unknown, missing or wrong."""
        values = yaml.safe_load(path.read_text())
        if not isinstance(values, dict):
            raise ValueError(f'{path}: expected entries by name, got {values!r}')
        try:
            return cls.of(values)
        except (TypeError, ValueError) as error:
            raise ValueError(f'{path}: {error}') from None

    @classmethod
    def of(cls, values: dict[str, Any]) -> TrainConfig:
        """Of what YAML has read. ValueError or TypeError names what is unknown or missing."""
        names = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - names):
            raise ValueError(f'unknown {unknown}; known are {sorted(names)}')
        entries: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        if 'rounds' in entries:
            entries['rounds'] = Rounds(**entries['rounds'])
        if 'crops' in entries:
            entries['crops'] = _crops(entries['crops'])
        return cls(**entries)

    def task_table(self) -> dict[str, str]:
        """Name to instruction; empty where the datasets are to say. ValueError if it is none."""
        table = self.tasks
        if isinstance(table, str):
            path = Path(table)
            if not path.is_file():
                raise ValueError(f'tasks: expected a YAML file of names and instructions, {path}')
            table = yaml.safe_load(path.read_text())
        if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
            raise ValueError(f'tasks: expected names and their instructions, got {table!r}')
        return table


def _crops(given: Any) -> dict[str, tuple[int, ...]]:
    if not isinstance(given, dict) or not all(isinstance(c, list | tuple) for c in given.values()):
        raise ValueError(f'crops: expected by camera (top, left, height, width), got {given!r}')
    return {name: tuple(crop) for name, crop in given.items()}
