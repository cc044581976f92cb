"""How well the robot's hands follow the operator's, through retargeting and control. No ROS.

    stream = synthetic_stream(20.0)
    print(track(with_noise(stream), truth=stream))

runs in process, on a robot that does exactly what it is told: what is left is delay and error of
our own making.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pinocchio
from numpy.typing import NDArray

from g1_control.chunk_buffer import Chunk
from g1_control.control_parameters import ControlParameters
from g1_control.controller import Controller
from g1_control.safety import free_safety
from g1_control.unitree import ARM_MOTORS
from g1_description import SIDES, Side, load_robot
from g1_description.kinematics import ArmKinematics
from g1_ros.config import config_path
from g1_ros.operator import HandInput, OperatorInput
from g1_ros.parameters import load
from g1_teleop.retargeting import Plan, Retargeting, RetargetingParameters

Array = NDArray[np.float64]

_DEVICE_RATE = 90.0  # [Hz] of a PICO's measurements
_RATE = 100.0  # [Hz] of targets
_BEGIN = 100.0  # [s] on the clock of the run, first measurement
_ARMING = 2.0  # [s] before it
_LONGEST_DELAY = (
    0.4  # [s] that is looked for; the last of an engagement, whose motion is not waited for
)
_SHORTEST = 1.0  # [s] of an engagement that counts
_POSITION_NOISE, _ROTATION_NOISE = 0.5e-3, np.radians(0.2)  # of a headset's tracking [m], [rad]


@dataclass(frozen=True)
class HandTracking:
    """Time of a whole retargeting step, and where the hands are against where they are to be.

    delay_ms: from a pose to the command that carries it; errors are against the pose so long ago.
    Noise is the root mean square of the error's derivatives. not_followed: share of the time in
    which the operator is told that a hand does not follow. refused: messages, by control; stopped:
    how often control did not go on as the operator did.
    """

    seconds: float
    ik_p50_ms: float
    ik_p99_ms: float
    delay_ms: float
    position_p50_mm: float
    position_p95_mm: float
    orientation_p50_deg: float
    orientation_p95_deg: float
    velocity_noise_mm_s: float
    acceleration_noise_m_s2: float
    not_followed: float
    refused: int
    stopped: int


def synthetic_stream(seconds: float) -> list[OperatorInput]:
    """Both hands at 90 Hz, grips pressed: after a second of rest they swing and turn as at work.

    Up to 15 cm, 0.3 m/s, 20 degrees and 35 degrees a second.
    """
    return [
        OperatorInput(
            stamp=round(t * 1e9),
            left=HandInput(_swing(t, 1.0), grip=1.0, trigger=0.0),
            right=HandInput(_swing(t, -1.0), grip=1.0, trigger=0.0),
        )
        for t in np.arange(1.0, 1.0 + seconds, 1 / _DEVICE_RATE)
    ]


def with_noise(stream: Sequence[OperatorInput], seed: int = 0) -> list[OperatorInput]:
    """The stream as a headset would measure it: 0.5 mm and 0.2 degrees off on each axis."""
    rng = np.random.default_rng(seed)

    def noisy(hand: HandInput) -> HandInput:
        if hand.pose is None:
            return hand
        pose = hand.pose.copy()
        pose[:3, 3] += rng.normal(0.0, _POSITION_NOISE, 3)
        pose[:3, :3] = pose[:3, :3] @ pinocchio.exp3(rng.normal(0.0, _ROTATION_NOISE, 3))
        return replace(hand, pose=pose)

    return [replace(given, left=noisy(given.left), right=noisy(given.right)) for given in stream]


def track(
    stream: Sequence[OperatorInput],
    truth: Sequence[OperatorInput] | None = None,
    parameters: RetargetingParameters | None = None,
) -> HandTracking:
    """Plays a stream, in order of its stamps, and measures.

    truth: the same measurements without noise, if they are known. parameters: default as in
    config/teleop.yaml. A minute of stream takes about half a minute. Raises ValueError when no hand
    is engaged for a second of the stream.
    """
    run = _Run(parameters or load(RetargetingParameters, config_path('teleop.yaml')))
    run.until(_BEGIN)
    times = [_BEGIN + (given.stamp - stream[0].stamp) * 1e-9 for given in stream]
    for now in np.arange(_BEGIN, times[-1], 1 / _RATE):
        newest = bisect_right(times, now + 1e-6) - 1
        run.until(now)
        run.follow(stream[newest], now)
        run.note((truth or stream)[newest], times[newest])
    run.until(times[-1] + _LONGEST_DELAY)
    return run.measured()


class _Run:
    """Retargeting and control of one robot that does as it is told."""

    def __init__(self, parameters: RetargetingParameters) -> None:
        self._robot, self._kinematics = load_robot(), ArmKinematics()
        control = load(ControlParameters, config_path('control.yaml'))
        self._controller = Controller(control, free_safety(), self._robot, self._kinematics)
        self._period = 1 / control.rate
        self._parameters = parameters
        self._retargeting = Retargeting(self._robot, parameters)
        self._plan = Plan(parameters.lookahead)
        self._targets: Array | None = None
        self._pose = self._robot.home.copy()
        self._starts: dict[Side, tuple[Array, Array]] = {}  # of controller and hand when engaged
        self._wanted: dict[Side, list[list[tuple[float, Array]]]] = {side: [] for side in SIDES}
        self._done: list[tuple[float, Array]] = []  # time and posture (14,)
        self._durations: list[float] = []
        self._not_followed = self._stopped = 0
        self._now = _BEGIN - _ARMING

    def until(self, end: float) -> None:
        """Control's cycles until `end`."""
        while self._now + self._period <= end + 1e-9:
            self._now += self._period
            q = np.zeros(29)
            q[ARM_MOTORS] = self._pose[:14]
            self._controller.observe(q, 0 * q, self._pose[14:], self._now)
            if self._controller.status.weight == 0.0:
                self._controller.arm(self._now)
            command = self._controller.cycle(self._now)
            if command.weight > 0:
                self._pose = np.concatenate((command.q, command.gripper))
            self._done.append((self._now, self._pose[:14]))

    def follow(self, given: OperatorInput, now: float) -> None:
        """One step of retargeting, and its message to control."""
        began = time.perf_counter()
        self._targets = self._retargeting.update(given, self._pose, now)
        self._durations.append(time.perf_counter() - began)
        self._not_followed += bool(self._retargeting.problems)
        if self._targets is None:
            self._plan.clear()
            return
        points = self._plan.add(self._targets, now)
        chunk = Chunk(
            stamp=points[0][0],
            names=self._robot.action_joints,
            times=[due - points[0][0] for due, _ in points],
            positions=np.array([positions for _, positions in points]),
        )
        self._controller.receive_chunk(chunk, self._now)
        self._stopped = self._controller.status.holds

    def note(self, truth: OperatorInput, taken: float) -> None:
        """Where engaged hands were to be at `taken`, when their controllers were measured."""
        for side in SIDES:
            pose = truth.hand(side).pose
            if side not in self._retargeting.engaged or pose is None:
                self._starts.pop(side, None)
                continue
            if side not in self._starts:
                assert self._targets is not None
                self._starts[side] = pose, self._kinematics.forward(self._targets[:14])[side]
                self._wanted[side].append([])
            if not self._wanted[side][-1] or taken > self._wanted[side][-1][-1][0]:
                self._wanted[side][-1].append((taken, self._target(side, pose)))

    def measured(self) -> HandTracking:
        """Of all that was followed and noted. ValueError when that is nothing."""
        hands = [self._kinematics.forward(q) for _, q in self._done]
        pieces = [
            (
                _Path([taken for taken, _ in piece], [pose for _, pose in piece]),
                _Path([now for now, _ in self._done], [hand[side] for hand in hands]),
            )
            for side in SIDES
            for piece in self._wanted[side]
            if piece[-1][0] - piece[0][0] >= _SHORTEST
        ]
        if not pieces:
            raise ValueError(f'the stream engages no hand for {_SHORTEST:g} s: press a grip longer')
        delay = _LONGEST_DELAY / 2
        for step in (0.02, 0.001):
            near = delay + step * np.arange(-20, 21)
            delay = min(near[near >= 0], key=lambda d: float(np.mean(_errors(pieces, d)[0] ** 2)))
        distances, angles, velocities, accelerations = _errors(pieces, delay)
        ik_p50, ik_p99 = np.percentile(self._durations, (50, 99)) * 1e3
        position_p50, position_p95 = np.percentile(distances, (50, 95)) * 1e3
        orientation_p50, orientation_p95 = np.degrees(np.percentile(angles, (50, 95)))
        return HandTracking(
            seconds=len(self._durations) / _RATE,
            ik_p50_ms=round(float(ik_p50), 2),
            ik_p99_ms=round(float(ik_p99), 2),
            delay_ms=round(delay * 1e3),
            position_p50_mm=round(float(position_p50), 2),
            position_p95_mm=round(float(position_p95), 2),
            orientation_p50_deg=round(float(orientation_p50), 2),
            orientation_p95_deg=round(float(orientation_p95), 2),
            velocity_noise_mm_s=round(float(np.sqrt(np.mean(velocities**2))) * 1e3, 1),
            acceleration_noise_m_s2=round(float(np.sqrt(np.mean(accelerations**2))), 2),
            not_followed=round(self._not_followed / len(self._durations), 3),
            refused=self._controller.status.chunks_rejected,
            stopped=self._stopped,
        )

    def _target(self, side: Side, pose: Array) -> Array:
        controller, hand = self._starts[side]
        target = np.eye(4)
        target[:3, :3] = pose[:3, :3] @ controller[:3, :3].T @ hand[:3, :3]
        target[:3, 3] = hand[:3, 3] + self._parameters.scale * (pose[:3, 3] - controller[:3, 3])
        return target


