"""Between simulation and wire: what a LowCmd asks for, and what a LowState tells. No ROS."""

from __future__ import annotations

import numpy as np

from g1_control.unitree import MOTORS, LowCmd, LowState
from g1_sim.motors import MotorCommand, Temperatures
from g1_sim.simulation import Simulation

#: A 29-DoF G1, rev 1.0.
MODE_MACHINE = 5
#: Nominal battery voltage [V].
VOLTAGE = 48.0
GRAVITY = 9.81
_IMU_TEMPERATURE = 40


def motor_command(message: LowCmd) -> MotorCommand | None:
    """The command in a LowCmd; None where the firmware would not listen: wrong CRC, NaN or Inf."""
    if not message.crc_ok:
        return None
    fields = (message.q, message.dq, message.tau, message.kp, message.kd)
    q, dq, tau, kp, kd = np.array([field[:MOTORS] for field in fields], np.float64)
    command = MotorCommand(q, dq, tau, kp, kd, message.weight)
    finite = np.isfinite((q, dq, tau, kp, kd)).all() and np.isfinite(command.weight)
    return command if finite else None


class StateWriter:
    """Fills the LowState of a simulation; the pelvis with its IMU stands still and level."""

    def __init__(self) -> None:
        self._message = LowState()
        self._temperatures = Temperatures()
        self._message.mode_machine = MODE_MACHINE
        self._message.mode[:MOTORS] = 1
        self._message.vol[:MOTORS] = VOLTAGE
        self._message.quaternion[:] = (1.0, 0.0, 0.0, 0.0)
        self._message.accelerometer[:] = (0.0, 0.0, GRAVITY)
        self._message.imu_temperature = _IMU_TEMPERATURE

    def write(self, simulation: Simulation, tick: int, duration: float) -> bytes:
        """The serialised LowState at `tick` [ms], `duration` [s] after the previous one."""
        message, torques = self._message, simulation.torques
        self._temperatures.step(torques, duration)
        message.tick = tick
        message.q[:MOTORS] = simulation.positions[:MOTORS]
        message.dq[:MOTORS] = simulation.velocities[:MOTORS]
        message.ddq[:MOTORS] = simulation.accelerations[:MOTORS]
        message.tau_est[:MOTORS] = torques
        message.temperature[:MOTORS] = self._temperatures.celsius[:, np.newaxis]
        return message.to_bytes()
