"""Arguments that commands share which let a policy attempt tasks in an environment."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from dit4dit_policy.evaluation.environment import Conduct, conduct_of

if TYPE_CHECKING:
    from dit4dit_policy.evaluation.environment import Environment


def add_attempt_arguments(
    parser: argparse.ArgumentParser,
    seed_start: int | None,
    seeds: str,
    task_needed: bool = True,
    others: str = '',
) -> None:
    """Who attempts what, where and how often.

    seed_start: default of --seed-start; None where the environment says this and the latency, see
    `fill_in`. seeds, others: what else the help says of it, and of --policy. task_needed: whether
    --task has to be given.
    """
    latency = Conduct().latency
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
        help='who: a name in the entry-point group dit4dit.policies, or module:attribute'
        f'{others} (default: dit4dit)',
    )  # fmt: skip
    parser.add_argument(
        '--checkpoint', default='', metavar='DIR',
        help='folder of the policy, of a remote one ws://HOST:PORT (default: the shipped one that '
        'knows the tasks)',
    )  # fmt: skip
    parser.add_argument(
        '--episodes', type=int, default=50, metavar='N', help='attempts of each task (default: 50)'
    )
    parser.add_argument(
        '--seed-start', type=int, default=seed_start, metavar='S',
        help=f'seed of the first scene (default: {seed_start or "that of the environment"}{seeds})',
    )  # fmt: skip
    parser.add_argument(
        '--latency', type=float, default=None if seed_start is None else latency, metavar='S',
        help=f'simulated seconds from image to chunk (default: {latency:g}, a little more than '
        'over ROS, or what the environment says)',
    )  # fmt: skip
    parser.add_argument(
        '--workers', type=int, default=os.cpu_count() or 1, metavar='N',
        help='processes (default: one a core)',
    )  # fmt: skip


def check_attempt_arguments(given: argparse.Namespace) -> None:
    """ValueError where a number is none that can be meant."""
    if given.episodes < 1 or given.workers < 1 or not 0.0 <= (given.latency or 0.0) <= 1.0:
        raise ValueError(
            'expected at least 1 of --episodes and of --workers, and a --latency from 0 to 1 s, '
            f'got {given.episodes}, {given.workers} and {given.latency or 0.0:g}'
        )


def fill_in(given: argparse.Namespace, environment: Environment) -> None:
    """Gives what was not given the environment's defaults. ValueError of scenes it has not."""
    conduct = conduct_of(environment)
    if given.seed_start is None:
        given.seed_start = conduct.first_seed
    if given.latency is None:
        given.latency = conduct.latency
    last = given.seed_start + given.episodes - 1
    if conduct.scenes is not None and not 0 <= given.seed_start <= last < conduct.scenes:
        raise ValueError(
            f'--seed-start, --episodes: {given.env} has {conduct.scenes} scenes of each task, 0 to '
            f'{conduct.scenes - 1}; got {given.seed_start} to {last}'
        )


def tasks_of(task: str, environment: Environment, suites: str = '') -> tuple[str, ...]:
    """Those that --task means. ValueError names what there is.

    suites: as libero_spatial,libero_goal: tasks are those of each, SUITE-TASK, by their last part.
    """
    known = environment.tasks
    if suites:
        return tuple(
            f'{suite}-{name}'
            for suite in _suites(suites, known)
            for name in _chosen(task or 'all', _tasks_in(suite, known))
        )
    return _chosen(task, known)


def suite_of(task: str) -> str:
    """What a task is called without its last part."""
    return task.rpartition('-')[0]


def _suites(given: str, known: tuple[str, ...]) -> tuple[str, ...]:
    there = tuple(dict.fromkeys(suite_of(task) for task in known if suite_of(task)))
    names = tuple(dict.fromkeys(name.strip() for name in given.split(',') if name.strip()))
    if not names or set(names) - set(there):
        raise ValueError(
            f'--suite: expected some of {", ".join(there) or "none, as there are none"}, '
            f"got '{given}'"
        )
    return names


def _tasks_in(suite: str, known: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(task.removeprefix(f'{suite}-') for task in known if suite_of(task) == suite)


def _chosen(task: str, known: tuple[str, ...]) -> tuple[str, ...]:
    if task == 'all':
        return tuple(known)
    names = tuple(dict.fromkeys(name.strip() for name in task.split(',') if name.strip()))
    if not names or set(names) - set(known):
        raise ValueError(f"--task: expected all, or one of {', '.join(known)}, got '{task}'")
    return names
