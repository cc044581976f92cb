"""The node between chunks and the robot: /lowstate in, /arm_sdk out at 250 Hz.

Subscriptions and services run on the executor's thread; one control thread takes /lowstate, asks
the Controller for the command and publishes. While disarmed nothing is published on /arm_sdk, but
for 0.2 s of weight 0 after disarming. When the node is stopped while armed, it disarms first.
"""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from dit4dit_msgs.msg import ActionChunk, SafetyStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory
from unitree_hg.msg import LowCmd as LowCmdMessage
from unitree_hg.msg import LowState as LowStateMessage

from g1_control.answers import ChunkOutcome, Command
from g1_control.chunk_buffer import Chunk
from g1_control.controller import Controller, ControlParameters
from g1_control.messages import (
    ImuWriter,
    JointStateWriter,
    to_chunk,
    to_safety_status,
    write_command,
)
from g1_control.remote import combination, parse
from g1_control.safety import Mode, Reason, SafetyParameters
from g1_control.unitree import (
    MOTORS,
    Freshness,
    LowCmd,
    LowState,
    motor_errors,
)
from g1_description import load_robot
from g1_description.kinematics import ArmKinematics
from g1_ros.diagnostics import diagnostic
from g1_ros.main import run
from g1_ros.parameters import declare, parameter
from g1_ros.polling import Unserved, never_served
from g1_ros.qos import COMMAND, NEWEST_SENSOR_DATA, SENSOR_DATA, STATUS
from g1_ros.rates import RateMeter
from g1_ros.real_time import ask_for_real_time, lock_memory
from g1_ros.stamps import seconds

_SIDES = ('left', 'right')


@dataclass(frozen=True)
class WireParameters:
    """What the robot's own remote control may do."""

    estop_buttons: str = parameter(
        'L2+B',
        description="Buttons of the robot's remote that together are an e-stop; empty for none.",
    )


