"""`g1 bench control`: how evenly control commands, how soon they carry a chunk, what that costs.

control_node runs against a fake robot of Unitree's SDK; beside it, in the same run and with the
same priority, a loop that only sleeps shows what this computer allows.

A chunk's latency is from the moment it is handed to the middleware, serialised, to the moment the
first LowCmd that carries it is: the first that differs in any bit from those of the arms at rest.
What lies between is the way to control_node's subscription and control_node.

What a cycle costs, and how smooth chunks' seams are, is measured without ROS.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

import numpy as np
from dit4dit_msgs.msg import ActionChunk
from numpy.typing import NDArray
from rclpy.serialization import serialize_message
from rich.table import Table

from g1_bench.benchmarks.rig import STOP, Rig, armed_rig, process, processor_time
from g1_bench.cycle_times import cycle_times
from g1_bench.seams import seam_quality
from g1_control.unitree import ARM_MOTORS, LowCmd
from g1_description import load_robot
from g1_ros.conversions import joint_trajectory
from g1_ros.qos import COMMAND
from g1_ros.stamps import time_message

SECONDS = 60.0  # of commands
PERIOD = 0.004  # [s] of control
_REST = 25  # equal commands in a row: the arms stand still
_AWAY = (0.0, 0.02, 0.03, 0.03)  # [rad] of a chunk's targets, 50 ms apart
_LOST = 1.0  # [s] after which a chunk that no command carries counts as lost

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
    """The numbers of so many seconds of commands, of cycles and of chunks' seams."""
    with (
        armed_rig() as rig,
        process([sys.executable, '-c', _BARE_LOOP], stdout=subprocess.PIPE) as loop,
    ):
        measured = _ChunkLatency(rig)
        began, cpu = time.monotonic(), processor_time(rig.control.pid)
        measured.run(seconds)
        share = (processor_time(rig.control.pid) - cpu) / (time.monotonic() - began)
        loop.terminate()
        woken = np.array(loop.communicate(timeout=STOP)[0].split(), np.int64)
    return {
        'seconds': seconds,
        'cores': os.cpu_count(),
        'load': round(os.getloadavg()[0], 1),
        'commands': jitter(np.array(measured.times, np.int64)),
        'sleeping loop': jitter(woken),
        'chunk_to_command_ms': latency(measured.latencies, measured.lost),
        'cpu_share': round(share, 3),
        'cycle': cycle_times(),
        'seams': asdict(seam_quality()),
    }


def table(content: dict[str, Any]) -> Table:
    """The numbers for people."""
    result = Table(
        title=f'Control, {content["seconds"]:g} s, load {content["load"]}', show_header=False
    )
    for name in ('commands', 'sleeping loop'):
        values = content[name]
        result.add_row(
            name,
            f'{values["rate_hz"]} Hz; off the period: p50 {values["p50_ms"]} ms, '
            f'p99 {values["p99_ms"]} ms, max {values["max_ms"]} ms',
        )
    values = content['chunk_to_command_ms']
    result.add_row(
        'chunk to the first command that carries it',
        f'p50 {values["p50"]} ms, p99 {values["p99"]} ms, max {values["max"]} ms '
        f'({values["chunks"]} chunks, {values["lost"]} lost)',
    )
    result.add_row('control_node', f'{content["cpu_share"]:.0%} of a core')
    for motion, cycle in content['cycle'].items():
        result.add_row(
            f'CPU time of a cycle, {motion}',
            f'p50 {cycle["p50_ms"]} ms, p99 {cycle["p99_ms"]} ms, p99.9 {cycle["p999_ms"]} ms '
            f'({cycle["cycles"]} cycles, {cycle["slides"]:.0%} along a margin)',
        )
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


def latency(milliseconds: list[float], lost: int) -> dict[str, float]:
    """Percentiles of chunks' latencies [ms], NaN where there are none."""
    values = np.array(milliseconds or [np.nan])
    p50, p99 = np.percentile(values, (50, 99))
    return {
        'p50': round(float(p50), 2),
        'p99': round(float(p99), 2),
        'max': round(float(values.max()), 2),
        'chunks': len(milliseconds),
        'lost': lost,
    }


class _ChunkLatency:
    """Chunks now and then, and every command with the time it was sent."""

    def __init__(self, rig: Rig) -> None:
        self.times: list[int] = []  # of commands [ns since 1970]
        self.latencies: list[float] = []  # [ms]
        self.lost = 0
        self._rig, self._robot = rig, load_robot()
        self._command = LowCmd()
        self._standing: NDArray[np.float32] | None = None  # (2, 14) position and velocity
        self._equal = 0  # commands in a row that were like `_standing`
        self._sent = 0  # when the chunk under way was [ns]; 0: none is
        self._way = 1.0  # of the next chunk: out or back
        self._random = np.random.default_rng(0)
        self._chunks = rig.node.create_publisher(ActionChunk, 'policy/action_chunk', COMMAND)
        rig.keep = self._keep

    def run(self, seconds: float) -> None:
        """Lets the robot move now and then, for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._rig.poll()
            if self._sent:
                if time.time_ns() - self._sent > _LOST * 1e9:
                    self.lost, self._sent = self.lost + 1, 0
            elif self._equal >= _REST:
                time.sleep(self._random.uniform(0.0, PERIOD))  # any phase of the cycle alike
                self._send_chunk()

    def _keep(self, data: bytes, sent: int) -> None:
        self.times.append(sent)
        self._command.load(data)
        now = np.array((self._command.q[ARM_MOTORS], self._command.dq[ARM_MOTORS]))
        same = self._standing is not None and np.array_equal(now, self._standing)
        if self._sent and sent > self._sent and not same:
            self.latencies.append((sent - self._sent) * 1e-6)
            self._sent = 0
        self._equal = self._equal + 1 if same else 0
        self._standing = now

    def _send_chunk(self) -> None:
        """A tenth of a second of the left elbow, and a moment of rest."""
        assert self._standing is not None
        joints = self._robot.action_joints
        positions = np.tile(np.append(self._standing[0].astype(float), (0.02, 0.02)), (4, 1))
        positions[:, joints.index('left_elbow_joint')] += self._way * np.array(_AWAY)
        self._way = -self._way
        stamp = time_message(time.time_ns())
        trajectory = joint_trajectory(stamp, joints, positions, 0.05 * np.arange(4))
        data = serialize_message(ActionChunk(header=trajectory.header, trajectory=trajectory))
        self._sent = time.time_ns()
        self._chunks.publish(data)
