"""`dit4dit eval`: how often a policy does a task in an environment, and with what certainty."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dit4dit_policy.evaluation.arguments import (
    add_attempt_arguments,
    check_attempt_arguments,
    fill_in,
    suite_of,
    tasks_of,
)
from dit4dit_policy.evaluation.environment import conduct_of, tasks_in
from dit4dit_policy.evaluation.statistics import wilson_interval
from dit4dit_policy.inference.shipped import checkpoint_for

if TYPE_CHECKING:
    from rich.table import Table

    from dit4dit_policy.evaluation.environment import Environment
    from dit4dit_policy.evaluation.journal import Journal
    from dit4dit_policy.evaluation.rollouts import Attempt, AttemptOutcome, Setting
    from dit4dit_policy.evaluation.served import Served
    from dit4dit_policy.inference.chunk_policy import ChunkPolicy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `dit4dit eval`."""
    add_attempt_arguments(parser, None, ', beyond those of demonstrations', task_needed=False)
    parser.add_argument(
        '--suite', default='', metavar='NAMES',
        help='suites of an environment that has some, as libero_spatial,libero_goal; --task is '
        'then of each of these, as 0,3 (default: all)',
    )  # fmt: skip
    parser.add_argument(
        '--variant', default='', metavar='NAME', help='world in place of the usual one'
    )
    parser.add_argument(
        '--cameras', default='', metavar='NAMES',
        help='cameras there are, as head,left_wrist (default: those that the policy looks at)',
    )  # fmt: skip
    parser.add_argument(
        '--real-time-chunking', action='store_true',
        help='each chunk continues the one in execution, as the parameter of policy_node',
    )  # fmt: skip
    parser.add_argument(
        '--follow', type=int, metavar='N',
        help='targets of a chunk to follow before the next one is made, where the environment asks '
        'for one sooner, as g1 after every 2 (default: as many as the policy says)',
    )  # fmt: skip
    parser.add_argument(
        '--traces', action='store_true',
        help='keep what was seen, planned and imagined in every attempt, about 0.5 MB each, for '
        '`dit4dit surprise`',
    )  # fmt: skip
    parser.add_argument(
        '--out', type=Path, metavar='DIR',
        help='folder for results.json, failures.png and videos of failures; an evaluation that was '
        'interrupted goes on there (default: runs/<time>-eval-<task>)',
    )  # fmt: skip
    parser.add_argument(
        '--compare', type=Path, nargs=2, metavar=('A', 'B'),
        help='attempt nothing: compare two evaluations, or several runs of g1 demo, scene by '
        'scene, by their folders',
    )  # fmt: skip


def main(arguments: argparse.Namespace) -> int:
    """Runs the evaluation; ValueError or FileNotFoundError says what is wrong with them."""
    from rich.console import Console

    console = Console()
    if arguments.compare:
        return _compare(console, *arguments.compare)
    if not (arguments.task or arguments.suite):
        raise ValueError('--task: expected a task, or all; or --suite; or --compare A B')
    check_attempt_arguments(arguments)
    if arguments.follow is not None and arguments.follow < 1:
        raise ValueError(f'--follow: expected 1 or more targets of a chunk, got {arguments.follow}')
    from dit4dit_policy.evaluation.rollouts import make_environment

    environment = make_environment(arguments.env, (), arguments.latency or 0.0)
    fill_in(arguments, environment)
    tasks = _tasks(arguments, environment)
    arguments.checkpoint = checkpoint_for(arguments.checkpoint, arguments.policy)
    with ExitStack() as stack:
        # A bad one is told here, once.
        policy, asked = _policy(arguments, environment, stack)
        environment.close()
        return _evaluate(console, arguments, tasks, policy, asked)


def _policy(
    arguments: argparse.Namespace, environment: Environment, stack: ExitStack
) -> tuple[ChunkPolicy | Served, tuple[str, str]]:
    """The policy, and the name and the checkpoint by which the attempts find it."""
    from dit4dit_policy.evaluation.rollouts import load_policy
    from dit4dit_policy.evaluation.served import served

    named = arguments.policy, arguments.checkpoint
    given = _names(arguments.cameras)
    if not conduct_of(environment).served or arguments.policy == 'remote':
        return load_policy(*named, environment, given), named
    if arguments.real_time_chunking:
        raise ValueError(f'--real-time-chunking: {arguments.env} stands still during inference')
    robot = environment.embodiment.with_cameras(given)
    policy = stack.enter_context(served(*named, robot))
    return policy, ('remote', policy.address)


