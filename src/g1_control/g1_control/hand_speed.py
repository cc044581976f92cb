"""No hand goes faster than allowed [m/s]: what is asked for is shortened towards braking. No ROS.

With v* the velocities of an arm (7,) that are asked for in the next cycle, v_b those of braking and
J the Jacobian of the hand's position, v = v_b + s (v* - v_b) with the largest s from 0 to 1 for
which |J v| is allowed; where none is, that with the least |J v|. All limits of single joints hold
for v as they do for v* and v_b. A hand is its grasp point, between the fingers.
"""

from __future__ import annotations

import numpy as np
import pinocchio
from numpy.typing import NDArray

from g1_control.limiter import Limiter
from g1_description import SIDES
from g1_description.kinematics import arm_model

Array = NDArray[np.float64]

_ARM = 7  # joints of one
# The command is an average over 40 ms of what is limited here, in which the Jacobian changes.
_KEPT = 0.995  # of the speed allowed


class HandSpeed:
    """Both hands, at most `allowed` [m/s]; None for any speed. One object serves one thread."""

    def __init__(self, allowed: float | None) -> None:
        self._allowed = np.inf if allowed is None else _KEPT * allowed
        self._model = arm_model()
        self._data = self._model.createData()
        self._hands = [self._model.getFrameId(f'{side}_grasp') for side in SIDES]
        self._reach = np.concatenate([_reach(self._model, hand) for hand in self._hands])

    def limited(self, limiter: Limiter, candidate: Array) -> Array:
        """(3, J) the state to advance to instead of `candidate`, (3, J); itself where it may be."""
        arms = len(self._reach)
        most = (np.abs(candidate[1, :arms]) * self._reach).reshape(2, _ARM).sum(axis=1)
        if (most <= self._allowed).all():
            return candidate
        pinocchio.computeJointJacobians(self._model, self._data, candidate[0, :arms])
        braking, velocity = limiter.braking()[1], candidate[1].copy()
        for k, hand in enumerate(self._hands):
            part = slice(_ARM * k, _ARM * (k + 1))
            jacobian = pinocchio.getFrameJacobian(
                self._model, self._data, hand, pinocchio.LOCAL_WORLD_ALIGNED
            )[:3, part]
            least, further = braking[part], velocity[part] - braking[part]
            share = _share(jacobian @ least, jacobian @ further, self._allowed)
            velocity[part] = least + share * further
        if np.array_equal(velocity, candidate[1]):
            return candidate
        return limiter.moved(velocity)


def _share(start: Array, way: Array, allowed: float) -> float:
    """Largest s in 0 to 1 with |start + s way| <= allowed, else that with the least; (3,) each."""
    if np.linalg.norm(start + way) <= allowed:
        return 1.0
    a, b, c = way @ way, start @ way, start @ start - allowed**2
    nearest = -b / a if a > 0 else 0.0
    room = b * b - a * c
    if a > 0 and room >= 0:
        nearest += np.sqrt(room) / a
    return float(min(max(nearest, 0.0), 1.0))


def _reach(model: pinocchio.Model, hand: int) -> Array:
    """(7,) distance of the hand from each joint of its arm, stretched out: the most of J [m]."""
    frame = model.frames[hand]
    distances, joint = [], frame.parentJoint
    length = float(np.linalg.norm(frame.placement.translation))
    while joint > 0:
        distances.append(length)
        length += float(np.linalg.norm(model.jointPlacements[joint].translation))
        joint = model.parents[joint]
    return np.array(distances[::-1])
