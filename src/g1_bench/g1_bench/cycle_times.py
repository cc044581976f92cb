"""What a cycle of control costs of a processor, by what is asked of the arms. No ROS."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from g1_bench.following_robot import FollowingRobot
from g1_control.safety import Reason, simulated_safety

Array = NDArray[np.float64]

_RUNS, _CHUNKS = 15, 10  # of each kind of motion; chunks a run
_REPEATS = 3  # of each run, the same to the last bit
_TIMES = np.arange(16) * 0.1  # [s] of a chunk's targets
_MARGIN = (Reason.SELF_COLLISION, Reason.WORKSPACE)
#: Each arm's joints towards the other arm and the body.
_INWARD = np.array([0, 0, -1, 0.5, 0, 0, -1, 0, 0, 1, 0.5, 0, 0, 1, 0, 0])


class CycleTimes(TypedDict):
    """CPU time of a cycle [ms], of so many; slides: share of them along a margin."""

    p50_ms: float
    p99_ms: float
    p999_ms: float
    cycles: int
    slides: float


#: A chunk from where the robot is: its targets (16, 16), its latency [s], and for how long [s].
Motion = Callable[[np.random.Generator, Array, Array], tuple[Array, float, float]]


def cycle_times(runs: int = _RUNS) -> dict[str, CycleTimes]:
    """Of each kind of motion, in the simulated robot's world, by this thread's CPU time.

    A cycle counts as long as the shortest of three equal runs has it: what else the computer does
    makes it longer, by its caches. Garbage is collected between the runs, as control_node does it
    between cycles. The default takes about a minute.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return {name: _of(motion, runs) for name, motion in MOTIONS.items()}
    finally:
        if collecting:
            gc.enable()


def _of(motion: Motion, runs: int) -> CycleTimes:
    costs: list[Array] = []
    slides: list[bool] = []
    for seed in range(runs):
        repeats = [_run(motion, seed) for _ in range(_REPEATS)]
        costs.append(np.min([cost for cost, _ in repeats], axis=0))
        slides += repeats[0][1]
        gc.collect()
    milliseconds = np.concatenate(costs) * 1e3
    p50, p99, p999 = (round(float(p), 3) for p in np.percentile(milliseconds, (50, 99, 99.9)))
    share = round(float(np.mean(slides)), 3)
    return CycleTimes(p50_ms=p50, p99_ms=p99, p999_ms=p999, cycles=len(milliseconds), slides=share)


def _run(motion: Motion, seed: int) -> tuple[list[float], list[bool]]:
    """Costs [s] of its cycles, and whether they go along a margin."""
    random, robot = np.random.default_rng(seed), FollowingRobot(simulated_safety())
    home = robot.pose
    robot.arm()
    robot.costs.clear()
    slides = []
    for _ in range(_CHUNKS):
        targets, latency, seconds = motion(random, robot.pose, home)
        robot.send(_TIMES, targets, latency)
        for _ in range(round(seconds / robot.period)):
            robot.cycle()
            slides.append(robot.controller.reason in _MARGIN)
    return robot.costs, slides


def _about_home(spread: float) -> Motion:
    """A second of the way to a posture within `spread` [rad] of home, begun and ended gently."""

    def motion(random: np.random.Generator, here: Array, home: Array) -> tuple[Array, float, float]:
        goal = home + np.append(random.uniform(-spread, spread, 14), (0.0, 0.0))
        share = (_TIMES / _TIMES[-1])[:, None]
        return here + 0.6 * share**2 * (3 - 2 * share) * (goal - here), 0.0, 1.0

    return motion


def _into_the_body(
    random: np.random.Generator, here: Array, _home: Array
) -> tuple[Array, float, float]:
    """Anywhere, mostly towards each other and the body, at any speed, soon taken back."""
    goal = here + random.normal(0.0, 0.5, 16) + 0.3 * _INWARD
    way = (_TIMES / _TIMES[-1])[:, None] ** random.uniform(0.5, 2.0)
    return here + way * (goal - here), random.uniform(0.0, 0.3), random.uniform(0.1, 1.0)


MOTIONS: dict[str, Motion] = {
    'usual motion': _about_home(0.35),
    'wide motion, at walls': _about_home(1.2),
    'harsh motion, into the body': _into_the_body,
}
