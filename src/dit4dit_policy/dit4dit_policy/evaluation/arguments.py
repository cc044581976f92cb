"""Arguments that commands share which let a policy attempt tasks in an environment."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dit4dit_policy.evaluation.environment import Environment


def add_attempt_arguments(
    parser: argparse.ArgumentParser, seed_start: int, seeds: str, task_needed: bool = True
) -> None:
    """Who attempts what, where and how often.

    seed_start: default of --seed-start. seeds: what else its help says. task_needed: whether --task
    has to be given.
    """
    parser.add_argument(
        '--env', default='g1', metavar='NAME',
        help='where: a name in the entry-point group dit4dit.environments, or module:attribute '
        '(default: g1)',
    )  # fmt: skip
    parser.add_argument(
        '--task', required=task_needed, metavar='TASK',
        help='a task of the environment, several as a,b, or all',
    )  # fmt: skip
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
        '--episodes', type=int, default=50, metavar='N', help='attempts of each task (default: 50)'
    )
    parser.add_argument(
        '--seed-start', type=int, default=seed_start, metavar='S',
        help=f'seed of the first scene (default: {seed_start}{seeds})',
    )  # fmt: skip
    parser.add_argument(
        '--latency', type=float, default=0.15, metavar='S',
        help='simulated seconds from image to chunk (default: 0.15, a little more than over ROS)',
    )  # fmt: skip
    parser.add_argument(
        '--workers', type=int, default=os.cpu_count() or 1, metavar='N',
        help='processes (default: one a core)',
    )  # fmt: skip


def check_attempt_arguments(given: argparse.Namespace) -> None:
    """ValueError where a number is none that can be meant."""
    if given.episodes < 1 or given.workers < 1 or not 0.0 <= given.latency <= 1.0:
        raise ValueError(
            'expected at least 1 of --episodes and of --workers, and a --latency from 0 to 1 s, '
            f'got {given.episodes}, {given.workers} and {given.latency:g}'
        )


def tasks_of(task: str, environment: Environment) -> tuple[str, ...]:
    """Those that --task means. ValueError names what there is."""
    known = environment.tasks
    if task == 'all':
        return tuple(known)
    names = tuple(dict.fromkeys(name.strip() for name in task.split(',') if name.strip()))
    if not names or set(names) - set(known):
        raise ValueError(f"--task: expected all, or one of {', '.join(known)}, got '{task}'")
    return names
