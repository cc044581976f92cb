"""`dit4dit eval`: how often a policy does a task in simulation, and with what certainty."""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from dit4dit_policy.evaluation.rollouts import Episode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `dit4dit eval`."""
    parser.add_argument(
        '--checkpoint', type=Path, metavar='DIR', help='its folder (default: the shipped one)'
    )
    parser.add_argument('--task', required=True, metavar='TASK', help='a simulated task')
    parser.add_argument(
        '--episodes', type=int, default=50, metavar='N', help='attempts (default: 50)'
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
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    from dit4dit_policy.evaluation.rollouts import Setting, evaluate
    from dit4dit_policy.inference.shipped import load_policy
    from g1_description import load_robot
    from g1_sim.tasks import simulated_tasks

    if arguments.task not in simulated_tasks():
        raise ValueError(
            f"--task: expected one of {', '.join(simulated_tasks())}, got '{arguments.task}'"
        )
    policy = load_policy(
        arguments.checkpoint, load_robot().action_joints
    )  # a bad one is told here, once
    seeds = range(arguments.seed_start, arguments.seed_start + arguments.episodes)
    folder = arguments.out or Path('runs') / f'{datetime.now():%Y%m%d-%H%M%S}-eval-{arguments.task}'
    setting = Setting(
        checkpoint=arguments.checkpoint,
        task=arguments.task,
        latency=arguments.latency,
        real_time_chunking=arguments.real_time_chunking,
        videos=folder / 'failures',
    )
    console, episodes = Console(), []
    with Progress(
        '{task.description}',
        BarColumn(),
        MofNCompleteColumn(),
        '{task.fields[done]} succeeded',
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        bar = progress.add_task(arguments.task, total=len(seeds), done=0)
        workers = min(os.cpu_count() or 1, len(seeds))
        for episode in evaluate(setting, seeds, workers):
            episodes.append(episode)
            progress.update(bar, advance=1, done=sum(e.success for e in episodes))
    episodes.sort(key=lambda episode: episode.seed)
    result = {
        'task': arguments.task,
        'checkpoint': str(arguments.checkpoint) if arguments.checkpoint else None,
        'model_id': policy.model_id,
        'trained': policy.trained,
        'latency': arguments.latency,
        'real_time_chunking': arguments.real_time_chunking,
        **summary(episodes),
        'results': [asdict(episode) for episode in episodes],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'results.json').write_text(json.dumps(result, indent=2) + '\n')
    console.print(_table(result))
    console.print(f'{folder / "result.json"}')
    return 0


def summary(episodes: Sequence[Episode]) -> dict[str, Any]:
    """Success rate with its 95 % Wilson interval, and how the controller liked the chunks."""
    from g1_sim.expert import wilson_interval

    good = [episode.duration for episode in episodes if episode.success]
    return {
        'episodes': len(episodes),
        'successes': len(good),
        'success_rate': len(good) / len(episodes),
        'success_rate_95': wilson_interval(len(good), len(episodes)),
        'mean_time_to_success': float(np.mean(good)) if good else None,
        'failures': dict(Counter(e.reason for e in episodes if not e.success).most_common()),
        'chunks_rejected': sum(episode.chunks_rejected for episode in episodes),
        'holds': sum(episode.holds for episode in episodes),
    }


def _table(result: dict[str, Any]) -> Any:
    from rich.table import Table

    low, high = result['success_rate_95']
    mean_time = result['mean_time_to_success']
    table = Table(title=f'{result["model_id"]}: {result["task"]}')
    row = {
        'episodes': str(result['episodes']),
        'succeeded': str(result['successes']),
        'success rate': f'{result["success_rate"]:.1%}',
        '95 % interval': f'{low:.1%} to {high:.1%}',
        'time [s]': '' if mean_time is None else f'{mean_time:.1f}',
        'chunks rejected': str(result['chunks_rejected']),
        'holds': str(result['holds']),
    }
    for name in row:
        table.add_column(name, justify='right')
    table.add_row(*row.values())
    lines = [f'{count} x {reason}' for reason, count in result['failures'].items()]
    if not result['trained']:
        lines.append('UNTRAINED: the weights are random')
    table.caption = '\n'.join(lines)
    return table
