"""`g1 bench teleop`: from the operator's hands to commands on the wire, and how near they come.

A stand-in for XRoboToolkit's PC service sends what a headset measures to the real SDK in
xrobotoolkit_node, teleop_node makes targets of it, and control_node commands a fake robot of
Unitree's SDK. First both hands step up and down: how soon does a command show it? Then they swing:
of which moment's pose are commands, and how far off? The time of inverse kinematics, and error and
delay with a headset's noise and turning hands, are those of the same retargeting and control in one
process (g1_bench.tracking).
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from dit4dit_msgs.msg import SafetyStatus
from numpy.typing import NDArray
from rich.table import Table
from std_msgs.msg import String

from g1_bench.benchmarks.rig import Rig, armed_rig, milliseconds, process
from g1_bench.tracking import synthetic_stream, track, with_noise
from g1_bringup.arguments import check
from g1_bringup.launcher import command
from g1_bringup.systems import find
from g1_console.services import NoAnswer
from g1_description import SIDES
from g1_description.kinematics import ArmKinematics
from g1_fakes.command_log import read_commands
from g1_fakes.xr_service import Measurement, XrService
from g1_ros.qos import STATUS

Array = NDArray[np.float64]

SECONDS = 24.0  # half of it steps, half of it swinging
_ENGAGED_WITHIN = 60.0  # [s]
_PULSE = 3.0  # [s] from one press of the grips to the next, until the hands are engaged
_STEP, _STEP_EVERY = 0.03, 1.0  # [m], [s]
_SHOWN = 2e-4  # [m] from where a hand stood: its commands show the step
_TREMBLE = 1e-6  # [m]; a pose that does not change at all is not tracked
_SETTLING = 1.0  # [s] of swinging before it counts
_LONGEST_DELAY = 0.5  # [s]
_STREAM = 12.0  # [s] of what is tracked in one process


def measure(seconds: float) -> dict[str, Any]:
    """Half of the time steps, half swinging. Raises NoAnswer when the arms do not follow."""
    commands: list[tuple[int, bytes]] = []
    with armed_rig() as rig, _teleoperation() as operator:
        words = _Words(rig)
        words.wait_until_moving()
        held = rig.status.holds
        rig.keep = lambda data, sent: commands.append((sent, data))
        operator.step()
        rig.wait(seconds / 2)
        operator.swing()
        rig.wait(seconds / 2)
        words.check_moving()
        held = rig.status.holds - held
    times, hands = _hands(commands)
    stream = synthetic_stream(_STREAM)
    return {
        'seconds': seconds,
        'cores': os.cpu_count(),
        'load': round(os.getloadavg()[0], 1),
        'pose_to_first_command_ms': first_commands(operator.steps, times, hands[:, :, 2]),
        'swing': following(np.array(operator.swings), times, hands),
        'holds': held,
        'in_process': asdict(track(with_noise(stream), truth=stream)),
    }


def table(content: dict[str, Any]) -> Table:
    """The numbers for people."""
    first, swing, inside = (
        content[name] for name in ('pose_to_first_command_ms', 'swing', 'in_process')
    )
    result = Table(title=f'Teleoperation, {content["seconds"]:g} s', show_header=False)
    result.add_row(
        'pose to first command that shows it',
        f'p50 {first["p50"]} ms, p95 {first["p95"]} ms, max {first["max"]} ms '
        f'({first["steps"]} steps)',
    )
    result.add_row(
        'pose to the command that is there',
        f'{swing["delay_ms"]} ms; then the hand is off by p50 {swing["p50_mm"]} mm, '
        f'p95 {swing["p95_mm"]} mm',
    )
    result.add_row(
        'commands stood still', f'{content["holds"]} times, as targets came too late for a moment'
    )
    result.add_row(
        'inverse kinematics, both arms',
        f'p50 {inside["ik_p50_ms"]} ms, p99 {inside["ik_p99_ms"]} ms',
    )
    result.add_row(
        "with a headset's noise, in one process",
        f'{inside["delay_ms"]} ms; off by p50 {inside["position_p50_mm"]} mm and '
        f'{inside["orientation_p50_deg"]} deg, p95 {inside["position_p95_mm"]} mm and '
        f'{inside["orientation_p95_deg"]} deg',
    )
    return result


def first_commands(steps: list[float], times: Array, heights: Array) -> dict[str, float]:
    """How long after each step, when it was measured [s], a command moves a hand [ms].

    times: (N,) of commands [s]; heights: (N, 2) of the hands [m].
    """
    waits = []
    for step in steps:
        before, after = heights[times <= step], times > step
        if len(before):
            moved = np.abs(heights[after] - before[-1]).max(axis=1) > _SHOWN
            waits += (times[after][moved][:1] - step).tolist()
    return {**milliseconds(waits, 50, 95), 'steps': len(waits)}


def following(swings: Array, times: Array, hands: Array) -> dict[str, float]:
    """The delay at which hands (N, 2, 3) [m] at `times` (N,) [s] are nearest to what was measured.

    swings: (M, 2) times [s], and heights [m] of both operator's hands from where they began.
    """
    counts = (swings[:, 0] > swings[0, 0] + _SETTLING) & (swings[:, 0] < times[-1] - _LONGEST_DELAY)
    taken, wanted = swings[counts, 0], np.zeros((counts.sum(), 2, 3))
    wanted[:, :, 2] = swings[counts, 1:]

    def errors(delay: float) -> Array:
        """(M, 2) distances [m]; where the operator's hands began is not known here."""
        columns = hands.reshape(len(hands), -1).T
        there = np.transpose([np.interp(taken + delay, times, column) for column in columns])
        away = there.reshape(-1, 2, 3) - wanted
        return np.asarray(np.linalg.norm(away - away.mean(axis=0), axis=2))

    delay = min(np.arange(0.0, _LONGEST_DELAY, 1e-3), key=lambda d: float(np.sum(errors(d) ** 2)))
    p50, p95 = np.percentile(errors(delay), (50, 95)) * 1e3
    return {
        'delay_ms': round(float(delay) * 1e3),
        'p50_mm': round(float(p50), 2),
        'p95_mm': round(float(p95), 2),
    }