def _evaluate(
    console: Any,
    arguments: argparse.Namespace,
    tasks: tuple[str, ...],
    policy: ChunkPolicy | Served,
    asked: tuple[str, str],
) -> int:
    """Attempts what is not yet in the journal, and reports all of it."""
    from dit4dit_policy.evaluation.journal import Journal, fingerprint
    from dit4dit_policy.evaluation.rollouts import Attempt, Setting, make_environment
    from dit4dit_policy.evaluation.served import Served
    from dit4dit_policy.inference.chunk_policy import follow_of

    cameras = _cameras(_names(arguments.cameras), policy.cameras)
    make_environment(arguments.env, cameras, arguments.latency).close()
    name = '-'.join(filter(None, (arguments.suite, arguments.task)))
    folder = arguments.out or Path('runs') / f'{datetime.now():%Y%m%d-%H%M%S}-eval-{name}'
    wanted = policy.follow if isinstance(policy, Served) else follow_of(policy)
    setting = Setting(
        env=arguments.env,
        policy=arguments.policy,
        checkpoint=arguments.checkpoint,
        cameras=cameras,
        latency=arguments.latency,
        real_time_chunking=arguments.real_time_chunking,
        videos=folder / 'failures',
        traces=folder / 'traces' if arguments.traces else None,
        follow=arguments.follow or wanted,
    )
    about = {
        'env': setting.env,
        'policy': setting.policy,
        'checkpoint': setting.checkpoint or None,
        'model_id': policy.model_id,
        'trained': policy.trained,
        'cameras': list(setting.cameras),
        'latency': setting.latency,
        'real_time_chunking': setting.real_time_chunking,
        'follow': setting.follow,
    }
    kept = {'traces': True} if arguments.traces else {}
    journal = Journal(folder / 'attempts.jsonl', about | {'weights': fingerprint(setting)} | kept)
    seeds = range(arguments.seed_start, arguments.seed_start + arguments.episodes)
    attempts = [Attempt(task, seed, arguments.variant) for task in tasks for seed in seeds]
    policy_asked, checkpoint = asked
    running = replace(setting, policy=policy_asked, checkpoint=checkpoint)
    episodes = _run(console, running, attempts, journal, arguments.workers)
    result = {
        'variant': arguments.variant,
        **about,
        **summary(episodes),
        'tasks': _summaries(episodes, lambda attempt: attempt.task),
        'suites': _summaries(episodes, lambda a: suite_of(a.task)) if arguments.suite else {},
        'refusal_reasons': refusal_reasons(episodes),
        'results': [_row(episode) for episode in episodes],
    }
    (folder / 'results.json').write_text(json.dumps(result, indent=2) + '\n')
    console.print(_table(result))
    _draw_failures(folder, episodes)
    console.print(f'{folder / "results.json"}', soft_wrap=True)
    return 0


def _compare(console: Any, *places: Path) -> int:
    from dit4dit_policy.evaluation.comparison import comparison_table, paired, read_results

    a, b = (read_results(place) for place in places)
    console.print(comparison_table((str(places[0]), str(places[1])), paired(a, b)))
    return 0


def _draw_failures(folder: Path, episodes: Sequence[AttemptOutcome]) -> None:
    from dit4dit_policy.evaluation.failures import draw_failures
    from dit4dit_policy.evaluation.rollouts import video_path

    videos = {video_path(folder / 'failures', e): e for e in episodes if not e.success}
    there = {video: episode for video, episode in videos.items() if video.is_file()}
    draw_failures(there, folder / 'failures.png')


def _tasks(arguments: argparse.Namespace, environment: Environment) -> tuple[str, ...]:
    tasks = tasks_of(arguments.task, environment, arguments.suite)
    variant = arguments.variant
    if variant and variant not in environment.variants:
        have = ', '.join(environment.variants) or 'none, as there are none'
        raise ValueError(f"--variant: expected one of {have}, got '{variant}'")
    having = tasks_in(environment, variant, tasks)
    if not having:
        others = ', '.join(tasks_in(environment, variant, environment.tasks))
        raise ValueError(
            f"--variant: '{variant}' is a variant of {others}, not of {', '.join(tasks)}"
        )
    return having


def _names(given: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in given.split(',') if name.strip())


def _cameras(given: tuple[str, ...], needed: tuple[str, ...]) -> tuple[str, ...]:
    if given and not set(needed) <= set(given):
        raise ValueError(
            f'--cameras: the policy looks at {", ".join(needed)}, got {", ".join(given)}'
        )
    return given or needed


def _run(
    console: Any, setting: Setting, attempts: Sequence[Attempt], journal: Journal, workers: int
) -> list[AttemptOutcome]:
    """The episodes of all attempts, in their order; those in the journal are not made again."""
    from dit4dit_policy.evaluation.rollouts import evaluate
    from dit4dit_policy.progress import attempts_bar

    left = [attempt for attempt in attempts if attempt not in journal.outcomes]
    with attempts_bar(console, 'succeeded') as progress:
        there = sum(journal.outcomes[a].success for a in attempts if a in journal.outcomes)
        before = len(attempts) - len(left)
        bar = progress.add_task('attempts', total=len(attempts), completed=before, done=there)
        for episode in evaluate(setting, left, min(workers, len(left))):
            journal.add(episode)
            there += episode.success
            progress.update(bar, advance=1, done=there)
    return [journal.outcomes[attempt] for attempt in attempts]


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


def refusal_reasons(episodes: Sequence[AttemptOutcome]) -> dict[str, int]:
    """Why chunks were refused, and in how many attempts it was the last reason.

    The numbers in a reason are of one chunk; the first attempt's stand for all.
    """
    said: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for episode in episodes:
        if episode.counts.get('refusals') and episode.text:
            kind = re.sub(r'(?<![\w.])-?\d+(\.\d+)?', '#', episode.text)
            counts[said.setdefault(kind, episode.text)] += 1
    return dict(counts.most_common())


def _summaries(
    episodes: Sequence[AttemptOutcome], name: Callable[[Attempt], str]
) -> dict[str, dict[str, Any]]:
    """Of the episodes of each name, in their order; none of those without one."""
    names = dict.fromkeys(name(episode.attempt) for episode in episodes)
    return {
        each: summary([episode for episode in episodes if name(episode.attempt) == each])
        for each in names
        if each
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

    several = len(result['suites']) > 1
    rows = result['suites' if several else 'tasks']
    table = success_table(
        f'{result["model_id"]} in {result["env"]}{variant}',
        [successes(name, row) for name, row in rows.items()],
        counts,
        successes('all', result),
    )
    lines = [f'checkpoint: {result["checkpoint"] or "the shipped one"}']
    lines += [f'{count} x {stage}' for stage, count in result['failures'].items()]
    lines += [f'{n} x chunks refused: {text}' for text, n in result['refusal_reasons'].items()]
    if not result['trained']:
        lines.append('UNTRAINED: the weights are random')
    table.caption = '\n'.join(lines)
    return table
