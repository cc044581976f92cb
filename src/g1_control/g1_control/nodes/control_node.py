"""The node between chunks and the robot: /lowstate in, /arm_sdk out at 250 Hz.

One control thread does everything that a command depends on: a little before a command is due it
takes what came (chunks, targets, grippers), at that moment it takes /lowstate, asks the Controller
for the command and publishes. Services, status and diagnostics are the executor's. While disarmed
nothing is published on /arm_sdk, but for 0.2 s of weight 0 after disarming. When the node is
stopped while armed, it disarms first.
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

from rclpy.node import Node
from std_srvs.srv import Trigger

from g1_control.answers import ChunkOutcome, Command
from g1_control.control_parameters import ControlParameters
from g1_control.controller import Controller
from g1_control.nodes.arm_sdk_watch import ArmSdkWatch
from g1_control.nodes.inputs import ChunkInputs, GripperInputs
from g1_control.nodes.reports import ChangeLog, CycleMeter, Reports
from g1_control.nodes.robot_wire import RobotWire
from g1_control.remote import combination
from g1_control.safety import Mode, Reason, SafetyParameters
from g1_control.unitree import MOTORS
from g1_control.watchdog import SILENCE
from g1_description import load_robot
from g1_description.control_source import ControlSource
from g1_description.kinematics import ArmKinematics
from g1_ros.main import run
from g1_ros.parameters import declare, parameter
from g1_ros.real_time import ask_for_real_time, lock_memory, name_thread
from g1_ros.shared_memory import avoid_shared_memory
from g1_ros.timers import steady_timer

CONTROL_THREAD = 'control'
_TAKING = 0.001  # [s] before a command is due at which its inputs are taken; a chunk costs 0.6 ms


@dataclass(frozen=True)
class WireParameters:
    """What the robot's own remote control may do."""

    estop_buttons: str = parameter(
        'L2+B',
        description="Buttons of the robot's remote that together are an e-stop; empty for none.",
    )


