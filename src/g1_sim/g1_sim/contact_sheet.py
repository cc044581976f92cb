"""`g1 tasks`: every simulated task on one picture, from the start to success.

g1 tasks --out docs/tasks.png
g1 tasks --policy small --seed 10000 --out docs/policy.png
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from rich.console import Console
from rich.progress import track

from dit4dit_policy.evaluation.environment import Conduct
from dit4dit_policy.inference.chunk_policy import Observation
from g1_sim.expert import Expert
from g1_sim.planner import NoWayError, Planner
from g1_sim.rollout import Rollout
from g1_sim.simulation import Simulation
from g1_sim.tasks import simulated_tasks

States = list[NDArray[np.float64]]

_COLUMNS = 6
_WIDTH, _HEIGHT, _TITLE = 240, 180, 22
_TRIED = 40  # scenes, until one succeeds


def main(argv: Sequence[str]) -> int:
    """`g1 tasks --out FILE`. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog='g1 tasks',
        description='Draws the expert, or a policy, at each simulated task: a row from the head '
        'camera, and one from the side.',
    )
    parser.add_argument(
        '--policy', metavar='DIR', help='a checkpoint, or the name of a shipped one, as small'
    )
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='picture to write')
    parser.add_argument('--seed', type=int, default=20000, help='first scene (default: 20000)')
    arguments = parser.parse_args(argv)
    attempt = _by_policy(arguments.policy) if arguments.policy else _by_expert()
    rows = [
        _row(task, arguments.seed, attempt)
        for task in track(
            simulated_tasks(), 'until each task succeeds', console=Console(stderr=True)
        )
    ]
    sheet = Image.fromarray(np.concatenate(rows))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(256, dither=Image.Dither.NONE).save(arguments.out, optimize=True)
    print(f'{arguments.out}: {", ".join(simulated_tasks())}')
    return 0


def _row(task: str, seed: int, attempt: Callable[[Simulation], States]) -> NDArray[np.uint8]:
    """(H, W, 3) a title, and moments of one attempt from the head camera and from the side."""
    simulation = Simulation(task, seed)
    for scene in range(seed, seed + _TRIED):
        simulation.reset(scene)
        states = attempt(simulation)
        if states:
            break
    else:
        raise RuntimeError(f'{task}: failed in {_TRIED} scenes from seed {seed} on')
    moments = np.linspace(0, len(states) - 1, _COLUMNS).round().astype(int)
    views: dict[str, list[NDArray[np.uint8]]] = {'head': [], 'overview': []}
    for moment in moments:
        simulation.show(states[moment])
        for camera, images in views.items():
            images.append(simulation.render(camera, _WIDTH, _HEIGHT))
    simulation.close()
    title = Image.new('RGB', (_COLUMNS * _WIDTH, _TITLE), 'white')
    text = f'{task}: {simulation.instruction}  ({len(states) / 10:.0f} s)'
    ImageDraw.Draw(title).text((6, 5), text, fill='black')
    return np.concatenate([np.asarray(title), *map(np.hstack, views.values())])


def _by_expert() -> Callable[[Simulation], States]:
    planner = Planner()

    def attempt(simulation: Simulation) -> States:
        try:
            plan = planner.plan(simulation.task, simulation.scene)
            expert = Expert(plan, np.random.default_rng(0), straying=0.0)
        except NoWayError:
            return []
        return _states(simulation, expert, time_limit=expert.end + 0.5, linger=np.inf)

    return attempt


def _by_policy(checkpoint: str) -> Callable[[Simulation], States]:
    from dit4dit_policy.inference.following import Following
    from dit4dit_policy.inference.shipped import load_policy

    policy = load_policy(checkpoint)
    following = Following(policy)
    return partial(
        _states,
        act=lambda observation: following(observation)[0],
        cameras=policy.cameras,
        latency=Conduct().latency,
    )


def _states(
    simulation: Simulation, act: Callable[[Observation], NDArray[np.float64]], **options: Any
) -> States:
    """qpos (nq,) ten times a second of an attempt that succeeds; none of one that doesn't.

    options: of `Rollout`.
    """
    states: States = []
    rollout = Rollout(
        simulation, observer=lambda _: states.append(simulation.data.qpos.copy()), **options
    )
    while not rollout.done:
        rollout.step(act(rollout.observation))
    return states if rollout.success else []


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
