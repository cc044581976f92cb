"""`g1 bench control`: how evenly control commands, how soon a chunk shows in them, its seams.

control_node runs against a fake robot of Unitree's SDK; beside it, in the same run and with the
same priority, a loop that only sleeps shows what this computer allows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

import numpy as np
from dit4dit_msgs.msg import ActionChunk, SafetyStatus
from numpy.typing import NDArray
from rich.table import Table
from trajectory_msgs.msg import JointTrajectoryPoint

from g1_bench.bench import STOP, process
from g1_bench.rig import Rig, armed_rig, processor_time
from g1_bench.seams import seam_quality
from g1_control.unitree import ARM_MOTORS, LowCmd
from g1_description import load_robot
from g1_ros.qos import COMMAND
from g1_ros.stamps import time_message_of

SECONDS = 60.0  # of commands
PERIOD = 0.004  # [s] of control
_REST = 0.3  # [s] of standing still between two chunks
_MOVED = 1e-6  # [rad] from standing: the command carries the chunk

#: Prints when a 250 Hz loop with absolute deadlines woke up [ns], once it is interrupted.
_BARE_LOOP = f"""
import signal, sys, time
from g1_ros.real_time import ask_for_real_time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print(*woken)))
ask_for_real_time()
woken, deadline = [], time.monotonic()
while True:
    deadline += {PERIOD}
    time.sleep(max(0.0, deadline - time.monotonic()))
    deadline += (time.monotonic() - deadline) // {PERIOD} * {PERIOD}  # as control: no making up
    woken.append(time.time_ns())
"""


def measure(seconds: float) -> dict[str, Any]:
    """The numbers of so many seconds of commands, and of chunks' seams."""
    with (
        armed_rig() as rig,
        process([sys.executable, '-c', _BARE_LOOP], stdout=subprocess.PIPE) as loop,
    ):
        bench = _Bench(rig)
        began, cpu = time.monotonic(), processor_time(rig.control.pid)
        bench.run(seconds)
        share = (processor_time(rig.control.pid) - cpu) / (time.monotonic() - began)
        loop.terminate()
        woken = np.array(loop.communicate(timeout=STOP)[0].split(), np.int64)
    latencies = np.array(bench.latencies or [np.nan])
    return {
        'seconds': seconds,
        'cores': os.cpu_count(),
        'load': round(os.getloadavg()[0], 1),
        'commands': jitter(np.array(bench.times, np.int64)),
        'sleeping loop': jitter(woken),
        'chunk_to_command_ms': {
            'p50': round(float(np.median(latencies)), 2),
            'max': round(float(latencies.max()), 2),
            'chunks': len(bench.latencies),
        },
        'cpu_share': round(share, 3),
        'seams': asdict(seam_quality()),
    }


def table(content: dict[str, Any]) -> Table:
    """The numbers for people."""
    result = Table(title=f'Control, {content["seconds"]:g} s', show_header=False)
    for name in ('commands', 'sleeping loop'):
        values = content[name]
        result.add_row(
            name,
            f'{values["rate_hz"]} Hz; off the period: p50 {values["p50_ms"]} ms, '
            f'p99 {values["p99_ms"]} ms, max {values["max_ms"]} ms',
        )
    latency = content['chunk_to_command_ms']
    result.add_row(
        'chunk sent to command',
        f'p50 {latency["p50"]} ms, max {latency["max"]} ms ({latency["chunks"]} chunks)',
    )
    result.add_row('control_node', f'{content["cpu_share"]:.0%} of a core')
    seams = content['seams']
    for what, unit in (('velocity', 'rad/s'), ('acceleration', 'rad/s2')):
        result.add_row(
            f'largest {what} step',
            f'seams {seams[f"seam_{what}_step"]:.4g}, '
            f'inside {seams[f"inside_{what}_step"]:.4g} {unit}',
        )
    result.add_row('seams', f'{seams["pairs"]} pairs, {seams["stops"]} stops, {seams["lost"]} lost')
    return result


def jitter(times: NDArray[np.int64]) -> dict[str, float]:
    """How far the intervals between these times (N,) [ns] are from PERIOD [ms], and the rate."""
    intervals = np.diff(times) * 1e-9
    away = np.abs(intervals - PERIOD) * 1e3
    p50, p99 = np.percentile(away, (50, 99))
    return {
        'rate_hz': round(1 / float(intervals.mean()), 2),
        'p50_ms': round(float(p50), 3),
        'p99_ms': round(float(p99), 3),
        'max_ms': round(float(away.max()), 3),
    }


class _Bench:
    """Chunks now and then, and every command with the time it was sent."""

    def __init__(self, rig: Rig) -> None:
        self.times: list[int] = []  # of commands [ns since 1970]
        self.latencies: list[float] = []  # [ms]
        self._rig, self._robot = rig, load_robot()
        self._command = LowCmd()
        self._standing: NDArray[np.float32] | None = None
        self._sent = 0  # when the chunk under way was [ns]; 0: it shows in the commands already
        self._still_since = time.monotonic()
        self._chunks = rig.node.create_publisher(ActionChunk, 'policy/action_chunk', COMMAND)
        rig.keep = self._keep

    def run(self, seconds: float) -> None:
        """Lets the robot move now and then, for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._rig.poll()
            holding = self._rig.status.mode == SafetyStatus.HOLD
            if holding and self._standing is not None and self._sent == 0:
                if time.monotonic() > self._still_since + _REST:
                    self._send_chunk()
            elif not holding:
                self._still_since = time.monotonic()

    def _keep(self, data: bytes, sent: int) -> None:
        self.times.append(sent)
        self._command.load(data)
        q = self._command.q[ARM_MOTORS].copy()
        if self._sent and self._standing is not None and sent > self._sent:
            if np.abs(q - self._standing).max() > _MOVED:
                self.latencies.append((sent - self._sent) * 1e-6)
                self._sent = 0
        else:
            self._standing = q

    def _send_chunk(self) -> None:
        """Half a second of the left elbow, from where the arms stand and back."""
        assert self._standing is not None
        message = ActionChunk()
        message.trajectory.joint_names = list(self._robot.action_joints)
        elbow = self._robot.arm_joints.index('left_elbow_joint')
        for k, away in enumerate((0.0, 0.03, 0.06, 0.06, 0.03, 0.0)):
            position = np.append(self._standing.astype(float), (0.02, 0.02))
            position[elbow] += away
            point = JointTrajectoryPoint(positions=position.tolist())
            point.time_from_start.nanosec = k * 100_000_000
            message.trajectory.points.append(point)
        self._sent = time.time_ns()
        message.header.stamp = time_message_of(self._sent * 1e-9)
        self._chunks.publish(message)
        self._still_since = time.monotonic()