class ControlNode(Node):
    """Takes chunks, targets and the robot's state; publishes commands and status.

    not_permitted: what this computer keeps the node from, said once in the log.
    """

    def __init__(self, not_permitted: Sequence[str] = ()) -> None:
        super().__init__('control_node')
        for text in filter(None, not_permitted):
            self.get_logger().warning(text)
        self._estop_buttons = combination(declare(self, WireParameters).estop_buttons)
        self._rates = declare(self, ControlParameters)
        self._safety = declare(self, SafetyParameters)
        robot = load_robot()
        self._controller = Controller(self._rates, self._safety, robot, ArmKinematics())
        self._lock = threading.Lock()  # around the controller
        self._wire, self._arm_sdk = RobotWire(self, robot), ArmSdkWatch(self)
        self._chunks, self._grippers = ChunkInputs(self), GripperInputs(self, robot)
        self._meter, self._changes = CycleMeter(self._rates.rate), ChangeLog(self)
        self._reports = Reports(
            self, robot, self._wire, self._meter, self._safety.motor_temperature
        )
        self._to_say: deque[Callable[[], None]] = deque()  # by the executor's thread
        self._last = (Mode.DISARMED, Reason.NONE, ControlSource.NOBODY)
        self._open_services()
        self._news = self.create_guard_condition(self._on_news)
        steady_timer(self, 0.1, self._publish_status)
        steady_timer(self, 1.0, self._publish_diagnostics)
        # The executor's thread may keep Python's interpreter this long while a command is due [s].
        sys.setswitchinterval(0.0005)
        # Garbage is collected once a second, in what came since now: that takes well under a cycle.
        gc.collect()
        gc.freeze()
        gc.disable()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run_control, name=CONTROL_THREAD, daemon=True)
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

    # --- executor's thread

    def _open_services(self) -> None:
        for name, action in {
            'arm': self._arm,
            'disarm': self._controller.disarm,
            'estop': self._controller.estop,
            'reset': self._controller.reset,
            'give_back': self._controller.give_back,
        }.items():
            self.create_service(Trigger, f'control/{name}', self._service(name, action))

    def _arm(self, now: float) -> tuple[bool, str]:
        self._look_at_arm_sdk()
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

    def _look_at_arm_sdk(self) -> None:
        self._arm_sdk.look()
        self._controller.monitor.other_publisher = self._arm_sdk.stranger
        self._controller.monitor.watchdog_fault = self._arm_sdk.watchdog_fault

    def _on_news(self) -> None:
        while self._to_say:
            self._to_say.popleft()()
        self._publish_status()

    def _publish_status(self) -> None:
        self._look_at_arm_sdk()
        with self._lock:
            status, awaited = self._controller.status, self._controller.awaited
        self._changes.awaited(awaited)
        self._reports.publish_status(status, self._now(), self._arm_sdk.age)

    def _publish_diagnostics(self) -> None:
        with self._lock:
            status = self._controller.status
        self._reports.publish_diagnostics(status)

    # --- control thread

    def _run_control(self) -> None:
        name_thread(CONTROL_THREAD)
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
        sent = deadline  # when a command was, or would have been
        while not self._stopping.is_set():
            deadline += period
            _sleep_until(deadline - _TAKING)
            self._take_inputs(grippers=count % states_every == 0)
            _sleep_until(deadline)
            woken = time.monotonic()
            if woken - sent > SILENCE:
                with self._lock:
                    self._controller.was_silent(woken - sent)
                sent = woken
            lateness = woken - deadline
            deadline += lateness // period * period  # cycles that are past are not made up for
            self._meter.add(lateness)
            now = self._now() - lateness % period  # as scheduled: commands keep an even step
            unpublished |= self._take_lowstate(now)
            command = self._cycle(now, lateness > period / 2)
            if time.monotonic() - sent <= SILENCE:  # else the watchdog has begun, as is seen next
                if command.on_wire:
                    self._wire.send(command)
                sent = time.monotonic()
            if unpublished and count % states_every == 0:
                self._wire.publish_joint_states(
                    now, self._grippers.opening, self._grippers.velocity
                )
                unpublished = False
            if command.on_wire and count % grippers_every == 0:
                self._wire.send_grippers(now, command)
            count += 1

    def _take_inputs(self, grippers: bool) -> None:
        """Chunks at every cycle, so that the very next command carries them."""
        if grippers:
            self._grippers.take()
        now = self._now()
        for chunk in self._chunks.take(now):
            with self._lock:
                answer = self._controller.receive_chunk(chunk, now)
            if answer.outcome is ChunkOutcome.REJECTED:
                self._say(partial(self._changes.rejection, answer))

    def _take_lowstate(self, now: float) -> bool:
        if not self._wire.take_lowstate():
            return False
        state = self._wire.state
        with self._lock:
            if self._estop_buttons and self._estop_buttons <= self._wire.buttons():
                self._controller.estop(now, Reason.ESTOP_REMOTE)
            self._controller.observe(
                state.q[:MOTORS],
                state.dq[:MOTORS],
                self._grippers.opening,
                now,
                gripper_age=self._grippers.age,
                gripper_fault=self._grippers.faults,
                temperature=state.temperature[:MOTORS].max(axis=1),
                errors=state.motorstate[:MOTORS],
                torque=state.tau_est[:MOTORS],
                mode_machine=state.mode_machine,
            )
        return True

    def _cycle(self, now: float, late: bool) -> Command:
        with self._lock:
            command = self._controller.cycle(now, late)
            controller = self._controller
            condition = (controller.mode, controller.reason, controller.source)
            changed = condition != self._last
            text = self._controller.status.text if changed else ''
        if changed:
            self._last = condition
            self._say(partial(self._changes.mode, *condition, text))
        return command

    def _say(self, words: Callable[[], None]) -> None:
        """Leaves something to say to the executor's thread: a line in the log costs 0.3 ms."""
        self._to_say.append(words)
        self._news.trigger()

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9


def _sleep_until(deadline: float) -> None:
    wait = deadline - time.monotonic()
    if wait > 0:
        time.sleep(wait)


def main() -> None:
    """Entry point of `control_node`."""
    # All threads: one that holds the interpreter must not be the one that waits for a processor.
    avoid_shared_memory()
    not_permitted = (ask_for_real_time(), lock_memory())
    sys.exit(run(partial(ControlNode, not_permitted)))
