"""From the operator's hands to joint targets. No ROS; time is an argument [s].

A hand is moved only while its grip is pressed, and by as much as the operator's hand has moved
since: engaging never jumps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g1_description import Robot
from g1_description.kinematics import ArmKinematics, Side
from g1_node.parameters import parameter
from g1_teleop.devices import SIDES, HandInput, OperatorInput

Array = NDArray[np.float64]

_ENGAGE, _RELEASE = 0.5, 0.4  # of the grip
_ITERATIONS = 3  # of inverse kinematics a call; what is left is done in the next
_DAMPING = 0.03  # of its steps [m, and 0.3 m per rad]: keeps them small where an arm is stretched
_TURN = 0.3  # how many metres of error a radian counts as
_DIFFERENCE = 1e-6  # of a joint for the numerical Jacobian [rad]
_STEP = 0.1  # largest of a joint in one iteration [rad]
_FAR = 0.02  # error from which the operator is told that the hand cannot follow [m, 0.3 m per rad]


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
        self._hands = {side: _Hand(side, robot, kinematics, parameters) for side in SIDES}
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
                self._goal[:14] = hand.follow(given, self._goal[:14])
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


class Plan:
    """Targets with the time each is due: `DELAY` after it was made.

    Control then knows the way ahead and follows it as it is; a lone newest target it would have to
    catch up with, again with every message.
    """

    DELAY = 0.1  # [s]

    def __init__(self) -> None:
        self._points: list[tuple[float, Array]] = []

    def clear(self) -> None:
        self._points = []

    def add(self, targets: Array, now: float) -> list[tuple[float, Array]]:
        """All points (time [s], targets (16,)) from the last one already due to `targets`."""
        if not self._points:
            self._points = [(now, targets)]
        self._points.append((now + self.DELAY, targets))
        due = sum(time <= now for time, _ in self._points)
        self._points = self._points[max(due - 1, 0) :]
        return self._points


class _Hand:
    """Clutch and inverse kinematics of one side."""

    def __init__(
        self, side: Side, robot: Robot, kinematics: ArmKinematics, parameters: RetargetingParameters
    ) -> None:
        self.problem = ''
        self._joints = slice(0, 7) if side == 'left' else slice(7, 14)
        self._lower, self._upper = robot.chunk_lower[:14], robot.chunk_upper[:14]
        self._side = side
        self._kinematics = kinematics
        self._parameters = parameters
        self._engaged = False
        self._blocked = False  # until the grip opens
        self._last: Array | None = None  # position of the controller [m]
        self._start: tuple[Array, Array] | None = None  # poses of controller and hand when engaged

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

    def follow(self, given: HandInput, q: Array) -> Array:
        """Arm posture (14,) from q that follows the controller, as near as the arm can."""
        assert given.pose is not None
        if self._start is None:
            self._start = given.pose, self._kinematics.forward(q)[self._side]
        target = self._target(given.pose)
        for _ in range(_ITERATIONS):
            q = self._approach(target, q)
        error = float(np.linalg.norm(self._error(target, q)))
        far = f'{self._side} hand cannot follow, {error * 100:.0f} cm remain; move it back'
        self.problem = far if error > _FAR else ''
        return q

    def _approach(self, target: Array, q: Array) -> Array:
        """A damped least-squares step from q (14,), the smallest motion of the joints that helps.

        Unlike a global solution it never swings the arm over, wherever the arm is.
        """
        error = self._error(target, q)
        jacobian = np.empty((6, 7))
        for column, joint in enumerate(range(self._joints.start, self._joints.stop)):
            moved = q.copy()
            moved[joint] += _DIFFERENCE
            jacobian[:, column] = (error - self._error(target, moved)) / _DIFFERENCE
        square = jacobian @ jacobian.T + _DAMPING**2 * np.eye(6)
        step = jacobian.T @ np.linalg.solve(square, error)
        step *= min(1.0, _STEP / max(float(np.abs(step).max()), 1e-9))
        q = q.copy()
        q[self._joints] += step
        return np.clip(q, self._lower, self._upper)

    def _error(self, target: Array, q: Array) -> Array:
        """(6,) from hand to target: position [m] and, weighted, rotation vector."""
        hand = self._kinematics.forward(q)[self._side]
        turn = target[:3, :3] @ hand[:3, :3].T
        sine = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
        length = float(np.linalg.norm(sine))
        angle = np.arctan2(length, np.trace(turn) - 1)
        factor = angle / length if length > 1e-9 else 0.5
        return np.concatenate((target[:3, 3] - hand[:3, 3], _TURN * factor * sine))

    def _target(self, pose: Array) -> Array:
        assert self._start is not None
        controller, hand = self._start
        target = np.eye(4)
        target[:3, :3] = pose[:3, :3] @ controller[:3, :3].T @ hand[:3, :3]
        target[:3, 3] = hand[:3, 3] + self._parameters.scale * (pose[:3, 3] - controller[:3, 3])
        return target
