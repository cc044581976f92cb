"""control_node at work for a benchmark: Unitree's SDK plays the robot, the rig its grippers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from dit4dit_msgs.msg import SafetyStatus
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import JointState
from unitree_hg.msg import LowCmd as LowCmdMessage

from g1_bringup.launcher import command
from g1_bringup.system import G1
from g1_bringup.systems import find
from g1_console.listening import operator_node
from g1_console.services import NoAnswer, ask
from g1_control.unitree import ARM_MOTORS, LowCmd
from g1_description import load_robot
from g1_ros.polling import PolledTopics
from g1_ros.qos import COMMAND, STATUS, STREAM

STOP = 10.0  # what a process may take to end [s]
_READY = 60.0  # [s]
_REST = 0.3  # [s] after arming


class Rig:
    """What a benchmark sees of the system; `node` is polled, not spun.

    keep: called with every serialised LowCmd and the time it was sent [ns since 1970].
    control: control_node's process.
    """

    def __init__(self, node: Node, control: subprocess.Popen[str]) -> None:
        self.node, self.control = node, control
        self.keep: Callable[[bytes, int], None] = lambda _data, _sent: None
        self.status = SafetyStatus(lowstate_age=-1.0)
        self._newest = b''
        self.topics = PolledTopics(node)
        self.topics.listen(LowCmdMessage, 'arm_sdk', STREAM, self._on_command, raw=True)
        self.topics.listen(SafetyStatus, 'control/safety_status', STATUS, self._on_status)
        self._grippers = [
            (
                node.create_publisher(JointState, f'{name.split("_")[0]}_gripper/state', COMMAND),
                name,
            )
            for name in load_robot().gripper_joints
        ]

    def arm(self) -> None:
        """Raises NoAnswer when the robot cannot be armed."""
        deadline = time.monotonic() + _READY
        while self.status.mode != SafetyStatus.HOLD:
            self.poll()
            if self.status.mode == SafetyStatus.DISARMED and self.status.lowstate_age >= 0.0:
                ask(self.node, 'control/arm')
                self.wait(0.5)
            if time.monotonic() > deadline:
                raise NoAnswer(f'the robot did not arm: {self.status.text or "nothing heard"}')
        self.wait(_REST)

    def wait(self, seconds: float) -> None:
        """Polls for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.poll()

    def poll(self) -> None:
        """Says how the grippers are and, 20 ms later, takes what has come."""
        now = self.node.get_clock().now().to_msg()
        for publisher, name in self._grippers:
            message = JointState(name=[name], position=[0.02], velocity=[0.0])
            message.header.stamp = now
            publisher.publish(message)
        time.sleep(0.02)
        self.topics.poll()

    def _on_status(self, status: SafetyStatus, _times: object) -> None:
        self.status = status

    @property
    def commanded(self) -> NDArray[np.float64]:
        """(14,) of the newest command [rad]."""
        wire = LowCmd()
        wire.load(self._newest)
        return wire.q[ARM_MOTORS].astype(float)

    def _on_command(self, data: bytes, times: dict[str, int]) -> None:
        self._newest = data
        self.keep(data, times['source_timestamp'])


@contextmanager
def armed_rig() -> Iterator[Rig]:
    """Starts robot and control_node and arms. Raises NoAnswer when that does not work."""
    nodes = find('robot.launch.py').nodes
    node = next(n for n in nodes if n.executable == 'control_node' and n.when == G1)
    config = (*node.config, 'sim_world.yaml')  # but the SDK's robot has no table
    node = replace(node, config=config, parameters=(('table_height', -0.5),))
    watchdog = next(n for n in nodes if n.executable == 'watchdog')
    robot = [sys.executable, '-m', 'g1_fakes.sdk_robot', '--domain', os.environ['ROS_DOMAIN_ID']]
    with (
        process(robot, stdin=subprocess.PIPE),
        process(command(watchdog, {'robot': 'g1'})),
        process(command(node, {'robot': 'g1'})) as control,
        operator_node('g1_bench') as operator,
    ):
        rig = Rig(operator, control)
        rig.arm()
        yield rig


def milliseconds(
    seconds: Sequence[float] | NDArray[np.float64], *percents: float
) -> dict[str, float]:
    """Percentiles and the largest [ms], as p50 for 50 and max; NaN where there are no values."""
    values = np.array(seconds if len(seconds) else [np.nan]) * 1e3
    names = [*(f'p{percent:g}' for percent in percents), 'max']
    found = [*np.percentile(values, percents), values.max()]
    return {name: round(float(value), 2) for name, value in zip(names, found, strict=True)}


def processor_time(pid: int) -> float:
    """What the process has used so far [s] (proc(5), stat)."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


@contextmanager
def process(words: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Runs a program, quietly unless `options` (of Popen) say otherwise, and ends it."""
    running = subprocess.Popen(
        words, text=True, **{'stdout': subprocess.DEVNULL, **options}, start_new_session=True
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.send_signal(signal.SIGINT)
        try:
            running.wait(STOP)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