class ControlNode(Node):
    """Subscribes to chunks, teleoperation and the robot's state; publishes commands and status.

    not_permitted: what this computer keeps the node from, said once in the log.
    """

    def __init__(self, not_permitted: Sequence[str] = ()) -> None:
        super().__init__('control_node')
        for text in filter(None, not_permitted):
            self.get_logger().warning(text)
        self._estop_buttons = combination(declare(self, WireParameters).estop_buttons)
        self._rates = declare(self, ControlParameters)
        self._safety = declare(self, SafetyParameters)
        self._robot = load_robot()
        self._controller = Controller(self._rates, self._safety, self._robot, ArmKinematics())
        self._lock = threading.Lock()  # around the controller
        self._gripper = np.full(2, np.nan)
        self._gripper_velocity = np.zeros(2)
        self._gripper_heard = np.zeros(2)  # monotonic clock [s]
        self._gripper_faults = ['', '']
        self._stopping = threading.Event()
        self._lateness: deque[float] = deque(maxlen=round(10 * self._rates.rate))
        self._cycles = RateMeter()
        self._freshness, self._lowstates = Freshness(), RateMeter()
        self._cpu = (time.monotonic(), time.process_time())
        self._open_wire()
        self._open_inputs()
        self._open_services()
        self._open_reports()
        # The executor's thread may keep Python's interpreter this long while a command is due [s].
        sys.setswitchinterval(0.0005)
        # Garbage is collected once a second, in what came since now: that takes well under a cycle.
        gc.collect()
        gc.freeze()
        gc.disable()
        self._thread = threading.Thread(target=self._run_control, name='control', daemon=True)
        self._thread.start()

    def destroy_node(self) -> None:
        """Hands the arms back within the weight's ramp, then stops."""
        with self._lock:
            self._controller.disarm(self._now())
        deadline = time.monotonic() + self._safety.weight_ramp + 0.5
        while self._thread.is_alive() and time.monotonic() < deadline:
            if self._controller.status.weight == 0.0:
                break
            time.sleep(0.02)
        time.sleep(0.05)  # weight 0 goes out
        self._stopping.set()
        self._thread.join(1.0)
        super().destroy_node()

    # --- set-up

    def _open_wire(self) -> None:
        self._state, self._command = LowState(), LowCmd()
        self._lowstate = self.create_subscription(
            LowStateMessage,
            'lowstate',
            never_served,
            NEWEST_SENSOR_DATA,
            callback_group=Unserved(),
            raw=True,
        )
        self._arm_sdk = self.create_publisher(LowCmdMessage, 'arm_sdk', COMMAND)
        self._joint_states = self.create_publisher(JointState, 'joint_states', SENSOR_DATA)
        self._joint_state_writer = JointStateWriter(self._robot.state_joints)
        self._imus = self.create_publisher(Imu, 'imu', SENSOR_DATA)
        self._imu_writer = ImuWriter()
        self._grippers = [
            self.create_publisher(JointState, f'{side}_gripper/command', COMMAND) for side in _SIDES
        ]
        self._gripper_writers = [JointStateWriter([name]) for name in self._robot.gripper_joints]

    def _open_inputs(self) -> None:
        def listen(kind: Any, topic: str, callback: Callable[[Any], None], qos: QoSProfile) -> None:
            self.create_subscription(kind, topic, callback, qos)

        listen(ActionChunk, 'policy/action_chunk', self._on_chunk, COMMAND)
        listen(JointTrajectory, 'teleop/joint_targets', self._on_trajectory, COMMAND)
        for k, side in enumerate(_SIDES):
            listen(JointState, f'{side}_gripper/state', partial(self._on_gripper, k), COMMAND)
            listen(String, f'{side}_gripper/fault', partial(self._on_gripper_fault, k), STATUS)

    def _open_services(self) -> None:
        for name, action in {
            'arm': self._arm,
            'disarm': self._controller.disarm,
            'estop': self._controller.estop,
            'reset': self._controller.reset,
        }.items():
            self.create_service(Trigger, f'control/{name}', self._service(name, action))

    def _open_reports(self) -> None:
        self._status = self.create_publisher(SafetyStatus, 'control/safety_status', STATUS)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._changed = self.create_guard_condition(self._publish_status)
        self.create_timer(0.1, self._publish_status)
        self.create_timer(1.0, self._publish_diagnostics)

    # --- executor's thread

    def _on_chunk(self, message: ActionChunk) -> None:
        stamp = seconds(message.header.stamp)
        self._receive(to_chunk(message.trajectory, stamp, message.chunk_id))

    def _on_trajectory(self, message: JointTrajectory) -> None:
        stamp = seconds(message.header.stamp)
        self._receive(to_chunk(message, stamp if stamp else self._now()))

    def _receive(self, chunk: Chunk) -> None:
        with self._lock:
            answer = self._controller.receive_chunk(chunk, self._now())
        if answer.outcome is ChunkOutcome.REJECTED:
            self.get_logger().warning(
                f'chunk rejected, {answer.reason.name}: {answer.text}',
                throttle_duration_sec=1.0,
            )
            self._publish_status()

    def _on_gripper(self, side: int, message: JointState) -> None:
        if message.position:
            self._gripper[side] = message.position[0]
            self._gripper_velocity[side] = message.velocity[0] if message.velocity else 0.0
            self._gripper_heard[side] = time.monotonic()

    def _on_gripper_fault(self, side: int, message: String) -> None:
        self._gripper_faults[side] = message.data

    def _arm(self, now: float) -> tuple[bool, str]:
        self._look_for_other_publishers()
        return self._controller.arm(now)

    def _service(
        self, name: str, action: Callable[[float], tuple[bool, str]]
    ) -> Callable[[Trigger.Request, Trigger.Response], Trigger.Response]:
        def answer(_request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            with self._lock:
                response.success, response.message = action(self._now())
            self.get_logger().info(f'{name}: {response.message}')
            self._publish_status()
            return response

        return answer

    def _look_for_other_publishers(self) -> None:
        self._controller.other_publisher = self.count_publishers(self._arm_sdk.topic_name) > 1

    def _publish_status(self) -> None:
        self._look_for_other_publishers()
        with self._lock:
            status = self._controller.status
        self._status.publish(to_safety_status(status, self._now()))

    def _publish_diagnostics(self) -> None:
        message = DiagnosticArray(status=[self._control_diagnostic(), self._motor_diagnostic()])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)
        gc.collect()

    def _control_diagnostic(self) -> DiagnosticStatus:
        with self._lock:
            status = self._controller.status
        wall, cpu = time.monotonic(), time.process_time()
        share = (cpu - self._cpu[1]) / max(wall - self._cpu[0], 1e-9)
        self._cpu = (wall, cpu)
        late = np.array(list(self._lateness) or [0.0]) * 1e3
        healthy = status.mode is not Mode.ESTOP and 0 <= status.lowstate_age < 0.05
        return diagnostic(
            'control_node: control',
            healthy,
            status.text,
            rate=self._cycles.rate(),
            jitter_p50_ms=float(np.percentile(late, 50)),
            jitter_p99_ms=float(np.percentile(late, 99)),
            jitter_max_ms=float(late.max()),
            deadlines_missed=status.deadlines_missed,
            lowstate_rate=self._lowstates.rate(),
            lowstate_age=status.lowstate_age,
            **{f'lowstates_{why}': count for why, count in self._freshness.refused.items()},
            chunk_age=status.chunk_age,
            chunks_accepted=status.chunks_accepted,
            chunks_rejected=status.chunks_rejected,
            weight=status.weight,
            cpu_share=share,
        )

    def _motor_diagnostic(self) -> DiagnosticStatus:
        state, joints = self._state, self._robot.joints
        temperature = state.temperature[:MOTORS].max(axis=1)
        hottest = int(temperature.argmax())
        errors = [
            f'{joint.name}: {", ".join(motor_errors(int(bits)))}'
            for joint, bits in zip(joints, state.motorstate[:MOTORS], strict=True)
            if bits
        ]
        hot = temperature[hottest] > self._safety.motor_temperature
        if hot:
            errors.append(f'{joints[hottest].name}: {temperature[hottest]} degrees C')
        return diagnostic(
            'control_node: motors',
            not errors,
            '; '.join(errors) or 'no motor reports an error',
            hottest=joints[hottest].name,
            hottest_temperature=int(temperature[hottest]),
            imu_temperature=state.imu_temperature,
            voltage=float(state.vol[:MOTORS].min()),
            mode_machine=state.mode_machine,
            **{joint.name: int(temperature[joint.motor]) for joint in self._robot.arms},
        )

    # --- control thread

    def _run_control(self) -> None:
        try:
            self._control()
        except Exception as error:
            self.get_logger().fatal(f'control stops and so does the node: {error!r}')
            signal.raise_signal(signal.SIGTERM)
            raise

    def _control(self) -> None:
        period = 1 / self._rates.rate
        states_every = max(1, round(self._rates.rate / self._rates.joint_state_rate))
        grippers_every = max(1, round(self._rates.rate / self._rates.gripper_rate))
        deadline, count, unpublished = time.monotonic(), 0, False
        while not self._stopping.is_set():
            deadline += period
            wait = deadline - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            lateness = time.monotonic() - deadline
            deadline += lateness // period * period  # cycles that are past are not made up for
            self._lateness.append(lateness)
            self._cycles.tick()
            now = self._now() - lateness % period  # as scheduled: commands keep an even step
            unpublished |= self._take_lowstate(now)
            command = self._cycle(now, lateness > period / 2)
            if command.on_wire:
                self._arm_sdk.publish(
                    write_command(command, self._state.mode_machine, self._command)
                )
            if unpublished and count % states_every == 0:
                self._publish_joint_states(now)
                unpublished = False
            if command.on_wire and count % grippers_every == 0:
                self._publish_grippers(now, command)
            count += 1

    def _cycle(self, now: float, late: bool) -> Command:
        with self._lock:
            before = self._controller.mode
            command = self._controller.cycle(now, late)
            changed = self._controller.mode is not before
        if changed:
            self._changed.trigger()
        return command

    def _take_lowstate(self, now: float) -> bool:
        """Reads what came since the last cycle; whether something good did."""
        with self._lowstate.handle:
            taken = self._lowstate.handle.take_message(LowStateMessage, True)
        if taken is None:
            return False
        state = self._state
        try:
            state.load(taken[0])
        except ValueError as error:
            self.get_logger().error(f'/lowstate: {error}', throttle_duration_sec=5.0)
            return False
        if not self._freshness.accept(state):
            return False
        self._lowstates.tick()
        with self._lock:
            if self._estop_buttons and self._estop_buttons <= self._buttons():
                self._controller.estop(now, Reason.ESTOP_REMOTE)
            self._controller.observe(
                state.q[:MOTORS],
                state.dq[:MOTORS],
                self._gripper,
                now,
                gripper_age=time.monotonic() - self._gripper_heard,
                gripper_fault=(self._gripper_faults[0], self._gripper_faults[1]),
                temperature=state.temperature[:MOTORS].max(axis=1),
                errors=state.motorstate[:MOTORS],
                mode_machine=state.mode_machine,
            )
        return True

    def _buttons(self) -> frozenset[str]:
        return parse(self._state.wireless_remote.tobytes()).buttons

    def _publish_joint_states(self, now: float) -> None:
        self._imus.publish(self._imu_writer.write(now, self._state))
        if np.isnan(self._gripper).any():
            return
        state = self._state
        self._joint_states.publish(
            self._joint_state_writer.write(
                now,
                np.concatenate((state.q[:MOTORS], self._gripper)),
                np.concatenate((state.dq[:MOTORS], self._gripper_velocity)),
                np.concatenate((state.tau_est[:MOTORS], (0.0, 0.0))),
            )
        )

    def _publish_grippers(self, now: float, command: Command) -> None:
        for publisher, writer, opening in zip(
            self._grippers, self._gripper_writers, command.gripper, strict=True
        ):
            publisher.publish(writer.write(now, opening, np.zeros(1), np.zeros(1)))

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9


def main() -> None:
    """Entry point of `control_node`."""
    # All threads: one that holds the interpreter must not be the one that waits for a processor.
    not_permitted = (ask_for_real_time(), lock_memory())
    sys.exit(run(partial(ControlNode, not_permitted)))
