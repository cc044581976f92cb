"""A person at the simulator between a robot that follows late and a recorder, without ROS."""

import time
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from g1_description import load_robot
from g1_ros.config import config_path
from g1_ros.operator import OperatorInput
from g1_ros.parameters import load
from g1_sim.demonstrator import Demonstrator
from g1_teleop.retargeting import Retargeting, RetargetingParameters
from g1_test_support.waiting import wait_until

ROBOT = load_robot()
STEP = 1 / 90  # [s]
LAG = 9  # steps by which the robot follows late
PATIENCE = 100.0  # [s] until something that should happen has to have happened
BUTTONS = {'start': 'A', 'save': 'B', 'discard': 'X'}


@dataclass
class World:
    """A robot that follows every target a little late, and a recorder that does what is pressed."""

    kind: type[Demonstrator] = Demonstrator
    outcome: bool = True
    stuck: bool = False
    events: list[str] = field(default_factory=list)
    inputs: list[OperatorInput] = field(default_factory=list)
    poses: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.person = self.kind('pick_and_place', BUTTONS, self._asked, lambda _: None)
        self.view = self.person.view
        self.view.measured, self.view.recording = ROBOT.home.copy(), False
        self.view.seed, self.view.scenes, self.view.goal = 7, 1, 2
        self.retargeting = Retargeting(
            ROBOT, load(RetargetingParameters, config_path('teleop.yaml'))
        )
        self._late: deque[np.ndarray] = deque([self.view.measured] * LAG, LAG)

    def _asked(self, service: str) -> None:
        self.events.append(service)
        if service == 'control/arm':
            self.view.armed = True
        else:
            self.view.seed, self.view.scenes = self.view.seed + 1, self.view.scenes + 1

    def step(self) -> None:
        self.person.step(STEP)
        now = 1.0 + len(self.inputs) * STEP
        given = self.person.input(round(now * 1e9))
        before = self.inputs[-1].buttons if self.inputs else frozenset()
        for button in given.buttons - before:
            self.events.append(button)
            self.view.recording = button == 'A'
            self.view.saved += button == 'B'
            self.view.success = self.outcome and button == 'A'
        targets = self.retargeting.update(given, self.view.measured, now)
        if not self.stuck:
            self.view.measured = self._late[0]
        self._late.append(self._late[-1] if targets is None else targets)
        self.inputs.append(given)
        self.poses.append(self.view.measured)

    def run(self, until) -> None:
        """Steps faster than real time, but for those in which the person thinks."""

        def act() -> None:
            self.step()
            if not self.inputs[-1].right.grip:
                time.sleep(0.001)

        wait_until(until, lambda: f'the goal; so far: {self.events}', PATIENCE, act)
