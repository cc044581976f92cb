"""`dit4dit eval`: how often a policy does a task in an environment, and with what certainty."""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dit4dit_policy.evaluation.statistics import wilson_interval

if TYPE_CHECKING:
    from rich.table import Table

    from dit4dit_policy.evaluation.environment import Environment
    from dit4dit_policy.evaluation.rollouts import Attempt, AttemptOutcome, Setting


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `dit4dit eval`."""
    parser.add_argument(
        '--env', default='g1', metavar='NAME',
        help='where: a name in the entry-point group dit4dit.environments, or module:attribute '
        '(default: g1)',
    )  # fmt: skip
    parser.add_argument(
        '--task', required=True, metavar='TASK', help='a task of the environment, or all'
    )
    parser.add_argument(
        '--variant', default='', metavar='NAME', help='world in place of the usual one'
    )
    parser.add_argument(
        '--policy', default='dit4dit', metavar='NAME',
        help='who: a name in the entry-point group dit4dit.policies, or module:attribute '
        '(default: dit4dit)',
    )  # fmt: skip
    parser.add_argument(
        '--checkpoint', default='', metavar='DIR',
        help='folder of the policy, of a remote one ws://HOST:PORT (default: the shipped one)',
    )  # fmt: skip
    parser.add_argument(
        '--cameras', default='', metavar='NAMES',
        help='cameras there are, as head,left_wrist (default: those that the policy looks at)',
    )  # fmt: skip
    parser.add_argument(
        '--episodes', type=int, default=50, metavar='N', help='attempts of each task (default: 50)'
    )
    parser.add_argument(
        '--seed-start', type=int, default=10_000, metavar='S',
        help='seed of the first scene (default: 10000, beyond those of demonstrations)',
    )  # fmt: skip
    parser.add_argument(
        '--latency', type=float, default=0.15, metavar='S',
        help='simulated seconds from image to chunk (default: 0.15, a little more than over ROS)',
    )  # fmt: skip
    parser.add_argument(
        '--real-time-chunking', action='store_true',
        help='each chunk continues the one in execution, as the parameter of policy_node',
    )  # fmt: skip
    parser.add_argument(
        '--out', type=Path, metavar='DIR',
        help='folder for results.json and videos of failures (default: runs/<time>-eval-<task>)',
    )  # fmt: skip


def main(arguments: argparse.Namespace) -> int:
    """Runs the evaluation; ValueError or FileNotFoundError says what is wrong with them."""
    if arguments.episodes < 1 or not 0.0 <= arguments.latency <= 1.0:
        raise ValueError(
            'expected at least 1 of --episodes and a --latency from 0 to 1 s, '
            f'got {arguments.episodes} and {arguments.latency:g}'
        )
    from rich.console import Console

    from dit4dit_policy.evaluation.rollouts import Attempt, Setting, load_policy, make_environment

    environment = make_environment(arguments.env, (), arguments.latency)
    tasks = _tasks(arguments.task, arguments.variant, environment)
    given = tuple(name.strip() for name in arguments.cameras.split(',') if name.strip())
    # A bad one is told here, once.
    policy = load_policy(arguments.policy, arguments.checkpoint, environment, given)
    environment.close()
    folder = arguments.out or Path('runs') / f'{datetime.now():%Y%m%d-%H%M%S}-eval-{arguments.task}'
    setting = Setting(
        env=arguments.env,
        policy=arguments.policy,
        checkpoint=arguments.checkpoint,
        cameras=_cameras(given, policy.cameras),
        latency=arguments.latency,
        real_time_chunking=arguments.real_time_chunking,
        videos=folder / 'failures',
    )
    seeds = range(arguments.seed_start, arguments.seed_start + arguments.episodes)
    attempts = [Attempt(task, seed, arguments.variant) for task in tasks for seed in seeds]
    console = Console()
    episodes = _run(console, setting, attempts)
    result = {
        'env': setting.env,
        'variant': arguments.variant,
        'policy': setting.policy,
        'checkpoint': setting.checkpoint or None,
        'model_id': policy.model_id,
        'trained': policy.trained,
        'cameras': list(setting.cameras),
        'latency': setting.latency,
        'real_time_chunking': setting.real_time_chunking,
        **summary(episodes),
        'tasks': {
            task: summary([episode for episode in episodes if episode.attempt.task == task])
            for task in tasks
        },
        'results': [_row(episode) for episode in episodes],
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / 'results.json'
    file.write_text(json.dumps(result, indent=2) + '\n')
    console.print(_table(result))
    console.print(f'{file}', soft_wrap=True)
    return 0


def _tasks(task: str, variant: str, environment: Environment) -> tuple[str, ...]:
    if task != 'all' and task not in environment.tasks:
        raise ValueError(
            f"--task: expected all, or one of {', '.join(environment.tasks)}, got '{task}'"
        )
    if variant and variant not in environment.variants:
        have = ', '.join(environment.variants) or 'none, as there are none'
        raise ValueError(f"--variant: expected one of {have}, got '{variant}'")
    return environment.tasks if task == 'all' else (task,)


def _cameras(given: tuple[str, ...], needed: tuple[str, ...]) -> tuple[str, ...]:
    if given and not set(needed) <= set(given):
        raise ValueError(
            f'--cameras: the policy looks at {", ".join(needed)}, got {", ".join(given)}'
        )
    return given or needed


def _run(console: Any, setting: Setting, attempts: Sequence[Attempt]) -> list[AttemptOutcome]:
    """The episodes of all attempts, in their order."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    from dit4dit_policy.evaluation.rollouts import evaluate

    episodes = {}
    with Progress(
        '{task.description}',
        BarColumn(),
        MofNCompleteColumn(),
        '{task.fields[done]} succeeded',
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        bar = progress.add_task('attempts', total=len(attempts), done=0)
        workers = min(os.cpu_count() or 1, len(attempts))
        for episode in evaluate(setting, attempts, workers):
            episodes[episode.attempt] = episode
            progress.update(bar, advance=1, done=sum(e.success for e in episodes.values()))
    return [episodes[attempt] for attempt in attempts]


def summary(episodes: Sequence[AttemptOutcome]) -> dict[str, Any]:
    """Success rate with its 95 % Wilson interval, how far failures came, and counts in sum."""
    good = [episode.seconds for episode in episodes if episode.success]
    counts: Counter[str] = Counter()
    for episode in episodes:
        counts.update(episode.counts)
    return {
        'episodes': len(episodes),
        'successes': len(good),
        'success_rate': len(good) / len(episodes),
        'success_rate_95': wilson_interval(len(good), len(episodes)),
        'mean_time_to_success': float(np.mean(good)) if good else None,
        'failures': dict(Counter(e.stage for e in episodes if not e.success).most_common()),
        'counts': dict(counts),
    }


def _row(episode: AttemptOutcome) -> dict[str, Any]:
    return {
        'task': episode.attempt.task,
        'seed': episode.attempt.seed,
        'success': episode.success,
        'stage': episode.stage,
        **episode.counts,
        'seconds': episode.seconds,
        'text': episode.text,
    }


def _table(result: Mapping[str, Any]) -> Table:
    from dit4dit_policy.evaluation.success_table import Successes, success_table

    variant = f', {result["variant"]}' if result['variant'] else ''
    counts = list(result['counts'])

    def successes(name: str, row: Mapping[str, Any]) -> Successes:
        more = tuple(str(row['counts'].get(count, 0)) for count in counts)
        times = row['mean_time_to_success']
        return Successes(name, row['episodes'], row['successes'], times, more)

    table = success_table(
        f'{result["model_id"]} in {result["env"]}{variant}',
        [successes(name, row) for name, row in result['tasks'].items()],
        counts,
        successes('all', result),
    )
    lines = [f'{count} x {stage}' for stage, count in result['failures'].items()]
    if not result['trained']:
        lines.append('UNTRAINED: the weights are random')
    table.caption = '\n'.join(lines)
    return table
