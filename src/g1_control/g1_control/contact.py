"""Whether something touches an arm: torques that neither gravity nor motion explain. No ROS.

The momentum observer of De Luca and Mattone (Sensorless Robot Collision Detection and Hybrid
Force/Motion Control, ICRA 2005). With p = M(q) q' and motor torques tau,

  p' = tau + C(q, q')^T q' - g(q) + tau_ext
  r  = K (p - p_0 - integral of (tau + C^T q' - g + r))      follows tau_ext, as K / (s + K) does

so that no acceleration is needed. Friction, and what a gripper carries, is part of r: the torque
that counts as a contact has to leave room for both.
"""

from __future__ import annotations

import numpy as np
import pinocchio
from numpy.typing import NDArray

from g1_control.unitree import ARM_MOTORS
from g1_description.kinematics import arm_model

Array = NDArray[np.float64]

_GAIN = 40.0  # [1/s] K
_ROTOR = 0.01  # [kg m2] of rotor and gear at each joint, which the URDF does not have
_LONGEST_STEP = 0.02  # [s] between two states; after more the integral begins anew
_REMAINS = 1.0  # [s] for which a contact is taken to last after it was felt


class ContactObserver:
    """Torques on both arms from outside. One object serves one thread.

    allowed: (14,) torques that are no contact [N m], None to find none; patience: for which one is
    above that before it counts [s].
    """

    def __init__(self, allowed: Array | None, patience: float) -> None:
        self._allowed, self._patience = allowed, patience
        self._model = arm_model()
        self._model.armature = np.full(self._model.nv, _ROTOR)
        self._data = self._model.createData()
        #: (14,) torque from outside [N m], about 25 ms late.
        self.torque = np.zeros(self._model.nv)
        self._integral = np.zeros(self._model.nv)
        self._time = -np.inf
        self._above_since: float | None = None
        self._felt_at = -np.inf
        self._felt = (0, 0.0)  # joint and torque

    def observe(self, q: Array, dq: Array, tau: Array, now: float) -> None:
        """A state of the robot, (29,) each [rad, rad/s, N m], at a steady time `now` [s]."""
        if self._allowed is None:
            return
        q, dq, tau = q[ARM_MOTORS], dq[ARM_MOTORS], tau[ARM_MOTORS]
        model, data = self._model, self._data
        inertia = pinocchio.crba(model, data, q, pinocchio.Convention.WORLD)
        momentum = inertia @ dq
        step = now - self._time
        if not 0.0 < step < _LONGEST_STEP:
            self._integral = momentum - self.torque / _GAIN
        else:
            coriolis = pinocchio.computeCoriolisMatrix(model, data, q, dq)
            gravity = pinocchio.computeGeneralizedGravity(model, data, q)
            self._integral = self._integral + step * (tau + coriolis.T @ dq - gravity + self.torque)
            self.torque = _GAIN * (momentum - self._integral)
        self._time = now
        self._judge(now)

    def forget(self) -> None:
        """Begins anew, without torque from outside."""
        self.torque = np.zeros_like(self.torque)
        self._time, self._above_since, self._felt_at = -np.inf, None, -np.inf

    @property
    def pressing(self) -> bool:
        """Whether the torque is above what is allowed, at the last state."""
        return self._above_since is not None

    def found(self, now: float) -> tuple[int, float] | None:
        """Joint and torque [N m] of a contact that is, or was less than a second ago."""
        if now > self._felt_at + _REMAINS:
            return None
        return self._felt

    def _judge(self, now: float) -> None:
        assert self._allowed is not None
        share = np.abs(self.torque) / self._allowed
        joint = int(share.argmax())
        if share[joint] <= 1.0:
            self._above_since = None
            return
        if self._above_since is None:
            self._above_since = now
        if now >= self._above_since + self._patience:
            self._felt_at, self._felt = now, (joint, float(self.torque[joint]))
