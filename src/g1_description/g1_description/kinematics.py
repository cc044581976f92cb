"""Where the hands are, how to get them somewhere, what holds the arms up: pinocchio and pink."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pink
import pinocchio
from numpy.typing import ArrayLike, NDArray

from g1_description.robot import SIDES, Side, load_robot
from g1_description.urdf import urdf

Array = NDArray[np.float64]

POSITION_TOLERANCE = 1e-3  # [m]
ORIENTATION_TOLERANCE = 1e-2  # [rad]
_ITERATIONS = 100
_NEWTON_STEPS, _NEWTON_DAMPING = 5, 1e-4  # of `moved`,
_ARRIVED, _FARTHEST = 3e-4, 0.35  # [m] left at which it is there; [rad] that a joint turns at most
_POSTURE_COST = 1e-3  # per rad, against 1 per m and 0.3 per rad of the hand's error

_LEFT = np.array([-0.3, 1.0, -0.5, 0.3, -0.5, 0.3, 0.3])
_MIRROR = np.array([1.0, -1.0, -1.0, 1.0, -1.0, 1.0, -1.0])  # a left arm's posture to a right one's
#: Of all postures that put the hands in place, the one nearest to this (14,) is taken: elbows out,
#: forearms clear of the trunk when a hand reaches across. [rad]
ELBOW_OUT = np.concatenate((_LEFT, _MIRROR * _LEFT))
SHOULDER_ROLL = 0.05  # [rad] outward; nearer to the trunk than this an upper arm touches it


class UnreachableError(ValueError):
    """A hand pose out of reach; what is left of the error: `position` [m], `orientation` [rad]."""

    def __init__(self, side: Side, target: Array, position: float, orientation: float) -> None:
        self.position, self.orientation = position, orientation
        x, y, z = target[:3, 3]
        super().__init__(
            f'the {side} hand cannot reach x {x:.3f}, y {y:.3f}, z {z:.3f} m (pelvis frame) in the '
            f'orientation asked for: {position * 1e3:.1f} mm and {orientation:.3f} rad remain, '
            f'{POSITION_TOLERANCE * 1e3:g} mm and {ORIENTATION_TOLERANCE:g} rad are allowed; '
            'move the target nearer or turn it'
        )


class ArmKinematics:
    """Both arms of the G1, the rest of the body at its home posture and the grippers half open.

    Poses are (4, 4), of the grasp frames in the pelvis frame [m]: x out of the fingers, y the
    closing direction. Joint vectors are (14,), in the order of `load_robot().arm_joints` [rad].
    One object serves one thread.
    """

    def __init__(self, iterations: int = _ITERATIONS) -> None:
        """iterations: of `inverse` at most, from each of its starts."""
        robot = load_robot()
        full, posture = _body()
        self._model = arm_model()
        self._data = self._model.createData()
        self._frames = {side: self._model.getFrameId(f'{side}_grasp') for side in SIDES}
        self._slices = {'left': slice(0, 7), 'right': slice(7, 14)}
        self._arms = {
            side: _Arm(
                _keep(full, robot.arm_joints[part], posture),
                side,
                robot.home[part],
                ELBOW_OUT[part],
                iterations,
            )
            for side, part in self._slices.items()
        }

    def forward(self, q: ArrayLike) -> dict[str, Array]:
        """Pose of the left and of the right grasp frame at arm posture q (14,)."""
        pinocchio.forwardKinematics(self._model, self._data, _posture(q))
        return {
            side: pinocchio.updateFramePlacement(self._model, self._data, frame).homogeneous
            for side, frame in self._frames.items()
        }

    def inverse(self, side: Side, target: ArrayLike, q: ArrayLike) -> Array:
        """Arm posture (14,) that puts one grasp frame on `target` (4, 4), the other arm as in q.

        Within the joint limits, the upper arm off the trunk and the elbow out. Starts at q and, if
        that fails, at the home posture, and in the middle of the joints' ranges. Raises
        UnreachableError with what is left of the error.
        """
        if side not in SIDES:
            raise ValueError(f'side: expected one of {", ".join(SIDES)}, got {side!r}')
        solution, pose = _posture(q).copy(), np.asarray(target, float)
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise ValueError(
                'target: expected a finite (4, 4) pose in the pelvis frame, '
                f'got shape {pose.shape}:\n{pose}'
            )
        arm, part = self._arms[side], self._slices[side]
        errors = []
        for start in (solution[part], arm.home, arm.middle):
            found, position, orientation = arm.reach(pose, start)
            if position <= POSITION_TOLERANCE and orientation <= ORIENTATION_TOLERANCE:
                solution[part] = found
                return solution
            errors.append((position, orientation))
        raise UnreachableError(side, pose, *min(errors))

    def moved(self, q: ArrayLike, offsets: ArrayLike) -> Array | None:
        """Arm posture (14,) near q, each grasp frame moved by its offset (2, 3) [m], not turned.

        A few Newton steps, for offsets of some centimetres. None where they do not get there, turn
        a joint by more than 0.35 rad or leave a range that q was in.
        """
        start, wanted = _posture(q).copy(), np.asarray(offsets, float)
        model, data = self._model, self._data
        pinocchio.forwardKinematics(model, data, start)
        goals = [
            pinocchio.updateFramePlacement(model, data, f).copy() for f in self._frames.values()
        ]
        for goal, offset in zip(goals, wanted, strict=True):
            goal.translation = goal.translation + offset
        posture = start.copy()
        for _ in range(_NEWTON_STEPS):
            pinocchio.computeJointJacobians(model, data, posture)
            step, left = np.zeros(14), 0.0
            for side, goal in zip(SIDES, goals, strict=True):
                frame, part = self._frames[side], self._slices[side]
                hand = pinocchio.updateFramePlacement(model, data, frame)
                turn = pinocchio.log3(goal.rotation @ hand.rotation.T)
                error = np.append(goal.translation - hand.translation, turn)
                left = max(left, float(np.abs(error[:3]).max()), 0.1 * float(np.abs(turn).max()))
                jacobian = pinocchio.getFrameJacobian(
                    model, data, frame, pinocchio.LOCAL_WORLD_ALIGNED
                )[:, part]
                square = jacobian @ jacobian.T + _NEWTON_DAMPING * np.eye(6)
                step[part] = jacobian.T @ np.linalg.solve(square, error)
            if left < _ARRIVED:
                break
            posture += step
        inside = (start >= model.lowerPositionLimit) & (start <= model.upperPositionLimit)
        left_range = (posture < model.lowerPositionLimit) | (posture > model.upperPositionLimit)
        far = np.abs(posture - start).max() > _FARTHEST
        return None if left > POSITION_TOLERANCE or far or (inside & left_range).any() else posture

    def gravity(self, q: ArrayLike) -> Array:
        """Torques (14,) [N m] that hold the arms with their grippers still at q."""
        torques = pinocchio.computeGeneralizedGravity(self._model, self._data, _posture(q))
        return torques.copy()  # pinocchio writes its next result into the same array


def hand_positions(names: Sequence[str], states: Array) -> Array:
    """(N, 2, 3) positions of the left and the right grasp frame in the pelvis frame [m].

    names: of the S numbers of states (N, S) [rad]; they have to have all joints of the arms.
    """
    arms = [list(names).index(joint) for joint in load_robot().arm_joints]
    model = _shared_arm_model()
    data, frames = model.createData(), [model.getFrameId(f'{side}_grasp') for side in SIDES]
    positions = np.empty((len(states), len(frames), 3))
    for row, q in zip(positions, states[:, arms].astype(float), strict=True):
        pinocchio.forwardKinematics(model, data, q)
        row[:] = [pinocchio.updateFramePlacement(model, data, f).translation for f in frames]
    return positions


def arm_model() -> pinocchio.Model:
    """Both arms (14 joints, as `load_robot().arm_joints`), the rest of the body at home.

    Frames of all links are kept, and the root is the pelvis.
    """
    full, posture = _body()
    return _keep(full, load_robot().arm_joints, posture)


@cache
def _shared_arm_model() -> pinocchio.Model:
    """For who only reads it."""
    return arm_model()


def _body() -> tuple[pinocchio.Model, Array]:
    """All joints, and the posture with the body at home and the grippers half open."""
    robot = load_robot()
    full = pinocchio.buildModelFromXML(urdf())
    posture = pinocchio.neutral(full)
    for joint in robot.joints:
        posture[full.joints[full.getJointId(joint.name)].idx_q] = joint.home
    for name in full.names:
        if 'gripper' in name:
            posture[full.joints[full.getJointId(name)].idx_q] = robot.gripper_stroke / 2
    return full, posture


class _Arm:
    """Inverse kinematics of one arm: a quadratic program a step, until the arm comes to rest."""

    def __init__(
        self, model: pinocchio.Model, side: str, home: Array, elbow_out: Array, iterations: int
    ) -> None:
        self.home, self._iterations = home, iterations
        self._lower, self._upper = model.lowerPositionLimit, model.upperPositionLimit
        if side == 'left':
            self._lower[1] = SHOULDER_ROLL
        else:
            self._upper[1] = -SHOULDER_ROLL
        model.lowerPositionLimit, model.upperPositionLimit = self._lower, self._upper
        self.middle = (self._lower + self._upper) / 2
        self._configuration = pink.Configuration(model, model.createData(), home)
        self._hand = pink.FrameTask(
            f'{side}_grasp', position_cost=1.0, orientation_cost=0.3, lm_damping=1e-3
        )
        posture = pink.PostureTask(cost=_POSTURE_COST)
        posture.set_target(elbow_out)
        self._tasks = (self._hand, posture)
        self._limits = [pink.limits.ConfigurationLimit(model, config_limit_gain=1.0)]

    def reach(self, target: Array, start: Array) -> tuple[Array, float, float]:
        """Posture (7,) and what is left: distance [m] and angle [rad]."""
        q = np.clip(start, self._lower, self._upper)
        self._configuration.update(q)
        self._hand.set_target(pinocchio.SE3(target))
        for _ in range(self._iterations):
            step = pink.solve_ik(
                self._configuration, self._tasks, dt=1.0, solver='daqp', limits=self._limits
            )
            q = np.clip(q + step, self._lower, self._upper)
            self._configuration.update(q)
            if np.abs(step).max() < 1e-4:
                break
        error = self._hand.compute_error(self._configuration)
        return q, float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:]))


def _keep(model: pinocchio.Model, joints: tuple[str, ...], posture: Array) -> pinocchio.Model:
    """`model` with all but `joints` fixed at `posture`. ValueError if it orders them otherwise."""
    locked = [model.getJointId(name) for name in model.names[1:] if name not in joints]
    reduced = pinocchio.buildReducedModel(model, locked, posture)
    if tuple(reduced.names[1:]) != tuple(joints):
        raise ValueError(
            f'expected the arm joints in the order {", ".join(joints)} (g1_aloha.yaml), '
            f'the URDF has {", ".join(reduced.names[1:])}'
        )
    return reduced


def _posture(q: ArrayLike) -> Array:
    posture = np.asarray(q, float)
    if posture.shape != (14,):
        raise ValueError(f'q: expected the 14 arm joints (14,), got shape {posture.shape}')
    return posture
