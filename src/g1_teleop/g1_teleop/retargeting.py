"""From the operator's hands to joint targets. No ROS; time is an argument [s].

A hand is moved only while its grip is pressed, and by as much as the operator's hand has moved
since: engaging never jumps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g1_description import Robot
from g1_description.kinematics import ArmKinematics, Side, UnreachableError
from g1_node.parameters import parameter
from g1_teleop.devices import SIDES, HandInput, OperatorInput

Array = NDArray[np.float64]

_ENGAGE, _RELEASE = 0.5, 0.4  # of the grip
_RETRY = 0.1  # between attempts at a pose out of reach [s]; each costs 20 ms


@dataclass(frozen=True)
class RetargetingParameters:
    """How the operator's motion becomes the robot's."""

    scale: float = parameter(
        1.0,
        minimum=0.1,
        maximum=2.0,
        description="The robot's hand moves this many times as far as the operator's.",
    )
    smoothing: float = parameter(
        0.05,
        unit='s',
        minimum=0.0,
        maximum=0.5,
        description='Time constant of the low-pass filter on targets: about the delay it adds.',
    )
    joint_velocity: float = parameter(
        1.5, unit='rad/s', minimum=0.1, maximum=5.0, description='Limit of every arm target.'
    )
    gripper_velocity: float = parameter(
        0.12, unit='m/s', minimum=0.01, maximum=1.0, description='Limit of every gripper target.'
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


class Watchdog:
    """Notices that a device has stopped sending, by the stamp of its measurements."""

    def __init__(self, stale_after: float) -> None:
        self._stale_after = stale_after
        self._stamp = 0
        self._changed: float | None = None

    def alive(self, stamp: int, now: float) -> bool:
        if stamp != self._stamp:
            self._stamp, self._changed = stamp, now
        return self.ever_alive and now - (self._changed or 0.0) <= self._stale_after

    @property
    def ever_alive(self) -> bool:
        return self._changed is not None


class Retargeting:
    """Joint targets from the operator's hands.

    Attributes:
        problems: for each hand that is engaged and not followed, why, in words.
    """

    def __init__(
        self, robot: Robot, kinematics: ArmKinematics, parameters: RetargetingParameters
    ) -> None:
        self._robot = robot
        self._parameters = parameters
        self._hands = {side: _Hand(side, kinematics, parameters) for side in SIDES}
        self._targets: Array | None = None  # (16,) as sent
        self._goal = np.zeros(16)  # (16,) before smoothing
        self._time = 0.0
        self.problems: dict[Side, str] = {}

    def release(self) -> None:
        """Opens both clutches; each closes again when its grip is released and pressed."""
        for hand in self._hands.values():
            hand.release(until_grip_opens=True)
        self._targets = None
        self.problems = {}

    def update(self, operator: OperatorInput, measured: Array, now: float) -> Array | None:
        """Targets (16,) [rad, m] in chunk order for this moment; None while no hand is engaged.

        Args:
            operator: newest measurement.
            measured: (16,) in chunk order; where motion starts when the first hand engages.
            now: [s], increasing.
        """
        engaged = [s for s in SIDES if self._hands[s].clutch(operator.hand(s))]
        if not engaged:
            self._targets = None
            self.problems = {}
            return None
        if self._targets is None:
            self._targets = np.clip(measured, self._robot.chunk_lower, self._robot.chunk_upper)
            self._goal = self._targets.copy()
            self._time = now
        for index, side in enumerate(SIDES):
            hand, given = self._hands[side], operator.hand(side)
            if side in engaged:
                self._goal[:14] = hand.follow(given, self._goal[:14], now)
                self._goal[14 + index] = self._robot.gripper_stroke * (
                    1 - np.clip(given.trigger, 0, 1)
                )
        self.problems = {s: self._hands[s].problem for s in engaged if self._hands[s].problem}
        self._targets = self._approach(self._targets, now - self._time)
        self._time = now
        return self._targets.copy()

    def _approach(self, targets: Array, dt: float) -> Array:
        """`targets` moved towards the goal for dt [s]: low-pass filter, then velocity limits."""
        p = self._parameters
        share = 1.0 if p.smoothing == 0 else 1 - np.exp(-dt / p.smoothing)
        limit = np.array([p.joint_velocity] * 14 + [p.gripper_velocity] * 2) * dt
        return targets + np.clip(share * (self._goal - targets), -limit, limit)


class _Hand:
    """Clutch and inverse kinematics of one side."""

    def __init__(
        self, side: Side, kinematics: ArmKinematics, parameters: RetargetingParameters
    ) -> None:
        self.problem = ''
        self._side = side
        self._kinematics = kinematics
        self._parameters = parameters
        self._engaged = False
        self._blocked = False  # until the grip opens
        self._last: Array | None = None  # position of the controller [m]
        self._start: tuple[Array, Array] | None = None  # poses of controller and hand when engaged
        self._retry_at = 0.0

    def release(self, until_grip_opens: bool) -> None:
        self._engaged, self._blocked = False, until_grip_opens
        self._start, self.problem = None, ''

    def clutch(self, given: HandInput) -> bool:
        """Whether the hand is engaged, from grip and tracking."""
        position = None if given.pose is None else given.pose[:3, 3]
        lost = position is None or (
            self._last is not None
            and np.linalg.norm(position - self._last) > self._parameters.tracking_jump
        )
        self._last = position
        if given.grip < _RELEASE:
            self.release(until_grip_opens=False)
        elif lost and (self._engaged or given.grip > _ENGAGE):
            self.release(until_grip_opens=True)
        elif given.grip > _ENGAGE and not self._blocked:
            self._engaged = True
        return self._engaged

    def follow(self, given: HandInput, q: Array, now: float) -> Array:
        """Arm posture (14,) that follows the controller, from q; q itself while out of reach."""
        assert given.pose is not None
        if self._start is None:
            self._start = given.pose, self._kinematics.forward(q)[self._side]
            self._retry_at = now
        if now < self._retry_at:
            return q
        try:
            q = self._kinematics.inverse(self._side, self._target(given.pose), q)
        except UnreachableError as error:
            self.problem = str(error)
            self._retry_at = now + _RETRY
        else:
            self.problem = ''
        return q

    def _target(self, pose: Array) -> Array:
        assert self._start is not None
        controller, hand = self._start
        target = np.eye(4)
        target[:3, :3] = pose[:3, :3] @ controller[:3, :3].T @ hand[:3, :3]
        target[:3, 3] = hand[:3, 3] + self._parameters.scale * (pose[:3, 3] - controller[:3, 3])
        return target
