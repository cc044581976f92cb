"""The processes of a system under test: started, signalled, told of faults, and ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TextIO

from g1_bench.launched import end_with_parent
from g1_bringup.arguments import check
from g1_bringup.launcher import command
from g1_bringup.system import holds
from g1_bringup.systems import find

#: `robot` is Unitree's SDK with emulated servos, `sim` the simulation with the policy.
SystemName = Literal['robot', 'sim']
PROCESSES: dict[SystemName, tuple[str, ...]] = {
    'robot': ('sdk_robot', 'grippers', 'gripper_node', 'watchdog', 'control_node'),
    'sim': ('sim_node', 'watchdog', 'control_node', 'policy_node'),
}
_END = 5.0  # what they may take to end [s]


class Processes:
    """The processes by name; what they print goes to NAME.log in `folder`."""

    def __init__(self, system: SystemName, folder: Path) -> None:
        self._system: SystemName = system
        self._folder = folder
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._logs: list[TextIO] = []

    def start(self, name: str) -> None:
        """Starts one of the system's processes, or the `intruder` on /arm_sdk."""
        log = (self._folder / f'{name}.log').open('a')
        self._logs.append(log)
        self._running[name] = subprocess.Popen(
            self._command(name),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            text=True,
            preexec_fn=_as_others,
        )

    def signal(self, name: str, number: signal.Signals) -> float:
        """Sends a signal; when [s since 1970]."""
        process = self._running[name]
        sent = time.time()
        process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            process.wait()
        return sent

    def tell(self, name: str, order: dict[str, Any]) -> float:
        """A line of JSON to the SDK robot or the emulated grippers, as they understand it; when."""
        pipe = self._running[name].stdin
        assert pipe is not None
        sent = time.time()
        print(json.dumps(order), file=pipe, flush=True)
        return sent

    def children(self, name: str) -> list[int]:
        """Process ids of what this process started."""
        number = self._running[name].pid
        return [int(n) for n in Path(f'/proc/{number}/task/{number}/children').read_text().split()]

    def ended(self) -> str:
        """What is said of a process that ended by itself; nothing while there is none."""
        for name, process in self._running.items():
            if process.poll() not in (None, -signal.SIGKILL, -signal.SIGTERM, 0):
                log = (self._folder / f'{name}.log').read_text()[-500:]
                return f'{name} ended with {process.returncode}: {log}'
        return ''

    def close(self) -> None:
        """Ends all of them, stopped ones too."""
        for process in self._running.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.terminate()
        deadline = time.monotonic() + _END
        for process in self._running.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for log in self._logs:
            log.close()

    def _command(self, name: str) -> Sequence[str]:
        domain = os.environ['ROS_DOMAIN_ID']
        ports = self._folder / 'ports'
        programs = {
            'sdk_robot': ('g1_fakes.sdk_robot', '--domain', domain),
            'intruder': ('g1_fakes.sdk_intruder', '--domain', domain, '--rate', '0'),
            'grippers': (
                *('g1_fakes.dynamixel_emulator', '--folder', str(ports)),
                *('--log', str(self._folder / 'grippers.jsonl')),
            ),
        }
        if name in programs:
            return [sys.executable, '-m', *programs[name]]
        system = find('policy.launch.py')
        robot = 'sim' if self._system == 'sim' else 'g1'
        values = check(system, {'robot': robot, 'run': 'false', 'camera': 'none'})
        node = next(n for n in system.nodes if n.executable == name and holds(n.when, values))
        words = command(replace(node, nice=0), values)
        if name == 'gripper_node':
            words += [
                w for side in ('left', 'right') for w in ('-p', f'{side}_port:={ports / side}')
            ]
        return words


def _as_others() -> None:
    """In a child process: it ends with this one, whose priority it does not inherit."""
    end_with_parent()
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
