"""A policy drives the simulated robot in one process, through the same controller as over ROS."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.inference.chunk_policy import Observation
from g1_control.answers import Status
from g1_control.chunk_buffer import Chunk
from g1_control.control_parameters import ControlParameters
from g1_control.controller import Controller
from g1_control.safety import Mode, simulated_safety
from g1_description import load_robot
from g1_description.kinematics import ArmKinematics
from g1_ros.config import config_path
from g1_ros.parameters import load
from g1_sim.motors import MotorCommand
from g1_sim.simulation import Simulation

FRAME_PERIOD = 0.1  # [s] from observation to observation
CHUNK_PERIOD = 0.2  # [s] from chunk to chunk
CHUNK_STEPS, CHUNK_STEP = 16, 0.1  # targets of a chunk, and [s] between them
_LEAD_IN = 1.0  # [s] for getting to a start posture that is not the robot's own

Array = NDArray[np.float64]


def chunk(targets: Callable[[float], Array], stamp: float) -> Array:
    """(K, 16) what `targets` gives from `stamp` [s] on."""
    return np.stack([targets(stamp + step) for step in np.arange(CHUNK_STEPS) * CHUNK_STEP])


class Rollout:
    """One attempt at a task, chunk by chunk; time stands still while the next one is made.

    observation: what the next chunk is to be made from; its stamp is the time since the policy took
    over [s]. done: whether the attempt has ended.
    """

    def __init__(
        self,
        simulation: Simulation,
        *,
        cameras: Sequence[str] = (),
        image_shape: tuple[int, int] | None = None,
        instruction: str | None = None,
        start: Array | None = None,
        latency: float = 0.0,
        time_limit: float | None = None,
        linger: float = 1.0,
        observer: Callable[[Observation], None] | None = None,
    ) -> None:
        """Arms the robot and brings it to where the policy takes over.

        Args:
            simulation: freshly reset.
            cameras: whose images are rendered, which takes most of the time.
            image_shape: (H, W) of the images; by default each camera's own.
            instruction: given to the policy; by default the task's own, from config/tasks.yaml.
            start: (16,) posture to go to before the policy takes over; by default the robot's own.
            latency: simulated seconds that pass before a chunk reaches the controller.
            time_limit: [s], by default the task's.
            linger: how long the task must stay done [s]; then the attempt ends.
            observer: is shown every observation, one a `FRAME_PERIOD`.
        """
        self._simulation = simulation
        self._robot = load_robot()
        self._image_shapes = {
            camera.name: image_shape or (camera.height, camera.width)
            for camera in (self._robot.embodiment.select_cameras(cameras) if cameras else ())
        }
        self._instruction = instruction or simulation.instruction
        self._latency = latency
        self._time_limit = time_limit or simulation.task.time_limit
        self._linger = linger
        self._observer = observer
        parameters = load(ControlParameters, config_path('control.yaml'))
        self._controller = Controller(parameters, simulated_safety(), self._robot, ArmKinematics())
        self._steps = round(1 / parameters.rate / simulation.model.opt.timestep)
        self._period = self._steps * simulation.model.opt.timestep
        self._frame, self._chunk = (round(p / self._period) for p in (FRAME_PERIOD, CHUNK_PERIOD))
        state_joints = self._robot.state_joints
        self._state = [state_joints.index(name) for name in self._robot.action_joints]
        self._arms = slice(15, 29)
        self._command = MotorCommand()
        self._on_the_way: deque[tuple[float, Chunk]] = deque()
        self._done_since: float | None = None
        self._followed_at = 0.0  # [s] since the policy took over
        self._cycles = 0

        self.done = False
        self._arm()
        if start is not None:
            self._go_to(start)
        self._begin = simulation.time
        self.observation: Observation
        self._look()

    @property
    def time(self) -> float:
        """Simulated time since the policy took over [s]."""
        return self._cycles * self._period

    @property
    def success(self) -> bool:
        """Whether the task is done at this moment."""
        return self._simulation.success()

    @property
    def success_time(self) -> float | None:
        """Since when the task has been done [s]; None where it is not."""
        return self._done_since if self.success else None

    @property
    def held_for(self) -> float:
        """How long the controller has not been following the policy [s]."""
        return self.time - self._followed_at

    @property
    def status(self) -> Status:
        """The controller's: what it refused, and why it held."""
        return self._controller.status

    def step(self, targets: Array) -> None:
        """Sends a chunk (K, 16), and lets `CHUNK_PERIOD` pass or what is left of the attempt.

        targets: joints in the order of `Robot.action_joints`, one row every `CHUNK_STEP` s from the
        time of `observation` on [rad, m].
        """
        chunk = self._stamped(targets, self._begin + self.time)
        self._on_the_way.append((self.time + self._latency, chunk))
        while not self.done:
            while self._on_the_way and self._on_the_way[0][0] <= self.time:
                self._controller.receive_chunk(self._on_the_way.popleft()[1], self._simulation.time)
            self._cycle()
            self._cycles += 1
            if self._controller.mode is Mode.ACTIVE:
                self._followed_at = self.time
            if self.time >= self._time_limit:
                self.done = True
            elif self._cycles % self._frame == 0:
                self._look()
                if self._cycles % self._chunk == 0:
                    return

    def _look(self) -> None:
        """What happens once a `FRAME_PERIOD`."""
        if not self.success:
            self._done_since = None
        elif self._done_since is None:
            self._done_since = self.time
        elif self.time - self._done_since >= self._linger:
            self.done = True
            return
        if self._observer or self._cycles % self._chunk == 0:
            self.observation = self._observe()
            if self._observer:
                self._observer(self.observation)

    def _observe(self) -> Observation:
        images = {
            camera: self._simulation.render(camera, width, height)
            for camera, (height, width) in self._image_shapes.items()
        }
        state = self._simulation.positions[self._state]
        return Observation(images, state, self._instruction, self.time)

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
        way = self._simulation.positions[self._state]
        positions = way + share**2 * (3.0 - 2.0 * share) * (posture - way)
        chunk = self._stamped(positions, self._simulation.time)
        self._controller.receive_chunk(chunk, self._simulation.time)
        for _ in range(round(_LEAD_IN / self._period)):
            self._cycle()

    def _cycle(self) -> None:
        """One period of the controller, with the physics in it."""
        simulation, now = self._simulation, self._simulation.time
        positions, velocities = simulation.positions, simulation.velocities
        self._controller.observe(
            positions[:29], velocities[:29], positions[29:], now, torque=simulation.torques
        )
        command = self._controller.cycle(now)
        self._command.weight = command.weight
        for name in ('q', 'dq', 'tau', 'kp', 'kd'):
            getattr(self._command, name)[self._arms] = getattr(command, name)
        simulation.apply(self._command)
        simulation.set_grippers(*command.gripper)
        for _ in range(self._steps):
            simulation.step()