class _Path:
    """Poses (4, 4) over time."""

    def __init__(self, times: Sequence[float], poses: Sequence[Array]) -> None:
        self.times = np.array(times)
        self._positions = np.array([pose[:3, 3] for pose in poses])
        turns = np.array([pinocchio.Quaternion(pose[:3, :3]).coeffs() for pose in poses])
        flips = np.cumprod(np.where(np.sum(turns[1:] * turns[:-1], axis=1) < 0, -1.0, 1.0))
        turns[1:] *= flips[:, None]
        self._turns = turns

    def at(self, times: Array) -> tuple[Array, Array]:
        """Positions (N, 3) [m] and unit quaternions (N, 4)."""
        position = [np.interp(times, self.times, column) for column in self._positions.T]
        turn = np.transpose([np.interp(times, self.times, column) for column in self._turns.T])
        return np.transpose(position), turn / np.linalg.norm(turn, axis=1, keepdims=True)


def _errors(pieces: list[tuple[_Path, _Path]], delay: float) -> list[Array]:
    """Distances [m] and angles [rad] to where hands were to be `delay` [s] before; and how fast the
    offset changes: sizes of its velocity [m/s] and acceleration [m/s2]."""
    errors: list[list[Array]] = [[], [], [], []]
    for wanted, done in pieces:
        times = np.arange(wanted.times[0], wanted.times[-1] - _LONGEST_DELAY, 1 / _RATE)
        position, turn = wanted.at(times)
        reached, turned = done.at(times + delay)
        offset = reached - position
        cosine = np.abs(np.sum(turn * turned, axis=1))
        velocity = np.diff(offset, axis=0) * _RATE
        sizes = (offset, velocity, np.diff(velocity, axis=0) * _RATE)
        distance, speed, rate = (np.linalg.norm(size, axis=1) for size in sizes)
        angle = 2 * np.arccos(np.minimum(cosine, 1.0))
        for kind, values in zip(errors, (distance, angle, speed, rate), strict=True):
            kind.append(values)
    return [np.concatenate(kind) for kind in errors]


def _swing(t: float, outward: float) -> Array:
    """Pose of a controller; outward: 1 for the left hand, -1 for the right one."""
    since = t - 2.0
    if since < 0:
        return np.eye(4)
    begin = min(since, 1.0) ** 2 * (3 - 2 * min(since, 1.0))
    position = (
        0.06 * np.sin(0.9 * since) + 0.02 * np.sin(4.1 * since) + 0.05,
        outward * (0.05 * np.sin(1.3 * since) + 0.03),
        0.05 * np.sin(0.7 * since) + 0.01 * np.sin(5.3 * since) + 0.05,
    )
    turn = np.array((0.2 * np.sin(1.1 * since), 0.25 * np.sin(0.8 * since), 0.2))
    turn *= (outward, 1.0, outward * np.sin(1.7 * since))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = pinocchio.exp3(begin * turn), begin * np.array(position)
    return pose
