"""Stands in for robot, camera and grippers: MuJoCo in real time behind the G1's own topics."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
import time
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray, Int64, String
from std_srvs.srv import Trigger
from unitree_hg.msg import LowCmd, LowState

from g1_control.unitree import LowCmd as WireCommand
from g1_description import SIDES, load_robot
from g1_ros import qos
from g1_ros.conversions import JointReader
from g1_ros.diagnostics import Diagnostics, diagnostic
from g1_ros.main import NodeEndedError, run
from g1_ros.parameters import declare, parameter
from g1_ros.polling import PolledSubscription
from g1_ros.rates import RateMeter
from g1_ros.real_time import ask_for_real_time
from g1_ros.timers import steady_timer
from g1_sim.nodes.camera_process import run_cameras
from g1_sim.replay import Log
from g1_sim.shared_state import SharedState
from g1_sim.simulation import Simulation
from g1_sim.wire import StateWriter, motor_command

_GRIPPER_STEPS = 10  # every so many steps of 2 ms: grippers at 50 Hz,
_SUCCESS_STEPS = 50  # success, and where everything is, at 10 Hz,
_LOG_STEPS = 8  # log at 62.5 Hz
_LATEST = 0.1  # s behind the wall clock after which the physics gives up catching up


@dataclass(frozen=True)
class SimParameters:
    """Parameters of sim_node."""

    task: str = parameter(
        'arrange_flower',
        description='Which scene stands on the table: a simulated task, or module:Class.',
    )
    seed: int = parameter(
        0, minimum=0, description='Scene to start with: the same seed, the same scene.'
    )
    seed_step: int = parameter(
        1, minimum=0, description='Added to the seed at every sim/reset; 0 repeats the same scene.'
    )
    cameras: list[str] = parameter(
        ['head'], description="Cameras to render, of the embodiment's: head, left_wrist, ..."
    )
    camera_rate: float = parameter(
        15.0,
        unit='Hz',
        minimum=1.0,
        maximum=60.0,
        description='Images of each camera per second.',
    )
    log: str = parameter(
        '', description='File (.npz) that takes the motion of everything at exit; empty for none.'
    )


class SimNode(Node):
    """Physics at 500 Hz in its own thread, cameras in a process; an executor for the rest."""

    def __init__(self) -> None:
        super().__init__('sim_node')
        parameters = declare(self, SimParameters)
        load_robot().embodiment.select_cameras(parameters.cameras)
        self._given, self._seed = parameters, parameters.seed
        self._simulation = Simulation(parameters.task, parameters.seed)
        self._log = Log(parameters.task, parameters.log) if parameters.log else None

        self._state = StateWriter()
        self._state_publisher = self.create_publisher(LowState, 'lowstate', qos.COMMAND)
        self._commands = PolledSubscription(self, LowCmd, 'arm_sdk', qos.COMMAND)
        self._command = WireCommand()
        self._gripper_publishers = [
            self.create_publisher(JointState, f'{side}_gripper/state', qos.COMMAND)
            for side in SIDES
        ]
        self._gripper_commands = [
            PolledSubscription(self, JointState, f'{side}_gripper/command', qos.COMMAND)
            for side in SIDES
        ]
        self._grippers = [JointReader((name,)) for name in load_robot().gripper_joints]
        self._openings = [load_robot().gripper_home] * len(SIDES)

        self._success_publisher = self.create_publisher(Bool, 'sim/success', qos.STATUS)
        self._success: bool | None = None
        self._seed_publisher = self.create_publisher(Int64, 'sim/seed', qos.STATUS)
        self._instruction_publisher = self.create_publisher(String, 'sim/instruction', qos.STATUS)
        self._qpos_publisher = self.create_publisher(Float64MultiArray, 'sim/qpos', qos.STATUS)
        self._tell_scene()
        self.create_service(Trigger, 'sim/reset', self._on_reset)
        self._diagnostics = Diagnostics(self)
        steady_timer(self, 1.0, self._on_diagnostics)
        steady_timer(self, 0.2, self._watch_cameras)

        self._steps, self._refused = 0, 0
        self._state_rate, self._command_rate = RateMeter(), RateMeter()
        self._counted = (
            time.monotonic(),
            0,
            0,
        )  # when the last diagnostics were, steps and images by then
        self._physics_lock = threading.Lock()
        self._stopping = threading.Event()
        context = multiprocessing.get_context('spawn')
        self._shared = SharedState(context, self._simulation.model.nq)
        self._cameras = context.Process(
            target=run_cameras,
            args=(
                self._shared,
                parameters.task,
                parameters.seed,
                parameters.cameras,
                parameters.camera_rate,
            ),
            name='sim_camera',
            daemon=True,
        )
        # Ctrl-C reaches both processes; the camera's inherits that it is to ignore it.
        heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._cameras.start()
        signal.signal(signal.SIGINT, heard)
        ask_for_real_time()  # from here on: the robot never waits, its camera may
        self._physics = threading.Thread(target=self._run, name='physics', daemon=True)
        self._physics.start()

    def destroy_node(self) -> None:
        """Ends physics and cameras, and saves the log."""
        self._stopping.set()
        self._physics.join(timeout=1.0)
        self._cameras.terminate()
        self._cameras.join(timeout=2.0)
        if self._cameras.is_alive():
            self._cameras.kill()
        if self._log is not None:
            self._log.save()
        super().destroy_node()

    def _run(self) -> None:
        """One step every 2 ms of the wall clock; a step that comes late is caught up at once."""
        timestep = self._simulation.model.opt.timestep
        deadline = time.monotonic()
        while not self._stopping.is_set():
            with self._physics_lock:
                self._cycle(timestep)
            deadline += timestep
            ahead = deadline - time.monotonic()
            if ahead > 0.0:
                time.sleep(ahead)
            elif ahead < -_LATEST:
                deadline -= ahead

    def _cycle(self, timestep: float) -> None:
        self._take_command()
        if self._steps % _GRIPPER_STEPS == 0:
            self._serve_grippers()
        self._simulation.step()
        self._steps += 1
        stamp = self.get_clock().now().nanoseconds
        tick = round(self._steps * timestep * 1e3)
        self._state_publisher.publish(self._state.write(self._simulation, tick, timestep))
        self._state_rate.tick()
        self._shared.write(self._simulation.data.qpos, stamp, self._seed)
        if self._steps % _SUCCESS_STEPS == 0:
            self._publish_success()
            self._qpos_publisher.publish(
                Float64MultiArray(data=self._simulation.data.qpos.tolist())
            )
        if self._log is not None and self._steps % _LOG_STEPS == 0:
            self._log.add(self._simulation.data.qpos, stamp, self._seed)

    def _take_command(self) -> None:
        for data, _ in self._commands.take():
            self._command_rate.tick()
            self._command.load(data)
            command = motor_command(self._command)
            if command is None:
                self._refused += 1
            else:
                self._simulation.apply(command)

    def _serve_grippers(self) -> None:
        now = self.get_clock().now().to_msg()
        names, positions = load_robot().gripper_joints, self._simulation.positions[-2:]
        velocities = self._simulation.velocities[-2:]
        for index, subscription in enumerate(self._gripper_commands):
            for data, _ in subscription.take():
                message = deserialize_message(data, JointState)
                wanted = self._grippers[index].positions(message)
                if wanted is not None and np.isfinite(wanted).all():
                    self._openings[index] = wanted.item()
            state = JointState(
                name=[names[index]], position=[positions[index]], velocity=[velocities[index]]
            )
            state.header.stamp = now
            self._gripper_publishers[index].publish(state)
        self._simulation.set_grippers(*self._openings)

    def _publish_success(self) -> None:
        success = self._simulation.success()
        if success != self._success:
            self._success = success
            self._success_publisher.publish(Bool(data=success))
            if success:
                self.get_logger().info(f'{self._given.task}, seed {self._seed}: done')

    def _tell_scene(self) -> None:
        """Its seed, and what it asks for where that is its own."""
        if instruction := self._simulation.task.instruction:
            self._instruction_publisher.publish(String(data=instruction))
        self._seed_publisher.publish(Int64(data=self._seed))

    def _on_reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """A new scene around the robot, which carries on: as when a person lays the table anew."""
        with self._physics_lock:
            self._seed += self._given.seed_step
            self._simulation.reset(self._seed, keep_robot=True)
        self._tell_scene()
        response.success = True
        response.message = f'{self._given.task}, seed {self._seed}'
        return response

    def _watch_cameras(self) -> None:
        if self._cameras.exitcode is not None:
            code = self._cameras.exitcode
            raise NodeEndedError(
                f'the cameras ended with exit code {code}; what they said is above'
            )

    def _on_diagnostics(self) -> None:
        if not self._physics.is_alive():
            raise RuntimeError('the physics thread has ended, see its error above')
        now, steps, frames = time.monotonic(), self._steps, self._shared.frames
        then, steps_then, frames_then = self._counted
        self._counted = (now, steps, frames)
        if frames and not frames_then:
            self.get_logger().info(f'{self._given.task}, seed {self._seed}: the scene is up')
        factor = (steps - steps_then) * self._simulation.model.opt.timestep / (now - then)
        camera_rate = (frames - frames_then) / (now - then)
        problems = [f'slower than real time ({factor:.2f})'] if factor < 0.9 else []
        self._diagnostics.publish(
            diagnostic(
                'sim_node',
                not problems,
                '; '.join(problems) or 'running',
                task=self._given.task,
                seed=self._seed,
                success=bool(self._success),
                real_time_factor=factor,
                lowstate_rate=self._state_rate.rate(),
                camera_rate=camera_rate,
                camera_frame_time=self._shared.frame_time,
                arm_sdk_rate=self._command_rate.rate(),
                arm_sdk_refused=self._refused,
            )
        )


def main() -> int:
    """Runs the node."""
    return run(SimNode)


if __name__ == '__main__':
    sys.exit(main())