class _Operator:
    """Both hands, as measured whenever the headset asks; they press and release until told to act.

    steps: when each was first measured [s]. swings: (time [s], height [m]), as measured.
    """

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.swings: list[tuple[float, float]] = []
        self._began = 0.0
        self._height = self._rest
        self._grip = 0.0

    def step(self) -> None:
        self._began, self._height = time.time(), self._stepping

    def swing(self) -> None:
        self._began, self._height = time.time(), self._swinging

    def measure(self, now: float) -> Measurement:
        y = 1.0 + self._height(now) + _TREMBLE * math.sin(40 * now)
        return Measurement(
            head=(0.0, 1.5, 0.0, 0.0, 0.0, 0.0, 1.0),
            left=(-0.2, y, -0.35, 0.0, 0.0, 0.0, 1.0),
            right=(0.2, y, -0.35, 0.0, 0.0, 0.0, 1.0),
            grips=(self._grip, self._grip),
        )

    def _rest(self, now: float) -> float:
        self._grip = float(now % _PULSE > 0.5)
        return 0.0

    def _stepping(self, now: float) -> float:
        self._grip = 1.0
        count = int((now - self._began) / _STEP_EVERY)
        if count > len(self.steps):
            self.steps.append(now)
        return _STEP * (count % 2)

    def _swinging(self, now: float) -> float:
        t = now - self._began
        height = 0.05 * math.sin(2.5 * t) + 0.01 * math.sin(9.0 * t)
        self.swings.append((now, height))
        return height


@contextmanager
def _teleoperation() -> Iterator[_Operator]:
    """teleop_node, xrobotoolkit_node with the real SDK, and the operator that this yields."""
    system = find('teleop_record.launch.py')
    values = check(system, {'robot': 'g1', 'camera': 'none'})
    nodes = {node.executable: node for node in system.started(values)}
    headset, teleop = (command(nodes[n], values) for n in ('xrobotoolkit_node', 'teleop_node'))
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
    operator = _Operator()
    service = XrService(operator.measure, port)
    try:
        with TemporaryDirectory() as folder:
            settings = Path(folder, 'PXREASetting.ini')  # where the SDK looks for the service
            settings.write_text(f'[Client]\nconnectPort={port}\n')
            with process(headset, cwd=folder), process(teleop):
                yield operator
    finally:
        service.close()


class _Words:
    """What teleop_node says to the operator."""

    def __init__(self, rig: Rig) -> None:
        self._rig, self._newest = rig, 'nothing heard'
        rig.topics.listen(String, 'teleop/status', STATUS, self._on_words)

    def wait_until_moving(self) -> None:
        """Raises NoAnswer when the arms do not follow the hands."""
        deadline = time.monotonic() + _ENGAGED_WITHIN
        while self._rig.status.mode != SafetyStatus.ACTIVE:
            self._rig.poll()
            if time.monotonic() > deadline:
                self.check_moving()

    def check_moving(self) -> None:
        """Raises NoAnswer when the arms do not follow the hands, or not any more."""
        self._rig.topics.poll()
        if self._rig.status.mode != SafetyStatus.ACTIVE:
            raise NoAnswer(
                f'the arms do not follow the hands: control is {self._rig.status.text}, and '
                f'teleop_node says: {self._newest}'
            )

    def _on_words(self, message: String, _times: object) -> None:
        self._newest = message.data


def _hands(commands: list[tuple[int, bytes]]) -> tuple[Array, Array]:
    """Times (N,) [s], and where commands put both grasp frames (N, 2, 3) [m]."""
    kinematics = ArmKinematics()
    read = read_commands((sent * 1e-9, data) for sent, data in commands)
    poses = [kinematics.forward(command.q) for command in read]
    hands = [[pose[side][:3, 3] for side in SIDES] for pose in poses]
    return np.array([command.sent for command in read]), np.array(hands)
