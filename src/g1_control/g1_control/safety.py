"""The last thing before the wire: which chunks are refused, how joints may go, who moves.

Pure: no ROS, time is an argument [s]. Nothing moves until somebody arms; every fault ends in
holding still or in handing the arms back to the robot. Reason codes are those of
dit4dit_msgs/SafetyStatus.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from g1_control.chunk_buffer import Chunk
from g1_control.unitree import ARM_MOTORS, SUPPORTED_MODE_MACHINES, motor_errors
from g1_description import Robot
from g1_ros.parameters import parameter

Array = NDArray[np.float64]


class Mode(IntEnum):
    """Who has the arms."""

    DISARMED = 0
    ARMING = 1
    ACTIVE = 2
    HOLD = 3
    DISARMING = 4
    ESTOP = 5


class Reason(IntEnum):
    """Why a mode was entered or a chunk refused."""

    NONE = 0
    OPERATOR = 1
    CHUNK_NOT_FINITE = 10
    CHUNK_JOINT_NAMES = 11
    CHUNK_EMPTY = 12
    CHUNK_SHAPE = 13
    CHUNK_TIMES = 14
    CHUNK_FROM_FUTURE = 15
    CHUNK_TOO_OLD = 16
    CHUNK_START_TOO_FAR = 17
    CHUNK_TOO_FAST = 18
    CHUNK_EXPIRED = 20
    POLICY_RESTARTED = 21
    LOWSTATE_STALE = 30
    LOWSTATE_LOST = 31
    TRACKING_ERROR = 32
    MOTOR_TEMPERATURE = 33
    MOTOR_ERROR = 34
    SECOND_PUBLISHER = 40
    MODE_MACHINE = 41
    ESTOP_SERVICE = 50
    ESTOP_REMOTE = 51
    GRIPPER_FAULT = 60
    DEADLINES_MISSED = 70
    SELF_COLLISION = 71


_PER_JOINT = 'shoulder pitch, roll, yaw, elbow, wrist roll, pitch, yaw'


@dataclass(frozen=True)
class SafetyParameters:
    """Every limit, age and threshold."""

    arm_velocity: list[float] = parameter(
        [2.0] * 7,
        unit='rad/s',
        minimum=0.1,
        maximum=4.0,
        description=f'Fastest command of an arm joint: {_PER_JOINT}.',
    )
    arm_acceleration: list[float] = parameter(
        [12.0] * 7,
        unit='rad/s2',
        minimum=1.0,
        maximum=40.0,
        description=f'Largest acceleration commanded: {_PER_JOINT}.',
    )
    arm_jerk: float = parameter(
        600.0,
        unit='rad/s3',
        minimum=200.0,
        maximum=5000.0,
        description='Fastest change of the acceleration commanded.',
    )
    gripper_velocity: float = parameter(
        0.25, unit='m/s', minimum=0.01, maximum=1.0, description='Fastest command of a finger.'
    )
    gripper_acceleration: float = parameter(
        4.0, unit='m/s2', minimum=0.1, maximum=20.0, description='Largest finger acceleration.'
    )
    gripper_jerk: float = parameter(
        200.0,
        unit='m/s3',
        minimum=50.0,
        maximum=5000.0,
        description="Fastest change of a finger's acceleration.",
    )
    range_margin: float = parameter(
        0.02, unit='rad', minimum=0.0, maximum=0.3, description='Kept from the end of arm ranges.'
    )
    chunk_age: float = parameter(
        1.0, unit='s', minimum=0.1, maximum=10.0, description='Oldest stamp of a usable chunk.'
    )
    chunk_lead: float = parameter(
        0.05, unit='s', minimum=0.0, maximum=1.0, description='Furthest stamp in the future.'
    )
    chunk_points: int = parameter(
        256, minimum=16, maximum=1000, description='Most targets of a chunk.'
    )
    chunk_duration: float = parameter(
        60.0, unit='s', minimum=1.0, maximum=600.0, description='Longest time of a target.'
    )
    chunk_start_distance: float = parameter(
        0.6,
        unit='rad',
        minimum=0.05,
        maximum=2.0,
        description='Furthest first usable target of an arm joint from its command.',
    )
    chunk_velocity: float = parameter(
        4.0,
        unit='rad/s',
        minimum=0.1,
        maximum=20.0,
        description='Fastest step between targets of an arm joint; less is only limited.',
    )
    lowstate_stale: float = parameter(
        0.05, unit='s', minimum=0.005, maximum=0.5, description='Age of /lowstate that holds.'
    )
    lowstate_lost: float = parameter(
        0.2, unit='s', minimum=0.02, maximum=1.0, description='Age of /lowstate that disarms.'
    )
    tracking_error: float = parameter(
        0.5, unit='rad', minimum=0.05, maximum=2.0, description='Command to measurement; holds.'
    )
    motor_temperature: float = parameter(
        80.0, unit='degC', minimum=40.0, maximum=120.0, description='Hottest arm motor; holds.'
    )
    gripper_timeout: float = parameter(
        0.5, unit='s', minimum=0.05, maximum=5.0, description="Age of a gripper's state that holds."
    )
    self_collision_margin: float = parameter(
        0.01,
        unit='m',
        minimum=0.0,
        maximum=0.1,
        description='Distance of arms and body that no motion may close below.',
    )
    control_gap: float = parameter(
        0.2,
        unit='s',
        minimum=0.05,
        maximum=1.0,
        description='Time without a control cycle after which the arms stay where they are.',
    )
    fault_patience: float = parameter(
        2.0, unit='s', minimum=0.1, maximum=30.0, description='Holding for a fault, then disarming.'
    )
    missed_deadlines: int = parameter(
        100, minimum=1, maximum=250, description='Late cycles within a second; holds.'
    )
    weight_ramp: float = parameter(
        1.5, unit='s', minimum=0.5, maximum=2.5, description='Weight from 0 to 1 and back.'
    )
    estop_ramp: float = parameter(
        0.5, unit='s', minimum=0.1, maximum=2.0, description='Weight from 1 to 0 at an e-stop.'
    )


@dataclass(frozen=True)
class Limits:
    """What may be commanded, (J,) each, and the range that targets are clamped to [rad, m; s]."""

    names: tuple[str, ...]
    arms: int
    lower: Array
    upper: Array
    velocity: Array
    acceleration: Array
    jerk: Array

    @classmethod
    def of(cls, robot: Robot, parameters: SafetyParameters) -> Limits:
        """Raises ValueError when a list of per-joint limits is not of 7 values."""
        for name in ('arm_velocity', 'arm_acceleration'):
            if len(getattr(parameters, name)) != 7:
                raise ValueError(
                    f'parameter {name}: expected 7 values ({_PER_JOINT}), '
                    f'got {getattr(parameters, name)}'
                )
        arms = len(robot.arm_joints)
        margin = np.array([parameters.range_margin] * arms + [0.0, 0.0])
        return cls(
            names=robot.action_joints,
            arms=arms,
            lower=robot.action_lower + margin,
            upper=robot.action_upper - margin,
            velocity=np.array(parameters.arm_velocity * 2 + [parameters.gripper_velocity] * 2),
            acceleration=np.array(
                parameters.arm_acceleration * 2 + [parameters.gripper_acceleration] * 2
            ),
            jerk=np.array([parameters.arm_jerk] * arms + [parameters.gripper_jerk] * 2),
        )


class ChunkRejectedError(ValueError):
    """A chunk that is not followed; `joint` is the one to blame, empty if none."""

    def __init__(self, reason: Reason, text: str, joint: str = '') -> None:
        super().__init__(text)
        self.reason, self.joint = reason, joint


def check_chunk(
    chunk: Chunk, limits: Limits, parameters: SafetyParameters, now: float
) -> tuple[Array, Array]:
    """The chunk's absolute times (K,) and its positions (K, J) as asked for, if it can be followed.

    Raises ChunkRejectedError with the reason and the joint. Positions out of range are not refused
    here: they are clamped. Nor is the distance from the present command, see `check_start`.
    """
    if tuple(chunk.names) != limits.names:
        raise _wrong_names(tuple(chunk.names), limits.names)
    if len(chunk.positions) == 0:
        raise ChunkRejectedError(Reason.CHUNK_EMPTY, 'expected at least one point, got none')
    if len(chunk.positions) > parameters.chunk_points:
        raise ChunkRejectedError(
            Reason.CHUNK_SHAPE,
            f'expected at most {parameters.chunk_points} points, got {len(chunk.positions)}',
        )
    for k, row in enumerate(chunk.positions):
        if len(row) != len(limits.names):
            raise ChunkRejectedError(
                Reason.CHUNK_SHAPE,
                f'point {k}: expected {len(limits.names)} positions, got {len(row)}',
            )
    positions, times = np.array(chunk.positions, float), np.array(chunk.times, float)
    if len(times) != len(positions):
        raise ChunkRejectedError(
            Reason.CHUNK_SHAPE, f'expected one time a point, got {len(times)} for {len(positions)}'
        )
    _check_finite(chunk.stamp, times, positions, limits)
    if times[0] < 0 or times[-1] > parameters.chunk_duration or np.any(np.diff(times) < 1e-3):
        raise ChunkRejectedError(
            Reason.CHUNK_TIMES,
            f'expected times from 0 to {parameters.chunk_duration:g} s, at least 1 ms apart, '
            'got ' + ', '.join(f'{t:g}' for t in times[:8]),
        )
    _check_age(chunk.stamp, chunk.stamp + times[-1], parameters, now)
    _check_steps(times, positions, limits, parameters)
    return chunk.stamp + times, positions


def check_start(first: Array, command: Array, limits: Limits, parameters: SafetyParameters) -> None:
    """Refuses a chunk whose first usable target (J,) is too far from the present command (J,)."""
    distance = np.abs(first - command)[: limits.arms]
    worst = int(np.argmax(distance))
    if distance[worst] > parameters.chunk_start_distance:
        raise ChunkRejectedError(
            Reason.CHUNK_START_TOO_FAR,
            f'{limits.names[worst]}: the first usable target {first[worst]:.3f} rad is '
            f'{distance[worst]:.3f} rad from the command, allowed is '
            f'{parameters.chunk_start_distance:g}',
            limits.names[worst],
        )


def _wrong_names(names: tuple[str, ...], expected: tuple[str, ...]) -> ChunkRejectedError:
    missing, unknown = set(expected) - set(names), set(names) - set(expected)
    if missing or unknown:
        joint = min(missing or unknown)
        text = '; '.join(
            f'{what}: {", ".join(sorted(joints))}'
            for what, joints in (('missing', missing), ('unknown', unknown))
            if joints
        )
    elif len(names) != len(expected):
        joint = next(name for name in names if names.count(name) > 1)
        text = f'{joint} is listed {names.count(joint)} times'
    else:
        k = next(
            k for k, pair in enumerate(zip(names, expected, strict=True)) if pair[0] != pair[1]
        )
        joint = expected[k]
        text = f'reordered: expected {joint} at place {k}, got {names[k]}'
    return ChunkRejectedError(Reason.CHUNK_JOINT_NAMES, text, joint)


def _check_finite(stamp: float, times: Array, positions: Array, limits: Limits) -> None:
    if not np.isfinite(stamp) or not np.isfinite(times).all():
        raise ChunkRejectedError(Reason.CHUNK_NOT_FINITE, 'a time is NaN or infinite')
    bad = np.argwhere(~np.isfinite(positions))
    if len(bad):
        k, joint = int(bad[0][0]), limits.names[int(bad[0][1])]
        raise ChunkRejectedError(
            Reason.CHUNK_NOT_FINITE, f'{joint}: point {k} is {positions[k, bad[0][1]]}', joint
        )


def _check_age(stamp: float, last: float, parameters: SafetyParameters, now: float) -> None:
    if stamp > now + parameters.chunk_lead:
        raise ChunkRejectedError(
            Reason.CHUNK_FROM_FUTURE,
            f'stamped {stamp - now:.3f} s in the future; are the clocks synchronised?',
        )
    if now - stamp > parameters.chunk_age or last <= now:
        raise ChunkRejectedError(
            Reason.CHUNK_TOO_OLD,
            f'stamped {now - stamp:.3f} s ago, its last target is due in {last - now:.3f} s; '
            f'usable up to {parameters.chunk_age:g} s and with targets to come',
        )


def _check_steps(
    times: Array, positions: Array, limits: Limits, parameters: SafetyParameters
) -> None:
    if len(times) < 2:
        return
    with np.errstate(over='ignore'):
        speed = np.abs(np.diff(positions, axis=0)[:, : limits.arms]) / np.diff(times)[:, None]
    k, j = np.unravel_index(int(np.argmax(speed)), speed.shape)
    if speed[k, j] > parameters.chunk_velocity:
        raise ChunkRejectedError(
            Reason.CHUNK_TOO_FAST,
            f'{limits.names[j]}: {speed[k, j]:.3g} rad/s from point {k} to {k + 1}, allowed is '
            f'{parameters.chunk_velocity:g}',
            limits.names[j],
        )


@dataclass(frozen=True)
class Measured:
    """The robot as last seen: (29,) each, in rad, rad/s and degrees C.

    gripper (2,): openings [m], NaN before the first one; gripper_age (2,): of those [s];
    gripper_fault: what is wrong with the left and right one, empty if nothing.
    """

    time: float
    q: Array
    dq: Array
    gripper: Array
    gripper_age: Array
    gripper_fault: tuple[str, str]
    temperature: Array
    errors: NDArray[np.uint32]
    mode_machine: int


@dataclass(frozen=True)
class Fault:
    """Something that stops the arms.

    They hold at first and are handed back if it lasts; or at once (`disarms`); or they hold for as
    long as it lasts (`waits`).
    """

    reason: Reason
    text: str
    disarms: bool = False
    waits: bool = False


def find_fault(
    measured: Measured | None,
    command: Array | None,
    limits: Limits,
    parameters: SafetyParameters,
    now: float,
) -> Fault | None:
    """The worst thing wrong; `command` is where the arms should be, None while unarmed."""
    if measured is None:
        return Fault(Reason.LOWSTATE_LOST, 'no /lowstate yet; is the robot on the network?', True)
    age = now - measured.time
    if age > parameters.lowstate_lost:
        return Fault(Reason.LOWSTATE_LOST, f'/lowstate is {age:.2f} s old', True)
    if measured.mode_machine not in SUPPORTED_MODE_MACHINES:
        known = ', '.join(map(str, sorted(SUPPORTED_MODE_MACHINES)))
        text = f'mode_machine is {measured.mode_machine}, a 29-DoF G1 has one of {known}'
        return Fault(Reason.MODE_MACHINE, text, True)
    if age > parameters.lowstate_stale:
        return Fault(Reason.LOWSTATE_STALE, f'/lowstate is {age * 1e3:.0f} ms old')
    return _motor_fault(measured, command, limits, parameters) or _gripper_fault(
        measured, parameters
    )


def _motor_fault(
    measured: Measured, command: Array | None, limits: Limits, parameters: SafetyParameters
) -> Fault | None:
    errors = measured.errors[ARM_MOTORS]
    if errors.any():
        joint = int(np.argmax(errors != 0))
        meaning = ', '.join(motor_errors(int(errors[joint])))
        return Fault(
            Reason.MOTOR_ERROR,
            f'{limits.names[joint]}: motor reports {errors[joint]:#x}, {meaning}',
        )
    temperature = measured.temperature[ARM_MOTORS]
    joint = int(temperature.argmax())
    if temperature[joint] > parameters.motor_temperature:
        return Fault(
            Reason.MOTOR_TEMPERATURE,
            f'{limits.names[joint]}: {temperature[joint]:.0f} degC, '
            f'allowed is {parameters.motor_temperature:g}',
        )
    if command is None:
        return None
    error = np.abs(command - measured.q[ARM_MOTORS])
    joint = int(error.argmax())
    if error[joint] > parameters.tracking_error:
        return Fault(
            Reason.TRACKING_ERROR,
            f'{limits.names[joint]}: {error[joint]:.2f} rad from its command, '
            f'allowed is {parameters.tracking_error:g}',
        )
    return None


def _gripper_fault(measured: Measured, parameters: SafetyParameters) -> Fault | None:
    for side, opening, age, fault in zip(
        ('left', 'right'),
        measured.gripper,
        measured.gripper_age,
        measured.gripper_fault,
        strict=True,
    ):
        if fault:
            text = f'{side} gripper: {fault}'
        elif not np.isfinite(opening):
            text = f"{side} gripper: no state yet; is the gripper's node running?"
        elif not age <= parameters.gripper_timeout:
            text = f"{side} gripper: its state is {age:.2f} s old; is the gripper's node running?"
        else:
            continue
        return Fault(Reason.GRIPPER_FAULT, text, waits=True)
    return None


class StateMachine:
    """Who has the arms, and how much: mode, its reason, and the weight on the wire (0 to 1)."""

    def __init__(self, parameters: SafetyParameters) -> None:
        self._parameters = parameters
        self.weight = 0.0
        self.holds = 0
        self._fault_since: float | None = None
        self._enter(Mode.DISARMED, Reason.NONE, 'nobody armed yet')

    @property
    def follows(self) -> bool:
        """Whether a good chunk is executed."""
        return self.mode in (Mode.ACTIVE, Mode.HOLD) and self._fault_since is None

    def arm(self, fault: Fault | None) -> tuple[bool, str]:
        """Starts to ramp the weight up, unless something is wrong. Says whether, and why not."""
        if self.mode is Mode.ESTOP:
            return False, 'e-stop is latched; call control/reset first'
        if self.mode is Mode.DISARMING:
            return False, f'still disarming (weight {self.weight:.2f}); try again in a moment'
        if self.mode is not Mode.DISARMED:
            return True, f'already armed, mode {self.mode.name}'
        if fault:
            return False, fault.text
        self._fault_since = None
        self._enter(Mode.ARMING, Reason.OPERATOR, 'weight ramps up')
        return True, f'arming, takes {self._parameters.weight_ramp:g} s'

    def disarm(self, reason: Reason, text: str) -> tuple[bool, str]:
        """Ramps the weight down from wherever it is."""
        if self.mode is Mode.ESTOP:
            return False, 'e-stop is latched, the weight is ramping down or 0'
        if self.mode in (Mode.DISARMED, Mode.DISARMING):
            return True, f'already {self.mode.name}'
        self._enter(Mode.DISARMING, reason, text)
        return True, f'disarming, takes {self.weight * self._parameters.weight_ramp:.1f} s'

    def estop(self, reason: Reason) -> tuple[bool, str]:
        """Latches ESTOP: the weight goes down fast."""
        if self.mode is not Mode.ESTOP:
            self._enter(Mode.ESTOP, reason, 'latched until control/reset')
        return True, 'e-stop latched; control/reset releases it'

    def reset(self) -> tuple[bool, str]:
        """Releases a latched ESTOP once the arms are handed back; DISARMED afterwards."""
        if self.mode is not Mode.ESTOP:
            return True, f'nothing to reset, mode {self.mode.name}'
        if self.weight > 0:
            return False, f'weight is still {self.weight:.2f}; try again in a moment'
        self._enter(Mode.DISARMED, Reason.OPERATOR, 'e-stop was reset')
        return True, 'reset; control/arm arms again'

    def chunk_accepted(self) -> None:
        """A good chunk is in execution."""
        self._enter(Mode.ACTIVE, Reason.NONE, 'following chunks')

    def hold(self, reason: Reason, text: str) -> None:
        """Stops following; the next good chunk goes on."""
        if self.mode is Mode.ACTIVE:
            self._hold(reason, text)

    def update(self, fault: Fault | None, moving: bool, now: float, dt: float) -> None:
        """One cycle of `dt` s; `moving` as long as a chunk has targets to come."""
        if self.mode is Mode.ARMING:
            self._update_arming(fault, now, dt)
        elif self.mode in (Mode.ACTIVE, Mode.HOLD):
            self._update_armed(fault, moving, now)
        elif self.mode is Mode.DISARMING:
            self.weight = max(0.0, self.weight - dt / self._parameters.weight_ramp)
            if self.weight == 0.0:
                self._enter(Mode.DISARMED, self.reason, self.text)
        elif self.mode is Mode.ESTOP:
            self.weight = max(0.0, self.weight - dt / self._parameters.estop_ramp)

    def _update_arming(self, fault: Fault | None, now: float, dt: float) -> None:
        if self._gives_up(fault, now):
            return
        if fault:
            self._enter(Mode.ARMING, fault.reason, f'weight waits: {fault.text}')
            return
        self.weight = min(1.0, self.weight + dt / self._parameters.weight_ramp)
        if self.weight == 1.0:
            self._enter(Mode.HOLD, Reason.NONE, 'armed, waiting for a chunk')
        else:
            self._enter(Mode.ARMING, Reason.OPERATOR, 'weight ramps up')

    def _update_armed(self, fault: Fault | None, moving: bool, now: float) -> None:
        if self._gives_up(fault, now):
            return
        if fault:
            self._hold(fault.reason, fault.text)
        elif self.mode is Mode.ACTIVE and not moving:
            self._hold(Reason.CHUNK_EXPIRED, 'the last chunk ran out')

    def _gives_up(self, fault: Fault | None, now: float) -> bool:
        """Disarms for a fault that calls for it or lasts; whether it did."""
        if fault is None:
            self._fault_since = None
            return False
        if self._fault_since is None or fault.waits:
            self._fault_since = now
        if fault.disarms or now - self._fault_since > self._parameters.fault_patience:
            self.disarm(fault.reason, fault.text)
            return True
        return False

    def _hold(self, reason: Reason, text: str) -> None:
        self.holds += self.mode is Mode.ACTIVE
        self._enter(Mode.HOLD, reason, text)

    def _enter(self, mode: Mode, reason: Reason, text: str) -> None:
        self.mode, self.reason, self.text = mode, reason, text
