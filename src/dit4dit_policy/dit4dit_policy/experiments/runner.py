"""Runs an experiment: every arm with every seed, each training once, as far as it is not there."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from dit4dit_policy.evaluation.arguments import tasks_of
from dit4dit_policy.evaluation.journal import Journal
from dit4dit_policy.evaluation.rollouts import (
    Attempt,
    AttemptOutcome,
    Setting,
    evaluate,
    make_environment,
)
from dit4dit_policy.experiments.experiment import Experiment, Result, Trial
from dit4dit_policy.inference.shipped import load_policy
from dit4dit_policy.training.config import TrainConfig
from dit4dit_policy.training.train import train


def run(experiment: Experiment, folder: Path, workers: int) -> Iterator[Result]:
    """Result after result, seed by seed: with one seed all arms are there to compare.

    `folder` has the trainings, of other experiments too, which may run at the same time.
    """
    for seed in experiment.seeds:
        for arm in experiment.arms:
            config = trained(experiment.trainings(arm, seed), folder)
            metrics = _last_metrics(config)
            with _alone(config):
                outcomes = tried(experiment.trial, config, workers)
            yield Result(
                arm=arm,
                seed=seed,
                error=metrics['error'],
                video=metrics.get('held_out_video'),
                attempts=len(outcomes),
                successes=sum(outcome.success for outcome in outcomes),
                stages=dict(Counter(o.stage for o in outcomes if not o.success)),
                silhouette=_silhouette(config) if experiment.features else None,
                seconds=metrics['seconds'],
                checkpoint=str(_checkpoint(config)),
            )


def trained(stages: list[TrainConfig], folder: Path) -> TrainConfig:
    """The last of these trainings, done: each in a folder named by all that it depends on.

    So arms that begin alike, of several experiments too, share what they have in common.
    """
    done: TrainConfig | None = None
    for stage in stages:
        if done is not None:
            stage = replace(stage, init_from=str(_checkpoint(done)), autoencoder_from='')
        done = replace(stage, output=str(folder / _name(stage)))
        with _alone(done):
            if _last_metrics(done).get('step') != done.steps:
                train(done)
    assert done is not None
    return done


def _name(stage: TrainConfig) -> str:
    """Of a training, by the entries that are not as they are by default."""
    usual = asdict(TrainConfig(preset='', datasets={}, output=''))
    told = {name: value for name, value in asdict(stage).items() if value != usual[name]}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def tried(trial: Trial, config: TrainConfig, workers: int) -> list[AttemptOutcome]:
    """What comes of the attempts of the trial; those in the journal are not made again."""
    if not trial.episodes:
        return []
    environment = make_environment(trial.env, (), trial.latency)
    tasks = tasks_of(trial.task, environment)
    environment.close()
    folder, checkpoint = Path(config.output), str(_checkpoint(config))
    policy = load_policy(checkpoint)
    setting = Setting(
        env=trial.env,
        policy='dit4dit',
        checkpoint=checkpoint,
        cameras=policy.cameras,
        latency=trial.latency,
        real_time_chunking=False,
        videos=folder / 'failures',
    )
    journal = Journal(folder / 'attempts.jsonl', {'env': trial.env, 'latency': trial.latency})
    seeds = range(trial.seed_start, trial.seed_start + trial.episodes)
    attempts = [Attempt(task, seed) for task in tasks for seed in seeds]
    left = [attempt for attempt in attempts if attempt not in journal.outcomes]
    for outcome in evaluate(setting, left, min(workers, len(left))):
        journal.add(outcome)
    return [journal.outcomes[attempt] for attempt in attempts]


def _alone(config: TrainConfig) -> FileLock:
    """While it is held, another experiment waits that needs the same training or its trial."""
    Path(config.output).parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f'{config.output}.lock')


def _silhouette(config: TrainConfig) -> float:
    from dit4dit_policy.experiments.phases import read_phases

    path = Path(config.output) / 'silhouette.json'
    if not path.is_file():
        policy = load_policy(_checkpoint(config))
        scores = {root: read_phases(policy, Path(root)).silhouette for root in config.datasets}
        path.write_text(json.dumps(scores))
    values = [value for value in json.loads(path.read_text()).values() if not math.isnan(value)]
    return float(np.mean(values)) if values else math.nan


def _checkpoint(config: TrainConfig) -> Path:
    return Path(config.output) / 'checkpoint'


def _last_metrics(config: TrainConfig) -> dict[str, Any]:
    path = Path(config.output) / 'metrics.jsonl'
    lines = path.read_text().splitlines() if path.is_file() else []
    return json.loads(lines[-1]) if lines else {}
