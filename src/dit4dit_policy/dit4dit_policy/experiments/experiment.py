"""An experiment: a question, and arms that differ in one thing; read from a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from dit4dit_policy.training.config import TrainConfig

Entries = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """How the policy of an arm is tried: see `dit4dit eval`; no episodes, not at all."""

    env: str = 'g1'
    task: str = 'all'
    episodes: int = 0
    seed_start: int = 10_000
    latency: float = 0.15


@dataclass(frozen=True)
class Experiment:
    """What `dit4dit experiment FILE` reads.

    like: in the file, another one whose entries it begins with, those of `train` one by one.
    question: what is asked. x: what the arms differ in. train: entries of `TrainConfig` that all
    trainings have, but `output`. arms: name to what it changes of these; a list of such for
    trainings one after the other, each from the one before. seeds: every arm is trained with each.
    trial: what success is measured on. features: whether the features are asked, too, how well they
    tell the phases of a task apart.
    """

    name: str
    question: str
    x: str
    train: Entries
    arms: Mapping[str, list[Entries]]
    seeds: tuple[int, ...] = (0,)
    trial: Trial = field(default_factory=Trial)
    features: bool = False

    @classmethod
    def read(cls, path: Path) -> Experiment:
        """ValueError names an entry that is unknown, missing or wrong, of a training too."""
        values = _entries(path)
        known = {f.name for f in fields(cls)} - {'name'}
        if unknown := sorted(set(values) - known):
            raise ValueError(f'{path}: expected entries {sorted(known)}, got {unknown}')
        try:
            arms = {
                str(arm): [dict(stage or {}) for stage in _listed(stages)]
                for arm, stages in values.pop('arms').items()
            }
            seeds = tuple(values.pop('seeds', (0,)))
            trial = Trial(**values.pop('trial', {}))
            experiment = cls(path.stem, arms=arms, seeds=seeds, trial=trial, **values)
            for arm in arms:
                experiment.trainings(arm, 0)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f'{path}: {error}') from None
        return experiment

    def trainings(self, arm: str, seed: int) -> list[TrainConfig]:
        """Of an arm, in their order; `output`, and where the later ones start, are left open."""
        configs = []
        for stage in self.arms[arm]:
            entries = self.train | stage | {'seed': seed, 'output': ''}
            entries['model'] = self.train.get('model', {}) | stage.get('model', {})
            configs.append(TrainConfig.of(entries))
        return configs

    def scaled(self, share: float) -> Experiment:
        """With so much of each training's steps and of each trial's episodes: a first look."""

        def less(entries: Entries) -> Entries:
            some = {'steps': max(1, round(share * entries['steps']))} if 'steps' in entries else {}
            return entries | some

        arms = {name: [less(stage) for stage in stages] for name, stages in self.arms.items()}
        episodes = min(self.trial.episodes, max(1, round(share * self.trial.episodes)))
        trial = replace(self.trial, episodes=episodes)
        return replace(self, train=less(self.train), arms=arms, trial=trial)


def _entries(path: Path) -> Entries:
    """Of a file, over those of the one that it is like."""
    if not path.is_file():
        raise FileNotFoundError(f'expected the file of an experiment, {path}')
    values = yaml.safe_load(path.read_text())
    if not isinstance(values, dict) or not isinstance(values.get('train', {}), dict):
        raise ValueError(f'{path}: expected entries by name, those of `train` too, got {values!r}')
    if 'like' not in values:
        return values
    common = _entries(path.parent / values.pop('like'))
    return common | values | {'train': common.get('train', {}) | values.get('train', {})}


def _listed(stages: Any) -> list[Any]:
    return stages if isinstance(stages, list) else [stages]


@dataclass(frozen=True)
class Result:
    """What came of an arm with one seed.

    error: of held-out chunks [rad]. video: held-out video loss, None without. successes, attempts:
    of the trial. stages: how many of the others came how far. silhouette: of the features by the
    phases of the tasks, None where not asked. seconds: of training. checkpoint: its folder.
    """

    arm: str
    seed: int
    error: float
    video: float | None
    attempts: int
    successes: int
    stages: Mapping[str, int]
    silhouette: float | None
    seconds: float
    checkpoint: str

    def to_dict(self) -> Entries:
        """Entries for JSON."""
        return asdict(self)
