"""Where the hands are, how to get them somewhere, and what holds the arms up: pinocchio and pink."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pink
import pinocchio
from numpy.typing import ArrayLike, NDArray

from g1_description.models import SIDES, urdf
from g1_description.robot import load_robot

Side = Literal['left', 'right']
Array = NDArray[np.float64]

POSITION_TOLERANCE = 1e-3  # [m]
ORIENTATION_TOLERANCE = 1e-2  # [rad]
_ITERATIONS = 100
_SHOULDER_ROLL = 0.05  # [rad] outward
# Of all postures that put the hand where it should be, the one nearest to this: elbow out, the forearm clear of the trunk when the
# hand reaches across. Right arm; the left one mirrors it [rad].
_ELBOW_OUT = np.array([-0.3, -1.0, 0.5, 0.3, 0.5, 0.3, -0.3])
_MIRROR = np.array([1.0, -1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
_POSTURE_COST = 1e-3  # per rad, against 1 per m and 0.3 per rad of the hand's error


class UnreachableError(ValueError):
    """A hand pose that inverse kinematics did not reach; `position` [m] and `orientation` [rad] are what is left."""

    def __init__(self, side: Side, target: Array, position: float, orientation: float) -> None:
        self.position, self.orientation = position, orientation
        x, y, z = target[:3, 3]
        super().__init__(
            f'{side} hand cannot reach x {x:.3f}, y {y:.3f}, z {z:.3f} m in the pelvis frame with the orientation asked '
            f'for: {position * 1e3:.1f} mm and {orientation:.3f} rad remain, {POSITION_TOLERANCE * 1e3:g} mm and '
            f'{ORIENTATION_TOLERANCE:g} rad are allowed; move the target nearer or turn it'
        )


class ArmKinematics:
    """Both arms of the G1, the rest of the body at its home posture and the grippers half open.

    Poses are (4, 4) of the grasp frames in the pelvis frame [m]: x out of the fingers, y the closing direction. Joint vectors are
    (14,) in the order of `load_robot().arm_joints` [rad]. One object serves one thread.
    """

    def __init__(self) -> None:
        robot = load_robot()
        full = pinocchio.buildModelFromXML(urdf())
        posture = pinocchio.neutral(full)
        for joint in robot.joints:
            posture[full.joints[full.getJointId(joint.name)].idx_q] = joint.home
        for name in full.names:
            if 'gripper' in name:
                posture[full.joints[full.getJointId(name)].idx_q] = robot.gripper_stroke / 2
        self._model = _keep(full, robot.arm_joints, posture)
        self._data = self._model.createData()
        self._frames = {side: self._model.getFrameId(f'{side}_grasp') for side in SIDES}
        self._slices = {'left': slice(0, 7), 'right': slice(7, 14)}
        self._arms = {
            side: _Arm(_keep(full, robot.arm_joints[part], posture), side, robot.home[part])
            for side, part in self._slices.items()
        }
        # Nearer to the trunk than this, an upper arm touches it.
        self._arms['left'].model.lowerPositionLimit[1] = _SHOULDER_ROLL
        self._arms['right'].model.upperPositionLimit[1] = -_SHOULDER_ROLL

    def forward(self, q: ArrayLike) -> dict[str, Array]:
        """Pose of the left and of the right grasp frame at arm posture q (14,)."""
        pinocchio.forwardKinematics(self._model, self._data, _posture(q))
        return {
            side: pinocchio.updateFramePlacement(self._model, self._data, frame).homogeneous
            for side, frame in self._frames.items()
        }

    def inverse(self, side: Side, target: ArrayLike, q: ArrayLike) -> Array:
        """Arm posture (14,) within the joint limits that puts one grasp frame on `target` (4, 4); the other arm stays as in q.

        Starts at q and, if that fails, at the home posture. Raises UnreachableError with what is left of the error.
        """
        solution, pose = _posture(q).copy(), np.asarray(target, float)
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise ValueError(
                f'target: expected a finite (4, 4) pose in the pelvis frame, got {pose.shape}:\n{pose}'
            )
        if side not in self._slices:
            raise ValueError(f'side: expected left or right, got {side!r}')
        arm, part = self._arms[side], self._slices[side]
        errors = []
        for start in (solution[part], arm.home):
            found, position, orientation = arm.reach(pose, start)
            if position <= POSITION_TOLERANCE and orientation <= ORIENTATION_TOLERANCE:
                solution[part] = found
                return solution
            errors.append((position, orientation))
        raise UnreachableError(side, pose, *min(errors))

    def gravity(self, q: ArrayLike) -> Array:
        """Torques (14,) [N m] that hold the arms with their grippers still at q."""
        return pinocchio.computeGeneralizedGravity(
            self._model, self._data, np.asarray(q, float)
        ).copy()


class _Arm:
    """Inverse kinematics of one arm: a quadratic program a step, until the hand is there or no longer comes nearer."""

    def __init__(self, model: pinocchio.Model, side: Side, home: Array) -> None:
        self.home = home
        self.model = model
        self._configuration = pink.Configuration(model, model.createData(), home)
        self._hand = pink.FrameTask(
            f'{side}_grasp', position_cost=1.0, orientation_cost=0.3, lm_damping=1e-3
        )
        self._posture = pink.PostureTask(cost=_POSTURE_COST)
        self._posture.set_target(_ELBOW_OUT if side == 'right' else _MIRROR * _ELBOW_OUT)
        self._limits = [pink.limits.ConfigurationLimit(model, config_limit_gain=1.0)]

    def reach(self, target: Array, start: Array) -> tuple[Array, float, float]:
        """Posture (7,) and what is left: distance [m] and angle [rad]."""
        model = self.model
        q = np.clip(start, model.lowerPositionLimit, model.upperPositionLimit)
        self._configuration.update(q)
        self._hand.set_target(pinocchio.SE3(target))
        for _ in range(_ITERATIONS):
            velocity = pink.solve_ik(
                self._configuration,
                (self._hand, self._posture),
                dt=1.0,
                solver='daqp',
                limits=self._limits,
            )
            self._configuration.update(
                np.clip(
                    self._configuration.integrate(velocity, 1.0),
                    model.lowerPositionLimit,
                    model.upperPositionLimit,
                )
            )
            if np.abs(velocity).max() < 1e-4:
                break
        error = self._hand.compute_error(self._configuration)
        return (
            self._configuration.q.copy(),
            float(np.linalg.norm(error[:3])),
            float(np.linalg.norm(error[3:])),
        )


def _keep(model: pinocchio.Model, joints: tuple[str, ...], posture: Array) -> pinocchio.Model:
    """`model` with all but `joints` fixed at `posture`; raises when its order is not that of `joints`."""
    locked = [model.getJointId(name) for name in model.names[1:] if name not in joints]
    reduced = pinocchio.buildReducedModel(model, locked, posture)
    if tuple(reduced.names[1:]) != tuple(joints):
        raise ValueError(
            f'expected joints {", ".join(joints)} in this order, the URDF has {", ".join(reduced.names[1:])}'
        )
    return reduced


def _posture(q: ArrayLike) -> Array:
    posture = np.asarray(q, float)
    if posture.shape != (14,):
        raise ValueError(f'q: expected the 14 arm joints (14,), got shape {posture.shape}')
    return posture
