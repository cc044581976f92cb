"""How smooth the commands are where one chunk takes over from another. No ROS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g1_bench.following_robot import FollowingRobot
from g1_control.safety import free_safety

Array = NDArray[np.float64]

_STEPS, _STEP = 16, 0.1  # targets of a chunk, and [s] between them
_TIMES: Array = np.arange(_STEPS, dtype=np.float64) * _STEP
_MOST_DELAY = 8  # steps from a chunk's image to its arrival
_SPACING = 0.6  # [s] from one arrival to the next; its first half counts as the seam
_SPREAD = 0.02  # [rad] by which the chunks of a pair disagree
_NOISE = 0.002  # [rad] of each target


@dataclass(frozen=True)
class SeamQuality:
    """Largest change from one command to the next, any arm joint: at seams, and inside chunks.

    velocity steps in rad/s, acceleration steps in rad/s2. stops: seams at which all arm joints
    came to rest. Lost chunks were refused by the controller.
    """

    pairs: int
    seam_velocity_step: float
    inside_velocity_step: float
    seam_acceleration_step: float
    inside_acceleration_step: float
    stops: int
    lost: int


def seam_quality(pairs: int = 500, seed: int = 0) -> SeamQuality:
    """Executes pairs of random chunks that disagree, each 0 to 8 steps late, and looks at commands.

    Both chunks of a pair follow one random smooth motion, each with an offset of its own and noise
    on every target. Uses config/control.yaml and config/safety.yaml. The same seed gives the same
    numbers; 500 pairs take about 10 s.
    """
    rng, robot = np.random.default_rng(seed), FollowingRobot(free_safety())
    motion = _random_motion(robot.pose, rng)
    robot.arm()
    cycles, commands = round(_SPACING / robot.period), []
    delay, latest = 0, round(_SPACING / _STEP)
    for _ in range(pairs + 1):
        # Later than the one before by less than the time between them: in order.
        delay = int(rng.integers(min(delay + latest, _MOST_DELAY + 1)))
        latency = _STEP * delay
        robot.send(_TIMES, _targets(motion, robot.time - latency, rng), latency)
        commands += [robot.cycle().q for _ in range(cycles)]
    lost = robot.controller.status.chunks_rejected
    return _quality(np.array(commands), robot.period, cycles, lost)


def _random_motion(home: Array, rng: np.random.Generator) -> Callable[[Array], Array]:
    """Joint positions (K, 16) at times (K,): slow waves about a posture with the arms held out."""
    outward = np.array([1.0] * 7 + [1.0, -1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    centre = home + np.append(0.3 * outward, [-0.02, -0.02])
    amplitude = np.append(rng.uniform(0.02, 0.08, (3, 14)), np.full((3, 2), 0.003), axis=1)
    rate = 2 * np.pi * rng.uniform(0.1, 0.5, (3, 16))
    phase = rng.uniform(0, 2 * np.pi, (3, 16))

    def motion(times: Array) -> Array:
        waves = amplitude * np.sin(rate * times[:, None, None] + phase)
        return np.asarray(centre + waves.sum(axis=1))

    return motion


def _targets(motion: Callable[[Array], Array], stamp: float, rng: np.random.Generator) -> Array:
    positions = motion(stamp + _TIMES)
    positions[:, :14] += rng.normal(0.0, _SPREAD, 14) + rng.normal(0.0, _NOISE, (_STEPS, 14))
    return positions


def _quality(position: Array, period: float, cycles: int, lost: int) -> SeamQuality:
    """position (cycles of every chunk, 14), one chunk after the other; the first has no seam."""
    velocity = np.diff(position, axis=0, prepend=position[:1]) / period
    velocity_step = np.diff(velocity, axis=0, prepend=velocity[:1])
    acceleration_step = np.diff(velocity_step, axis=0, prepend=velocity_step[:1]) / period

    def largest(values: Array) -> tuple[Array, Array]:
        """(pairs, cycles / 2) at the seam, half the time between arrivals, and after it."""
        rows = np.abs(values).max(axis=1)[cycles:].reshape(-1, cycles)
        return rows[:, : cycles // 2], rows[:, cycles // 2 :]

    return SeamQuality(
        pairs=len(position) // cycles - 1,
        seam_velocity_step=float(largest(velocity_step)[0].max()),
        inside_velocity_step=float(largest(velocity_step)[1].max()),
        seam_acceleration_step=float(largest(acceleration_step)[0].max()),
        inside_acceleration_step=float(largest(acceleration_step)[1].max()),
        stops=int((largest(velocity)[0].min(axis=1) < 1e-3).sum()),
        lost=lost,
    )
