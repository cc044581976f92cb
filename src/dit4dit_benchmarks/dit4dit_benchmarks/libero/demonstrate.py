"""Demonstrations of LIBERO's tasks by a scripted expert, as LeRobot datasets, one a task.

python -m dit4dit_benchmarks.libero.demonstrate libero_spatial-0 libero_object-8 --out data/libero

They are recorded through the protocol that policies are evaluated by: its pictures, state, actions
and rate. They begin in the first half of the initial states: the others are for evaluation.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from dit4dit_benchmarks.libero.environment import simulator, suite_and_number
from dit4dit_benchmarks.libero.expert import Disturbance, PickAndPlaceExpert
from dit4dit_benchmarks.libero.protocol import CAMERAS, INIT_STATES, RESOLUTION, SUITES
from dit4dit_benchmarks.process import Simulator
from g1_data import DatasetWriter, Schema
from g1_description import load_embodiment

#: Initial states of demonstrations; those from here on are for evaluation.
TAUGHT = INIT_STATES // 2
_LONGEST = 130  # steps; who takes longer shows how not to


@dataclass
class LiberoDemonstration:
    """What was seen and what the expert wanted then, step by step, until the task was done."""

    instruction: str
    seen: list[dict[str, Any]] = field(default_factory=list)
    actions: list[NDArray[np.float64]] = field(default_factory=list)


def demonstrate(
    simulator: Simulator, suite: str, task: int, init_state: int, rng: np.random.Generator
) -> LiberoDemonstration | None:
    """One attempt of the expert, whose arm is disturbed; None where it fails."""
    seen = simulator.call('reset', suite=suite, task=task, init_state=init_state)
    thing, place = simulator.call('goal')
    expert, disturbance = PickAndPlaceExpert(thing, place, rng), Disturbance(rng)
    made = LiberoDemonstration(seen['instruction'])
    for _ in range(_LONGEST):
        action = expert.act(seen['state'], simulator.call('scene'))
        made.seen.append(seen)
        made.actions.append(action)
        done = action if expert.grasping else disturbance.on(action)
        seen = simulator.call('step', chunk=done[None])
        if seen['done']:
            return made if seen['success'] else None
    return None


def record(
    simulator: Simulator, task: str, init_states: Sequence[int], rounds: int, out: Path
) -> tuple[int, int]:
    """Attempts from each initial state, in each round with other disturbances; a dataset at `out`.

    Returns how many there were and how many of them succeeded, which are recorded.
    """
    suite, number = suite_and_number(task)
    schema = Schema.of(
        load_embodiment('libero_panda'), dict.fromkeys(CAMERAS, (RESOLUTION, RESOLUTION))
    )
    attempts = [(each, state) for each in range(rounds) for state in init_states]
    recorded = 0
    with DatasetWriter.create(out, schema) as writer:
        if writer.total_episodes:
            raise ValueError(f'{out} has {writer.total_episodes} episodes; choose another folder')
        for each, state in track(attempts, task):
            rng = np.random.default_rng((each, [*SUITES].index(suite), number, state))
            made = demonstrate(simulator, suite, number, state, rng)
            if made is None:
                continue
            with writer.episode(made.instruction) as episode:
                for seen, action in zip(made.seen, made.actions, strict=True):
                    episode.add(seen['state'], action, seen['images'])
            recorded += 1
    return len(attempts), recorded


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 2 for what cannot be asked for."""
    parser = argparse.ArgumentParser(prog='python -m dit4dit_benchmarks.libero.demonstrate')
    parser.add_argument('tasks', nargs='+', metavar='TASK', help='as libero_spatial-0')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='gets a folder each')
    parser.add_argument(
        '--init-states',
        type=int,
        default=TAUGHT,
        metavar='N',
        help='the first N of 50 (%(default)s)',
    )
    parser.add_argument(
        '--rounds',
        type=int,
        default=2,
        metavar='K',
        help='attempts from each (default: %(default)s)',
    )
    given = parser.parse_args(arguments)
    try:
        for task in given.tasks:
            suite_and_number(task)
        if not 0 < given.init_states <= INIT_STATES:
            raise ValueError(f'--init-states: expected 1 to {INIT_STATES}, got {given.init_states}')
        if given.rounds < 1:
            raise ValueError(f'--rounds: expected at least 1, got {given.rounds}')
        simulation = simulator()()
        try:
            for task in given.tasks:
                out = given.out / task
                made = record(simulation, task, range(given.init_states), given.rounds, out)
                print(f'{out}: {made[1]} demonstrations, of {made[0]} attempts')
        finally:
            simulation.close()
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
