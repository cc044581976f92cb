"""A controller on a robot that follows perfectly, without ROS, and motions to give it."""

from dataclasses import dataclass, field

import numpy as np

from g1_control.answers import Command
from g1_control.chunk_buffer import Chunk
from g1_control.control_parameters import ControlParameters
from g1_control.controller import Controller
from g1_control.safety import Mode, simulated_safety
from g1_control.unitree import ARM_MOTORS
from g1_description import load_robot

ROBOT = load_robot()
SAFETY = simulated_safety()
PERIOD = 0.004
STEP = 0.1
TIMES = np.arange(16) * STEP
VELOCITY = np.array(SAFETY.arm_velocity * 2 + [SAFETY.gripper_velocity] * 2)
#: Both arms alike, away from the body.
OUTWARD = np.array([1.0] * 7 + [1.0, -1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
ACCELERATION = np.array(SAFETY.arm_acceleration * 2 + [SAFETY.gripper_acceleration] * 2)
JERK = np.array([SAFETY.arm_jerk] * 14 + [SAFETY.gripper_jerk] * 2)


class Weightless:
    def gravity(self, q):
        return np.zeros(len(q))


@dataclass
class Bench:
    """A controller on a robot that follows perfectly, at 250 Hz."""

    time: float = 100.0
    pose: np.ndarray = field(default_factory=ROBOT.home.copy)
    seen: bool = True
    follows: bool = True
    facts: dict = field(default_factory=dict)

    def __post_init__(self):
        self.controller = Controller(ControlParameters(), SAFETY, ROBOT, Weightless())
        self.times: list[float] = []
        self.commands: list[Command] = []

    def run(self, duration, until=lambda status: False):
        for _ in range(round(duration / PERIOD)):
            self.time += PERIOD
            if self.seen:
                q = np.zeros(29)
                q[ARM_MOTORS] = self.pose[:14]
                self.controller.observe(q, 0 * q, self.pose[14:], self.time, **self.facts)
            command = self.controller.cycle(self.time)
            self.times.append(self.time)
            self.commands.append(command)
            if command.weight > 0 and self.follows:
                self.pose = np.concatenate((command.q, command.gripper))
            if until(self.status):
                return

    def armed(self):
        self.run(0.1)
        assert self.controller.arm(self.time) == (True, 'arming, takes 1.5 s')
        self.run(2.0, until=lambda status: status.mode is Mode.HOLD)
        assert self.status.mode is Mode.HOLD
        return self

    def send(self, motion, latency=0.0, **changes):
        """A chunk of `motion(time) -> (16,)`, stamped `latency` ago. Says whether it was taken."""
        stamp = self.time - latency
        values = {
            'stamp': stamp,
            'names': ROBOT.action_joints,
            'times': TIMES,
            'positions': np.array([motion(stamp + t) for t in TIMES]),
        }
        answer = self.controller.receive_chunk(Chunk(**{**values, **changes}), self.time)
        return answer.accepted

    @property
    def status(self):
        return self.controller.status

    @property
    def positions(self):
        return np.array([np.concatenate((c.q, c.gripper)) for c in self.commands])


def bump(start, height=0.5, duration=1.2):
    """A minimum-jerk move of the arms outward by `height` rad, grippers closing."""

    def motion(time):
        s = np.clip((time - start) / duration, 0, 1)
        share = 10 * s**3 - 15 * s**4 + 6 * s**5
        return ROBOT.home + share * np.append(height * OUTWARD, [-0.03] * 2)

    return motion


def still(_time):
    return ROBOT.home
