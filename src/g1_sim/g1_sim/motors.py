"""The motor law of the G1's firmware: what torque a motor makes of a command.

Every motor does PD with the commanded gains, tau + kp (q_des - q) + kd (dq_des - dq), limited to
its effort. The arms listen to /arm_sdk in the share given by its weight and to the robot's built-in
posture in the rest; legs and waist belong to the built-in controller always. (Unitree SDK2,
`g1_arm7_sdk_dds_example`: motor_cmd[29].q is the weight.)
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from g1_control.unitree import ARM_MOTORS, MOTORS

_AMBIENT = 30.0  # [deg C]
_HEATING = 0.02  # [deg C / s] for each (N m)^2: holding 5 N m settles 15 deg C above the ambient
_COOLING = 1.0 / 30.0  # [1 / s]


def _zeros() -> NDArray[np.float64]:
    return np.zeros(MOTORS)


@dataclass
class MotorCommand:
    """What /arm_sdk asks of the motors: (29,) each, motor order, SI units; weight 0 to 1."""

    q: NDArray[np.float64] = field(default_factory=_zeros)
    dq: NDArray[np.float64] = field(default_factory=_zeros)
    tau: NDArray[np.float64] = field(default_factory=_zeros)
    kp: NDArray[np.float64] = field(default_factory=_zeros)
    kd: NDArray[np.float64] = field(default_factory=_zeros)
    weight: float = 0.0


@dataclass(frozen=True)
class Drive:
    """The law with a command filled in: feedforward - kp q - kd dq before the limit; (29,) each."""

    feedforward: NDArray[np.float64]
    kp: NDArray[np.float64]
    kd: NDArray[np.float64]


class MotorLaw:
    """Blends commands with the built-in controller: its posture [rad] and gains; (29,) each."""

    def __init__(
        self, posture: NDArray[np.float64], kp: NDArray[np.float64], kd: NDArray[np.float64]
    ) -> None:
        for name, values in (('posture', posture), ('kp', kp), ('kd', kd)):
            if values.shape != (MOTORS,):
                raise ValueError(f'{name}: expected shape ({MOTORS},), got {values.shape}')
        self._kp, self._kd = kp, kd
        self._feedforward = kp * posture

    def drive(self, command: MotorCommand) -> Drive:
        """What the motors do under `command` until the next one."""
        share = np.zeros(MOTORS)
        share[ARM_MOTORS] = np.clip(command.weight, 0.0, 1.0)
        rest = 1.0 - share
        asked = command.tau + command.kp * command.q + command.kd * command.dq
        return Drive(
            feedforward=share * asked + rest * self._feedforward,
            kp=share * command.kp + rest * self._kp,
            kd=share * command.kd + rest * self._kd,
        )


class Temperatures:
    """Winding temperatures: heated by the torque squared, cooling towards the ambient."""

    def __init__(self) -> None:
        self.celsius = np.full(MOTORS, _AMBIENT)

    def step(self, torques: NDArray[np.float64], duration: float) -> None:
        """Lets `duration` [s] pass under `torques` (29,) [N m]."""
        self.celsius += duration * (_HEATING * torques**2 - _COOLING * (self.celsius - _AMBIENT))
