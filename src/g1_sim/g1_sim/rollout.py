"""A policy drives the simulated robot in one process, through the same controller as over ROS."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g1_control.answers import Status
from g1_control.chunk_buffer import Chunk
from g1_control.controller import Controller, ControlParameters
from g1_control.safety import Mode, SafetyParameters
from g1_description import load_robot
from g1_description.kinematics import ArmKinematics
from g1_ros.config import config_path, load_tasks
from g1_ros.parameters import load
from g1_sim.motors import MotorCommand
from g1_sim.simulation import Simulation

FRAME_PERIOD = 0.1  # [s] from observation to observation
CHUNK_PERIOD = 0.2  # [s] from chunk to chunk
CHUNK_STEPS, CHUNK_STEP = 16, 0.1  # targets of a chunk, and [s] between them
_LEAD_IN = 1.0  # [s] for getting to a start posture that is not the robot's own

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Observation:
    """What a policy sees.

    time: simulated [s] since the policy took over. joint_positions: (16,) measured, chunk order
    [rad, m]. image: (H, W, 3) uint8 RGB of the head camera.
    """

    time: float
    joint_positions: Array
    image: NDArray[np.uint8] | None
    instruction: str


#: Joint targets (K, 16) in chunk order, one every `CHUNK_STEP` s from the observation's time on.
Policy = Callable[[Observation], Array]


@dataclass(frozen=True)
class Result:
    """How it went.

    success_time: when the task was done for good [s], None: never. status: the controller's.
    """

    success: bool
    success_time: float | None
    duration: float
    status: Status


def rollout(
    simulation: Simulation,
    policy: Policy,
    *,
    instruction: str | None = None,
    start: Array | None = None,
    image_shape: tuple[int, int] | None = None,
    latency: float = 0.0,
    time_limit: float | None = None,
    linger: float = 1.0,
    observer: Callable[[Observation], None] | None = None,
) -> Result:
    """Arms the robot, lets the policy drive it, and says whether the task got done.

    Args:
        simulation: freshly reset.
        policy: asked every `CHUNK_PERIOD`.
        instruction: given to the policy; by default the task's own, from config/tasks.yaml.
        start: (16,) posture to go to before the policy takes over; by default the robot's own.
        image_shape: (H, W) of head camera images, None for none (rendering takes most of the time).
        latency: simulated seconds that pass before a chunk reaches the controller.
        time_limit: [s], by default the task's.
        linger: how long the task must stay done [s]; then the rollout ends.
        observer: is shown every observation, one a `FRAME_PERIOD`.
    """
    return _Rollout(simulation, instruction, image_shape).run(
        policy, start, latency, time_limit or simulation.task.time_limit, linger, observer
    )


class _Rollout:
    def __init__(
        self, simulation: Simulation, instruction: str | None, image_shape: tuple[int, int] | None
    ) -> None:
        self._simulation = simulation
        self._instruction = instruction or load_tasks()[simulation.task.name]
        self._image_shape = image_shape
        self._robot = load_robot()
        parameters = load(ControlParameters, config_path('control.yaml'))
        safety = load(SafetyParameters, config_path('safety.yaml'))
        self._controller = Controller(parameters, safety, self._robot, ArmKinematics())
        self._steps = round(1 / parameters.rate / simulation.model.opt.timestep)
        self._period = self._steps * simulation.model.opt.timestep
        self._chunk = [self._robot.state_joints.index(name) for name in self._robot.action_joints]
        self._arms = slice(15, 29)
        self._command = MotorCommand()

    def run(
        self,
        policy: Policy,
        start: Array | None,
        latency: float,
        time_limit: float,
        linger: float,
        observer: Callable[[Observation], None] | None,
    ) -> Result:
        self._arm()
        if start is not None:
            self._go_to(start)
        begin = self._simulation.time
        on_the_way: deque[tuple[float, Chunk]] = deque()
        done_since: float | None = None
        cycles = 0
        frame, chunk = (round(period / self._period) for period in (FRAME_PERIOD, CHUNK_PERIOD))
        while (time := cycles * self._period) < time_limit:
            if cycles % frame == 0:
                if not self._simulation.success():
                    done_since = None
                elif done_since is None:
                    done_since = time
                elif time - done_since >= linger:
                    break
                if observer or cycles % chunk == 0:
                    observation = self._observe(time)
                    if observer:
                        observer(observation)
                    if cycles % chunk == 0:
                        on_the_way.append(
                            (time + latency, self._stamped(policy(observation), begin + time))
                        )
            while on_the_way and on_the_way[0][0] <= time:
                self._controller.receive_chunk(on_the_way.popleft()[1], self._simulation.time)
            self._cycle()
            cycles += 1
        done = self._simulation.success()
        return Result(done, done_since if done else None, time, self._controller.status)

    def _observe(self, time: float) -> Observation:
        image = None
        if self._image_shape:
            height, width = self._image_shape
            image = self._simulation.render('head', width, height)
        positions = self._simulation.positions[self._chunk]
        return Observation(time, positions, image, self._instruction)

    def _stamped(self, positions: Array, stamp: float) -> Chunk:
        times = np.arange(len(positions), dtype=np.float64) * CHUNK_STEP
        return Chunk(stamp, self._robot.action_joints, times, positions)

    def _arm(self) -> None:
        self._cycle()
        done, text = self._controller.arm(self._simulation.time)
        while done and self._controller.mode is Mode.ARMING:
            self._cycle()
        if self._controller.mode not in (Mode.ACTIVE, Mode.HOLD):
            raise RuntimeError(f'the controller did not arm: {text}')

    def _go_to(self, posture: Array) -> None:
        steps = round(_LEAD_IN / CHUNK_STEP) + 1
        share = np.linspace(0.0, 1.0, steps)[:, None]
        way = self._simulation.positions[self._chunk]
        positions = way + share**2 * (3.0 - 2.0 * share) * (posture - way)
        chunk = self._stamped(positions, self._simulation.time)
        self._controller.receive_chunk(chunk, self._simulation.time)
        for _ in range(round(_LEAD_IN / self._period)):
            self._cycle()

    def _cycle(self) -> None:
        """One period of the controller, with the physics in it."""
        simulation, now = self._simulation, self._simulation.time
        positions, velocities = simulation.positions, simulation.velocities
        self._controller.observe(positions[:29], velocities[:29], positions[29:], now)
        command = self._controller.cycle(now)
        self._command.weight = command.weight
        for name in ('q', 'dq', 'tau', 'kp', 'kd'):
            getattr(self._command, name)[self._arms] = getattr(command, name)
        simulation.apply(self._command)
        simulation.set_grippers(*command.gripper)
        for _ in range(self._steps):
            simulation.step()
