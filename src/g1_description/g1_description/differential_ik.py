"""Both arms after moving hand poses, one quadratic program a step: pink.

The step dq (14,) of a cycle of dt [s] is what minimises, over all tasks i with error e_i(q),
Jacobian J_i and weight W_i,

    sum_i |W_i (J_i dq + e_i)|^2 + mu_i |dq|^2,    mu_i = damping_i |W_i e_i|^2,

subject to q_lower <= q + dq <= q_upper, |dq| <= v dt, and, for the nearest pairs k of capsules,

    grad h_k(q) . dq / dt >= -gamma max(h_k(q), 0),    h_k = distance_k - margin.

Tasks: the pose of each hand that has a target (error in SE(3), its logarithm), and a posture for
the redundant elbow. The damping that grows with the error lets an arm that is out of reach stretch
without shaking (Levenberg-Marquardt; Sugihara, T-RO 2011). The last line is a control barrier
function (Ames et al., ECC 2019): parts come nearer ever more slowly, and slide along each other.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pink
import pinocchio
from numpy.typing import ArrayLike, NDArray
from pink.barriers import SelfCollisionBarrier
from pink.limits import ConfigurationLimit, VelocityLimit

from g1_description.capsules import Approach, capsule_models
from g1_description.kinematics import ELBOW_OUT, SHOULDER_ROLL
from g1_description.robot import SIDES, Robot, Side

Array = NDArray[np.float64]

_TURN_COST = 0.2  # per rad, against 1 per m of the hand's error
_POSTURE_COST = 0.03  # per rad; damps the motion of joints that hardly move the hand
_FAR_DAMPING = 30.0  # more of that, times the square of the weighted error of a hand
_ELBOW_PATH = 0.5  # [m] of a hand's way in which its elbow goes most of its own way out
_STRAIGHT = 1.2  # [rad] of an elbow; an arm that is stretched further bends backwards
_PAIRS = 12  # of capsules, the nearest ones, that the barrier knows
_APPROACH_RATE = 4.0  # gamma [1/s]: parts d m over the margin come nearer at 4 d m/s at most
_SLACK = 0.002  # [m] over the margin, for the barrier sees a step as straight

# Places in a joint vector (14,): seven joints of the left arm, then seven of the right one.
_ARMS: dict[Side, slice] = {'left': slice(0, 7), 'right': slice(7, 14)}
_LEFT_SHOULDER_ROLL, _RIGHT_SHOULDER_ROLL = 1, 8
_ELBOWS = [3, 10]


class NoStepError(ValueError):
    """The quadratic program of a step has no solution."""


class DifferentialIK:
    """Joint targets of both arms, step by step.

    Poses are (4, 4), of the grasp frames in the pelvis frame [m]; joint vectors (14,), in the order
    of `robot.arm_joints` [rad]. `start` before the first `step`. One object serves one thread.

    velocity: limit of every joint [rad/s]. range_margin: kept to the ends of each joint's range
    [rad]. collision_margin: kept between the capsules [m]. Where motion starts nearer than that, it
    may only lead away.
    """

    def __init__(
        self, robot: Robot, velocity: float, range_margin: float, collision_margin: float
    ) -> None:
        model, geometry = capsule_models(robot.capsules)
        self._model, self._margin, self._velocity = model.copy(), collision_margin, velocity
        self._lower = robot.action_lower[:14] + range_margin
        self._upper = robot.action_upper[:14] - range_margin
        self._lower[_LEFT_SHOULDER_ROLL] = SHOULDER_ROLL  # outward is up on the left side,
        self._upper[_RIGHT_SHOULDER_ROLL] = -SHOULDER_ROLL  # and down on the right one
        self._upper[_ELBOWS] = _STRAIGHT
        self._range = robot.action_lower[:14], robot.action_upper[:14]
        self._configuration = pink.Configuration(
            self._model,
            self._model.createData(),
            robot.home[:14],
            copy_data=False,
            collision_model=geometry,
        )
        self._hands = {
            side: pink.FrameTask(
                f'{side}_grasp',
                position_cost=1.0,
                orientation_cost=_TURN_COST,
                lm_damping=_FAR_DAMPING,
            )
            for side in SIDES
        }
        self._posture = pink.PostureTask(cost=_POSTURE_COST)
        self._speed = VelocityLimit(self._model, np.full(14, velocity))
        self._limits = (ConfigurationLimit(self._model, config_limit_gain=1.0), self._speed)
        self._barrier = SelfCollisionBarrier(
            _PAIRS,
            gain=_APPROACH_RATE,
            safe_displacement_gain=0.0,
            d_min=collision_margin + _SLACK,
        )
        self._barrier.gain_function = _inward_only
        self._pairs = [
            tuple(geometry.geometryObjects[part] for part in (pair.first, pair.second))
            for pair in geometry.collisionPairs
        ]
        self.start(robot.home[:14])

    def start(self, posture: ArrayLike) -> Array:
        """Stands at `posture` (14,), brought into the joints' range; returns that.

        A joint that is nearer to its end than the margin may stay there.
        """
        q = np.asarray(np.clip(posture, *self._range), float)
        self._model.lowerPositionLimit = np.minimum(self._lower, q)
        self._model.upperPositionLimit = np.maximum(self._upper, q)
        self._configuration.update(q)
        self._distances = self._measured()
        self._targets: dict[Side, Array] = {}
        return q

    def step(self, targets: Mapping[Side, Array], dt: float) -> Array:
        """Posture (14,) after dt [s] of moving hands towards `targets`, as near as they can come.

        An arm without a target stays exactly where it is, and an elbow while its hand stands still.
        Raises NoStepError; the posture is then as before.
        """
        q, velocity, share = self._configuration.q, np.zeros(14), np.zeros(14)
        for side, target in targets.items():
            part = _ARMS[side]
            way = np.linalg.norm(target[:3, 3] - self._targets.get(side, target)[:3, 3])
            velocity[part], share[part] = self._velocity, 1 - np.exp(-way / _ELBOW_PATH)
            self._hands[side].set_target(pinocchio.SE3(target))
        self._targets = dict(targets)
        self._posture.set_target(q + share * (ELBOW_OUT - q))
        self._speed.velocity_limit = velocity
        try:
            found = pink.solve_ik(
                self._configuration,
                [self._posture, *(self._hands[side] for side in targets)],
                dt,
                'daqp',
                limits=self._limits,
                barriers=[self._barrier],
            )
        except pink.PinkError as error:
            raise NoStepError(f'inverse kinematics: {error}') from None
        if not np.isfinite(found).all():
            raise NoStepError('inverse kinematics: the solution is not finite')
        self._go(q, np.clip(found, -velocity, velocity) * dt)
        return self._configuration.q.copy()

    def hand(self, side: Side) -> Array:
        """Pose (4, 4) of one hand."""
        frame = self._configuration.get_transform_frame_to_world(f'{side}_grasp')
        return np.asarray(frame.homogeneous)

    def error(self, side: Side) -> tuple[float, float]:
        """From one hand to its last target: distance [m] and angle [rad]."""
        error = self._hands[side].compute_error(self._configuration)
        return float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:]))

    def nearest(self, side: Side) -> Approach:
        """The part of one arm that is nearest to anything, what that is, and their distance."""
        arm = _ARMS[side]
        joints = range(1 + arm.start, 1 + arm.stop)  # of pinocchio, whose joint 0 is the world
        own = [any(part.parentJoint in joints for part in pair) for pair in self._pairs]
        index = int(np.argmin(np.where(own, self._distances, np.inf)))
        first, second = self._pairs[index]
        if first.parentJoint not in joints:
            first, second = second, first
        return Approach(first.name, second.name, float(self._distances[index]))

    def _go(self, q: Array, step: Array) -> None:
        """Takes as much of `step` from q as leaves the capsules apart by the margin."""
        before = self._distances
        for share in (1.0, 0.5, 0.25, 0.0):
            ahead = np.clip(
                q + share * step, self._model.lowerPositionLimit, self._model.upperPositionLimit
            )
            self._configuration.update(ahead)
            self._distances = self._measured()
            if (self._distances >= np.minimum(before, self._margin)).all():
                return

    def _measured(self) -> Array:
        """Distance of each pair of capsules [m]."""
        results = self._configuration.collision_data.distanceResults
        return np.array([result.min_distance for result in results])


def _inward_only(over: float) -> float:
    """A barrier's value as it counts: parts nearer than the margin are not pushed apart."""
    return max(over, 0.0)
