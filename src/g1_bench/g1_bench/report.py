"""A run in numbers: what `report.json` says, from what the monitor heard."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from dit4dit_msgs.msg import SafetyStatus
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState

from g1_bench.monitor import Record
from g1_description import load_robot
from g1_fakes.command_log import read_commands
from g1_ros.conversions import JointReader
from g1_ros.stamps import nanoseconds

T = TypeVar('T')

#: The control cycle that the jitter is measured against [s].
CONTROL_PERIOD = 1 / 250
#: As everybody writes them, with the slash.
TOPICS = {
    '/lowstate': 'lowstate',
    '/joint_states': 'joint_states',
    '/camera/camera/color/image_raw': 'images',
    '/arm_sdk': 'commands',
    'policy/action_chunk': 'chunks',
}


@dataclass(frozen=True)
class DemoRun:
    """What was asked for, and from when to when the policy worked on it [ns since 1970]."""

    task: str
    seed: int
    start: int
    end: int

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.end - self.start) * 1e-9


@dataclass(frozen=True)
class JointMotion:
    """Positions (n, joints) [rad, m] and velocities (n, joints) at times (n,) [ns since 1970]."""

    names: tuple[str, ...]
    times: NDArray[np.int64]
    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]


def report(record: Record, run: DemoRun) -> dict[str, Any]:
    """The content of report.json. Seconds, rad, rad/s, Hz, as the keys say.

    Everything is counted from `run.start` to `run.end`; success is that of the end.
    """
    chunks = within(record.chunks, run)
    ages = [(arrival - nanoseconds(chunk.header.stamp)) * 1e-9 for arrival, chunk in chunks]
    times = [time for time, _ in within(record.commands, run)]
    jitter = np.abs(np.diff(times) * 1e-9 - CONTROL_PERIOD)
    sent = commanded(within(record.commands, run))
    measured = executed(within(record.joint_states, run))
    policy = record.policy[-1][1]
    factors = [factor for _, factor in within(record.real_time_factors, run)]
    return {
        'task': run.task,
        'seed': run.seed,
        'success': at(record.success, run.end, False),
        'success_time_s': success_time(record.success, run),
        'checkpoint': policy.model_id,
        'trained': policy.trained,
        'duration_s': round(run.seconds, 3),
        'real_time_factor': rounded(np.mean(factors)) if factors else None,
        'chunks': {
            'count': len(chunks),
            'rate_hz': rounded(rate([arrival for arrival, _ in chunks])),
            'observation_age_p50_s': percentile(ages, 50),
            'observation_age_p95_s': percentile(ages, 95),
            'rejected': _counted(record, run, 'chunks_rejected'),
        },
        'commands': {
            'rate_hz': rounded(rate(times)),
            'jitter_p50_s': percentile(jitter, 50),
            'jitter_p99_s': percentile(jitter, 99),
            'largest_gap_s': percentile(np.diff(times) * 1e-9, 100),
            'largest_step_rad': _largest(sent, np.diff(sent.positions, axis=0)),
            'largest_velocity_rad_s': _largest(sent, sent.velocities),
            'clamps': _counted(record, run, 'clamped'),
            'holds': _counted(record, run, 'holds'),
            'deadlines_missed': _counted(record, run, 'deadlines_missed'),
        },
        'measured': {'largest_velocity_rad_s': _largest(measured, measured.velocities)},
        'rates_hz': {
            topic: rounded(rate([time for time, *_ in within(getattr(record, name), run)]))
            for topic, name in TOPICS.items()
        },
    }


def success_time(entries: list[tuple[int, bool]], run: DemoRun) -> float | None:
    """When the task was done, if it was at the end [s since the start of the run]."""
    if not at(entries, run.end, False):
        return None
    since = next(when for when, done in reversed(entries) if done and when <= run.end)
    return rounded(max(0, since - run.start) * 1e-9)


def commanded(commands: Iterable[tuple[int, bytes]]) -> JointMotion:
    """The arms' motion (14 joints) on /arm_sdk, while it had any weight."""
    entries = list(commands)
    read = read_commands((sent * 1e-9, data) for sent, data in entries)
    held = [(sent, c) for (sent, _), c in zip(entries, read, strict=True) if c.weight > 0.0]
    return _motion(
        load_robot().arm_joints,
        [sent for sent, _ in held],
        [command.q for _, command in held],
        [command.dq for _, command in held],
    )


def executed(joint_states: Iterable[tuple[int, bytes]]) -> JointMotion:
    """The measured motion of the joints of a chunk (16), at the times of measurement."""
    reader = JointReader(load_robot().action_joints)
    times, positions, velocities = [], [], []
    for _, serialised in joint_states:
        state = deserialize_message(serialised, JointState)
        position, velocity = reader.positions(state), reader.velocities(state)
        if position is not None and velocity is not None:
            times.append(nanoseconds(state.header.stamp))
            positions.append(position)
            velocities.append(velocity)
    return _motion(reader.names, times, positions, velocities)


def within(entries: Iterable[Any], run: DemoRun) -> list[Any]:
    """Those of the entries whose time, their first member, lies in the run."""
    return [entry for entry in entries if run.start <= entry[0] <= run.end]


def at(entries: list[tuple[int, T]], time: int, otherwise: T) -> T:
    """The newest of the entries at `time` [ns]."""
    return next((value for when, value in reversed(entries) if when <= time), otherwise)


def rate(times: list[int]) -> float:
    """Events per second, from their times [ns]."""
    if len(times) < 2 or times[-1] <= times[0]:
        return 0.0
    return (len(times) - 1) / ((times[-1] - times[0]) * 1e-9)


def percentile(values: Any, percent: float) -> float | None:
    """Four digits of it; None of nothing."""
    return rounded(np.percentile(values, percent)) if len(values) else None


def rounded(value: Any) -> float:
    """Four digits: more is noise."""
    return float(f'{float(value):.4g}')


def _counted(record: Record, run: DemoRun, counter: str) -> int:
    """How far a counter of SafetyStatus went up in the run."""
    before, after = (
        getattr(at(record.safety, time, SafetyStatus()), counter) for time in (run.start, run.end)
    )
    return after - before


def _largest(motion: JointMotion, values: NDArray[np.float64]) -> dict[str, Any]:
    """The largest of values (n, joints) without their sign, and its joint; arm joints only."""
    values = np.abs(values[:, : len(load_robot().arm_joints)])
    if not values.size:
        return {'value': 0.0, 'joint': ''}
    _, joint = np.unravel_index(values.argmax(), values.shape)
    return {'value': rounded(values.max()), 'joint': motion.names[joint]}


def _motion(
    names: tuple[str, ...], times: list[int], positions: Any, velocities: Any
) -> JointMotion:
    shape = (len(times), len(names))
    return JointMotion(
        names,
        np.array(times, np.int64),
        np.array(positions, np.float64).reshape(shape),
        np.array(velocities, np.float64).reshape(shape),
    )
