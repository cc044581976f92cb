"""What control_node says: status, diagnostics, and one line in the log for each change."""

from __future__ import annotations

import gc
import time
from collections import deque

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from dit4dit_msgs.msg import SafetyStatus
from rclpy.node import Node

from g1_control.answers import ChunkAnswer, Status
from g1_control.messages import to_safety_status
from g1_control.nodes.robot_wire import RobotWire
from g1_control.safety import Mode, Reason, RobotFault
from g1_control.unitree import MOTORS, motor_errors
from g1_description import Robot
from g1_description.control_source import ControlSource
from g1_ros.diagnostics import Diagnostics, diagnostic
from g1_ros.qos import STATUS
from g1_ros.rates import RateMeter

_PATIENCE = 2.0  # [s] after which it is said what is awaited
_EXPECTED = (Reason.NONE, Reason.OPERATOR, Reason.CHUNK_EXPIRED)  # of a mode, without a fault


class CycleMeter:
    """How punctual the control cycle is, over the last ten seconds."""

    def __init__(self, rate: float) -> None:
        self._lateness: deque[float] = deque(maxlen=round(10 * rate))
        self._cycles = RateMeter()

    def add(self, lateness: float) -> None:
        """One cycle, which began so long after it was due [s]."""
        self._lateness.append(lateness)
        self._cycles.tick()

    def values(self) -> dict[str, float]:
        """For /diagnostics: rate [Hz] and percentiles of the lateness [ms]."""
        late = np.array(list(self._lateness) or [0.0]) * 1e3
        p50, p99 = np.percentile(late, (50, 99))
        return {
            'rate': self._cycles.rate(),
            'jitter_p50_ms': float(p50),
            'jitter_p99_ms': float(p99),
            'jitter_max_ms': float(late.max()),
        }


class ChangeLog:
    """One line in the log for each change of mode or reason, and for what is awaited."""

    def __init__(self, node: Node) -> None:
        self._logger = node.get_logger()
        self._last: tuple[Mode, Reason] | None = None
        self._source = ControlSource.NOBODY
        self._awaits: Reason | None = None  # since `_since`
        self._since = time.monotonic()
        self._said: set[Reason] = set()  # until all is there
        self._ready = False  # all is there, and that was said

    def mode(self, mode: Mode, reason: Reason, source: ControlSource, text: str) -> None:
        """The mode as of now; said where it, its reason, or who moves the arms is another."""
        if source is not self._source:
            self._source = source
            self._logger.info(source.words)
        if (mode, reason) == self._last:
            return
        first, self._last = self._last is None, (mode, reason)
        line = text if reason is Reason.NONE else f'{text} ({reason.name})'
        if first or reason in _EXPECTED:
            self._logger.info(line)
        else:
            self._logger.warning(line)

    def awaited(self, fault: RobotFault | None) -> None:
        """What keeps the arms from being armed; said once it has done so for two seconds."""
        if fault is None:
            if not self._ready:
                self._logger.info('all is there; ready: g1 arm')
            self._awaits, self._said, self._ready = None, set(), True
            return
        if fault.reason is not self._awaits:
            self._awaits, self._since = fault.reason, time.monotonic()
        if fault.reason not in self._said and time.monotonic() > self._since + _PATIENCE:
            self._logger.warning(f'waiting: {fault.text}')
            self._said.add(fault.reason)
            self._ready = False

    def rejection(self, answer: ChunkAnswer) -> None:
        """A chunk that was refused."""
        self._logger.warning(
            f'chunk rejected, {answer.reason.name}: {answer.text}', throttle_duration_sec=1.0
        )


class Reports:
    """Publishes the controller's status, and /diagnostics of control and motors."""

    def __init__(
        self, node: Node, robot: Robot, wire: RobotWire, meter: CycleMeter, hot: float
    ) -> None:
        self._robot, self._wire, self._meter, self._hot = robot, wire, meter, hot
        self._status = node.create_publisher(SafetyStatus, 'control/safety_status', STATUS)
        self._diagnostics = Diagnostics(node)
        self._cpu = (time.monotonic(), time.process_time())

    def publish_status(self, status: Status, now: float, watchdog_age: float) -> None:
        """The status, stamped `now` [s]; watchdog_age: since it was heard [s]."""
        self._status.publish(to_safety_status(status, now, watchdog_age))

    def publish_diagnostics(self, status: Status) -> None:
        """Both entries. Garbage is collected here, once a second, off the control thread."""
        self._diagnostics.publish(self._control(status), self._motors())
        gc.collect()

    def _control(self, status: Status) -> DiagnosticStatus:
        wall, cpu = time.monotonic(), time.process_time()
        share = (cpu - self._cpu[1]) / max(wall - self._cpu[0], 1e-9)
        self._cpu = (wall, cpu)
        refused = self._wire.freshness.refused
        return diagnostic(
            'control_node: control',
            status.mode is not Mode.ESTOP and 0 <= status.lowstate_age < 0.05,
            status.text,
            **self._meter.values(),
            deadlines_missed=status.deadlines_missed,
            lowstate_rate=self._wire.rate.rate(),
            lowstate_age=status.lowstate_age,
            **{f'lowstates_{why}': count for why, count in refused.items()},
            chunk_age=status.chunk_age,
            chunks_accepted=status.chunks_accepted,
            chunks_rejected=status.chunks_rejected,
            weight=status.weight,
            cpu_share=share,
        )

    def _motors(self) -> DiagnosticStatus:
        state, joints = self._wire.state, self._robot.joints
        temperature = state.temperature[:MOTORS].max(axis=1)
        hottest = int(temperature.argmax())
        errors = [
            f'{joint.name}: {", ".join(motor_errors(int(bits)))}'
            for joint, bits in zip(joints, state.motorstate[:MOTORS], strict=True)
            if bits
        ]
        if temperature[hottest] > self._hot:
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
