"""A controller at work on a robot that does at once as it is told, without ROS."""

from __future__ import annotations

import time

import numpy as np
import pinocchio
from numpy.typing import ArrayLike

from g1_control.answers import ChunkAnswer, Command
from g1_control.chunk_buffer import Chunk
from g1_control.control_parameters import ControlParameters
from g1_control.controller import Controller
from g1_control.safety import Mode, SafetyParameters
from g1_control.unitree import ARM_MOTORS, MOTORS
from g1_description import load_robot
from g1_description.kinematics import ArmKinematics, arm_model
from g1_ros.config import config_path
from g1_ros.parameters import load

_ARMS = 14


class FollowingRobot:
    """A robot at home and its controller, by config/control.yaml.

    pose: (16,) where it is [rad, m]; time: of the last cycle [s]; costs: CPU time of every cycle
    since, with the state that it begins with [s].
    """

    def __init__(self, safety: SafetyParameters) -> None:
        parameters = load(ControlParameters, config_path('control.yaml'))
        robot = load_robot()
        self.controller = Controller(parameters, safety, robot, ArmKinematics())
        self.period = 1 / parameters.rate
        self.pose, self.time = robot.home.copy(), 0.0
        self.costs: list[float] = []
        self._names, self._model = robot.action_joints, arm_model()
        self._data = self._model.createData()
        self._measured = np.zeros((3, MOTORS))  # position, velocity, torque

    def arm(self) -> None:
        """Until the weight is 1. RuntimeError says why it is not."""
        self.cycle()
        done, text = self.controller.arm(self.time)
        while self.controller.mode is Mode.ARMING:
            self.cycle()
        if self.controller.mode is not Mode.HOLD:
            raise RuntimeError(
                f'the controller did not arm: {self.controller.status if done else text}'
            )

    def send(self, times: ArrayLike, positions: ArrayLike, latency: float = 0.0) -> ChunkAnswer:
        """A chunk stamped `latency` ago [s], with its targets (K, 16) at times (K,) after that."""
        stamp = self.time - latency
        chunk = Chunk(stamp, self._names, np.asarray(times), np.asarray(positions))
        return self.controller.receive_chunk(chunk, self.time)

    def cycle(self) -> Command:
        """A state of the robot, and the command that it then follows."""
        q, dq, tau = self._measured
        q[ARM_MOTORS] = self.pose[:_ARMS]
        self.time += self.period
        began = time.thread_time()
        self.controller.observe(q, dq, self.pose[_ARMS:], self.time, torque=tau)
        command = self.controller.cycle(self.time)
        self.costs.append(time.thread_time() - began)
        if self.controller.mode is not Mode.DISARMED:
            acceleration = (command.dq - dq[ARM_MOTORS]) / self.period
            self.pose = np.concatenate((command.q, command.gripper))
            dq[ARM_MOTORS] = command.dq
            tau[ARM_MOTORS] = pinocchio.rnea(
                self._model, self._data, command.q, command.dq, acceleration
            )
        return command
