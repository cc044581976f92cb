"""How smooth the commands are where one chunk takes over from another. No ROS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g1_control.chunk_buffer import Chunk
from g1_control.control_parameters import ControlParameters
from g1_control.controller import Controller
from g1_control.safety import Mode, free_safety
from g1_control.unitree import ARM_MOTORS, MOTORS
from g1_description import Robot, load_robot
from g1_description.kinematics import ArmKinematics
from g1_ros.config import config_path
from g1_ros.parameters import load

Array = NDArray[np.float64]

_STEPS, _STEP = 16, 0.1  # targets of a chunk, and [s] between them
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
    rng, robot = np.random.default_rng(seed), load_robot()
    parameters = load(ControlParameters, config_path('control.yaml'))
    period = 1 / parameters.rate
    controller = Controller(parameters, free_safety(), robot, ArmKinematics())
    motion = _random_motion(robot, rng)
    time = _arm(controller, robot.home, period)
    cycles, commands = round(_SPACING / period), []
    delay, latest = 0, round(_SPACING / _STEP)
    for _ in range(pairs + 1):
        # Later than the one before by less than the time between them: in order.
        delay = int(rng.integers(min(delay + latest, _MOST_DELAY + 1)))
        chunk = _chunk(motion, robot, time - _STEP * delay, rng)
        controller.receive_chunk(chunk, time)
        for _ in range(cycles):
            time += period
            commands.append(_cycle(controller, time, robot.home))
    return _quality(np.array(commands), period, cycles, controller.status.chunks_rejected)


def _random_motion(robot: Robot, rng: np.random.Generator) -> Callable[[Array], Array]:
    """Joint positions (K, 16) at times (K,): slow waves about a posture with the arms held out."""
    outward = np.array([1.0] * 7 + [1.0, -1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    centre = robot.home + np.append(0.3 * outward, [-0.02, -0.02])
    amplitude = np.append(rng.uniform(0.02, 0.08, (3, 14)), np.full((3, 2), 0.003), axis=1)
    rate = 2 * np.pi * rng.uniform(0.1, 0.5, (3, 16))
    phase = rng.uniform(0, 2 * np.pi, (3, 16))

    def motion(times: Array) -> Array:
        waves = amplitude * np.sin(rate * times[:, None, None] + phase)
        return np.asarray(centre + waves.sum(axis=1))

    return motion


def _chunk(
    motion: Callable[[Array], Array], robot: Robot, stamp: float, rng: np.random.Generator
) -> Chunk:
    times = np.arange(_STEPS, dtype=np.float64) * _STEP
    positions = motion(stamp + times)
    positions[:, :14] += rng.normal(0.0, _SPREAD, 14) + rng.normal(0.0, _NOISE, (_STEPS, 14))
    return Chunk(stamp, robot.action_joints, times, positions)


def _arm(controller: Controller, pose: Array, period: float) -> float:
    """Until the weight is 1; the time then."""
    time = 0.0
    _cycle(controller, time, pose)
    done, text = controller.arm(time)
    while controller.mode is Mode.ARMING:
        time += period
        _cycle(controller, time, pose)
    if controller.mode is not Mode.HOLD:
        raise RuntimeError(f'the controller did not arm: {text if not done else controller.status}')
    return time


def _cycle(controller: Controller, time: float, pose: Array) -> Array:
    """Arm command (14,) of a robot that follows perfectly; measured at `pose` before the first."""
    command = controller.cycle(time)
    q = np.zeros(MOTORS)
    q[ARM_MOTORS] = command.q if controller.mode is not Mode.DISARMED else pose[:14]
    controller.observe(q, np.zeros(MOTORS), pose[14:], time)
    return command.q


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
