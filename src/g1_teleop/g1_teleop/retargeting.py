"""From the operator's hands to joint targets. No ROS; time is an argument [s].

A hand is moved only while its grip is pressed, and by as much as the operator's hand has moved
since: engaging never jumps. From a pose to the command that carries it pass `filter_delay` and
`lookahead`, 0.1 s as shipped: half of it to take the noise from the hands, half for messages on
their way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g1_description import SIDES, Robot, Side
from g1_description.differential_ik import DifferentialIK, NoStepError
from g1_ros.operator import HandInput, OperatorInput
from g1_ros.parameters import parameter
from g1_teleop.pose_filter import MeasurementTime, PoseFilter

Array = NDArray[np.float64]

_ENGAGE, _RELEASE = 0.5, 0.4  # of the grip
_LONGEST_STEP = 0.05  # [s]; after a longer pause the robot lags rather than hurries
_FAR, _TURNED = 0.02, 0.15  # [m], [rad]: from here on a hand does not follow,
_PATIENCE = 0.3  # and if that lasts for so long [s] the operator is told why
_TOUCHING = 0.01  # [m] over the margin: what is nearer is in the hand's way
_BRAKING = 6.0  # [rad/s2] at which control brakes arms that are taken from a policy
_CAUGHT = 0.002  # [m] a trigger asks for what its gripper is at


@dataclass(frozen=True)
class RetargetingParameters:
    """How the operator's motion becomes the robot's."""

    scale: float = parameter(
        1.0,
        minimum=0.1,
        maximum=2.0,
        description="The robot's hand moves this many times as far as the operator's.",
    )
    filter_delay: float = parameter(
        0.05,
        unit='s',
        minimum=0.01,
        maximum=0.5,
        description="Delay of the filter that takes the tracking's noise from the hands.",
    )
    lookahead: float = parameter(
        0.05,
        unit='s',
        minimum=0.04,
        maximum=0.3,
        description='Targets are due so long after they are made: room for messages to be late.',
    )
    joint_velocity: float = parameter(
        1.5, unit='rad/s', minimum=0.1, maximum=5.0, description='Limit of every arm target.'
    )
    gripper_velocity: float = parameter(
        0.12, unit='m/s', minimum=0.01, maximum=1.0, description='Limit of every gripper target.'
    )
    range_margin: float = parameter(
        0.03,
        unit='rad',
        minimum=0.0,
        maximum=0.3,
        description="Kept to the ends of every joint's range; more than control's range_margin.",
    )
    self_collision_margin: float = parameter(
        0.015,
        unit='m',
        minimum=0.0,
        maximum=0.1,
        description="Kept between arms and body; more than control's self_collision_margin.",
    )
    stale_after: float = parameter(
        0.1,
        unit='s',
        minimum=0.03,
        maximum=1.0,
        description='Hold when the device has sent nothing new for this long.',
    )
    tracking_jump: float = parameter(
        0.1,
        unit='m',
        minimum=0.02,
        maximum=1.0,
        description='A controller that moves further between two measurements releases its clutch.',
    )


class DeviceWatchdog:
    """Notices that a device has stopped sending, by the stamp of its measurements."""

    def __init__(self, stale_after: float) -> None:
        self._stale_after = stale_after
        self._stamp = 0
        self._changed: float | None = None

    def alive(self, stamp: int, now: float) -> bool:
        """Whether there was a new measurement lately; stamp: of the newest one, now: [s]."""
        if stamp != self._stamp:
            self._stamp, self._changed = stamp, now
        return self.silence(now) <= self._stale_after

    def silence(self, now: float) -> float:
        """Since the last new measurement [s]; infinite before the first one."""
        return np.inf if self._changed is None else now - self._changed

    @property
    def ever_alive(self) -> bool:
        """Whether there was a measurement at all."""
        return self._changed is not None


def has_let_go(hand: HandInput, gripped: bool) -> bool:
    """Whether the grip is open, of a controller that has `gripped` only where that is in sight."""
    return hand.grip < _RELEASE and (hand.pose is not None or not gripped)


def resting_place(measured: Array, velocity: Array) -> Array:
    """(16,) where arms come to rest that are at `measured` (16,) with `velocity` (16,)."""
    arms = velocity[:14]
    braking = np.abs(arms).max() / _BRAKING
    return np.concatenate((measured[:14] + arms * (braking / 2), measured[14:]))


class Retargeting:
    """Joint targets from the operator's hands.

    Attributes:
        engaged: hands that are moved.
        problems: for each hand that is not followed though its grip is pressed, why, in words.
    """

    def __init__(self, robot: Robot, parameters: RetargetingParameters) -> None:
        self._robot, self._parameters = robot, parameters
        self._ik = DifferentialIK(
            robot,
            parameters.joint_velocity,
            parameters.range_margin,
            parameters.self_collision_margin,
        )
        self._hands = {side: _Hand(side, parameters) for side in SIDES}
        self._measurement_time = MeasurementTime()
        self._targets: Array | None = None  # (16,) as sent
        self._time = 0.0
        self._uncaught: dict[Side, float] = {}  # sign of what the trigger is off by, 0: not known
        self.engaged: list[Side] = []
        self.problems: dict[Side, str] = {}

    def take_over(self) -> None:
        """The hands were another's until now, who may hold something with them.

        Each gripper stays as it is until its trigger asks for what it is at.
        """
        self._uncaught = dict.fromkeys(SIDES, 0.0)

    def release(self, until_grips_open: bool = True) -> None:
        """Opens both clutches; each closes again when its grip is released and pressed.

        until_grips_open: False where a grip that is still pressed may close it at once, unless it
        has had to open since an earlier release.
        """
        for hand in self._hands.values():
            hand.release(until_grips_open or hand.blocked)
        self._targets = None
        self.engaged, self.problems = [], {}

    def update(self, operator: OperatorInput, start: Array, now: float) -> Array | None:
        """Targets (16,) [rad, m] in chunk order for this moment; None while no hand is engaged.

        They follow the hands by `filter_delay` s, as near as the arms can come; see `problems`.

        Args:
            operator: newest measurement.
            start: (16,) in chunk order; where motion starts when the first hand engages.
            now: [s], increasing.
        """
        self.engaged = [s for s in SIDES if self._hands[s].clutch(operator.hand(s))]
        self.problems = {s: hand.problem for s, hand in self._hands.items() if hand.problem}
        if not self.engaged:
            self._targets = None
            return None
        if self._targets is None:
            self._targets = np.clip(start, self._robot.action_lower, self._robot.action_upper)
            self._targets[:14] = self._ik.start(self._targets[:14])
            self._time = now
        dt = min(max(now - self._time, 0.0), _LONGEST_STEP)
        self._time = now
        taken = self._measurement_time.of(operator.stamp, now)
        poses = {
            side: self._hands[side].target(operator.hand(side), taken, now, self._ik.hand(side))
            for side in self.engaged
        }
        self._move_arms(poses, dt, now)
        for index, side in enumerate(SIDES):
            if side in self.engaged:
                self._move_gripper(side, 14 + index, operator.hand(side).trigger, dt)
        return self._targets.copy()

    def _move_arms(self, poses: dict[Side, Array], dt: float, now: float) -> None:
        assert self._targets is not None
        if dt == 0.0:
            return
        try:
            self._targets[:14] = self._ik.step(poses, dt)
        except NoStepError:
            stays = 'arms have no way to follow, they stay; release the grips and press them again'
            self.problems |= dict.fromkeys(poses, stays)
            return
        for side in poses:
            if self._hands[side].lags(self._ik.error(side), now):
                self.problems[side] = self._obstacle(side)

    def _move_gripper(self, side: Side, index: int, trigger: float, dt: float) -> None:
        assert self._targets is not None
        if np.isfinite(trigger):
            goal = self._robot.gripper_stroke * (1 - np.clip(trigger, 0, 1))
            if not self._catches(side, float(goal - self._targets[index])):
                return
            limit = self._parameters.gripper_velocity * dt
            self._targets[index] += np.clip(goal - self._targets[index], -limit, limit)

    def _catches(self, side: Side, off: float) -> bool:
        """Whether the gripper follows its trigger, which asks for `off` [m] more than it is at."""
        if side not in self._uncaught:
            return True
        before = self._uncaught[side]
        self._uncaught[side] = float(np.sign(off))
        if abs(off) < _CAUGHT or before * off < 0.0:
            del self._uncaught[side]
        return side not in self._uncaught

    def _obstacle(self, side: Side) -> str:
        """Why a hand does not come to its target. What is after a comma changes all the time."""
        distance, angle = self._ik.error(side)
        rest = f'{distance * 100:.0f} cm and {np.degrees(angle):.0f} degrees remain; move it back'
        near = self._ik.nearest(side)
        if near.distance < self._parameters.self_collision_margin + _TOUCHING:
            part, other = (_in_words(link) for link in (near.first, near.second))
            return f'{side} hand is held back: {part} is close to {other}, {rest}'
        return f'{side} hand cannot follow, {rest}'


def _in_words(link: str) -> str:
    return link.removesuffix('_link').replace('_', ' ')


class Plan:
    """Targets with the time each is due: `lookahead` s after it was made.

    Control then knows the way ahead and follows it as it is; a lone newest target it would have to
    catch up with, again with every message. It needs about 0.03 s of that for itself: its limiter
    looks ahead and the next message has to come. When messages are later than the rest it brakes.
    """

    def __init__(self, lookahead: float) -> None:
        self._lookahead = lookahead
        self._points: list[tuple[float, Array]] = []

    def clear(self) -> None:
        """Forgets all targets, before motion begins anew."""
        self._points = []

    def add(self, targets: Array, now: float) -> list[tuple[float, Array]]:
        """All points (time [s], targets (16,)) from the last one already due to `targets`."""
        if not self._points:
            self._points = [(now, targets)]
        self._points.append((now + self._lookahead, targets))
        due = sum(time <= now for time, _ in self._points)
        self._points = self._points[max(due - 1, 0) :]
        return self._points


class _Hand:
    """Clutch of one side, and where its hand is to go."""

    def __init__(self, side: Side, parameters: RetargetingParameters) -> None:
        self.problem = ''  # of the clutch
        self._side, self._parameters = side, parameters
        self._engaged = False
        self.blocked = False  # until the grip opens
        self._last: Array | None = None  # position of the controller [m]
        self._start: tuple[Array, Array] | None = None  # poses of controller and hand when engaged
        self._filter = PoseFilter(parameters.filter_delay)
        self._taken = 0.0  # time of the newest measurement [s]
        self._lags_since: float | None = None

    def release(self, until_grip_opens: bool) -> None:
        self._engaged, self.blocked = False, until_grip_opens
        self._start, self._lags_since, self.problem = None, None, ''

    def clutch(self, given: HandInput) -> bool:
        """Whether the hand is engaged, from grip and tracking."""
        fault = self._fault(given)
        if not given.grip >= _RELEASE:
            self.release(until_grip_opens=False)
        elif fault and (self._engaged or given.grip > _ENGAGE):
            if not self.blocked:
                self.release(until_grip_opens=True)
                self.problem = fault
        elif given.grip > _ENGAGE and self.blocked:
            wait = f'{self._side} hand waits; let go of its grip, then press it again'
            self.problem = self.problem or wait
        elif given.grip > _ENGAGE:
            self._engaged = True
        return self._engaged

    def target(self, given: HandInput, taken: float, now: float, hand: Array) -> Array:
        """Where the robot's hand is to be (4, 4); `hand` is where it is.

        taken: when the controller was measured [s].
        """
        assert given.pose is not None
        if self._start is None:
            self._start = given.pose, hand
            self._filter.start(given.pose, taken)
        elif taken != self._taken:
            self._filter.add(given.pose, taken)
        self._taken = taken
        pose, (controller, start) = self._filter.at(now), self._start
        target = np.eye(4)
        target[:3, :3] = pose[:3, :3] @ controller[:3, :3].T @ start[:3, :3]
        target[:3, 3] = start[:3, 3] + self._parameters.scale * (pose[:3, 3] - controller[:3, 3])
        return target

    def lags(self, error: tuple[float, float], now: float) -> bool:
        """Whether the hand has been away from its target for long; error: [m], [rad]."""
        if error[0] < _FAR and error[1] < _TURNED:
            self._lags_since = None
        elif self._lags_since is None:
            self._lags_since = now
        return self._lags_since is not None and now - self._lags_since >= _PATIENCE

    def _fault(self, given: HandInput) -> str:
        """What is wrong with the tracking of the controller, in words; empty if nothing."""
        before, self._last = self._last, None
        if given.pose is None or not np.isfinite(given.pose).all():
            return (
                f'{self._side} controller is not tracked, its hand holds; hold it in view of the '
                'headset, then press the grip again'
            )
        self._last = given.pose[:3, 3]
        distance = 0.0 if before is None else float(np.linalg.norm(self._last - before))
        if distance > self._parameters.tracking_jump:
            return (
                f'{self._side} controller jumped, by {distance * 100:.0f} cm, its hand holds; '
                'press the grip again'
            )
        return ''
