"""The processes of a system under test: started, signalled, told of faults, and ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TextIO

from g1_bench.launched import end_with_parent
from g1_bringup.arguments import check
from g1_bringup.launcher import command
from g1_bringup.systems import find

#: `robot` is Unitree's SDK with emulated servos, `sim` the simulation with the policy, `remote`
#: with a policy behind a server, `launched` the simulation without one, by its launcher.
SystemName = Literal['robot', 'sim', 'remote', 'launched']
PROCESSES: dict[SystemName, tuple[str, ...]] = {
    'robot': ('sdk_robot', 'grippers', 'gripper_node', 'watchdog', 'control_node'),
    'sim': ('sim_node', 'watchdog', 'control_node', 'policy_node'),
    'remote': ('server', 'sim_node', 'watchdog', 'control_node', 'policy_node'),
    'launched': ('launcher',),
}
_END = 5.0  # what they may take to end [s]
_DEADLY = (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV)
_WITH_CLOCK = ('control_node', 'watchdog', 'gripper_node')
_NO_DISK = 1_000_000_000  # [MB] that no disk has free


class Processes:
    """The processes by name; what they print goes to NAME.log in `folder`."""

    def __init__(self, system: SystemName, folder: Path, clock: Mapping[str, str]) -> None:
        """clock: environment of the nodes whose clock is to be set."""
        self._system: SystemName = system
        self._clock = clock
        self._folder = folder
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._logs: list[TextIO] = []
        #: Parameters that a node is started with beside its own, by the node's name.
        self.changes: dict[str, tuple[tuple[str, float], ...]] = {}
        #: Whether control_node of `robot` is told what is around it.
        self.knows_world = True
        with socket.create_server(('127.0.0.1', 0)) as server:
            self._port = server.getsockname()[1]  # of the policy server

    def start(self, name: str) -> None:
        """Starts one of the system's processes or, for `robot`, one that comes to it.

        These are the `intruder` on /arm_sdk, a `second_control`, `teleop_node` and `recorder_node`.
        """
        set_clock = self._system == 'robot' and name in _WITH_CLOCK
        log = (self._folder / f'{name}.log').open('a')
        self._logs.append(log)
        self._running[name] = subprocess.Popen(
            self._command(name),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            text=True,
            env={**os.environ, **(self._clock if set_clock else {})},
            preexec_fn=_as_others,
        )

    def signal(self, name: str, number: signal.Signals) -> float:
        """Sends a signal; when [s since 1970]."""
        process = self._running[name]
        sent = time.time()
        process.send_signal(number)
        if number in _DEADLY:
            process.wait()
        return sent

    def tell(self, name: str, order: dict[str, Any]) -> float:
        """A line of JSON to the SDK robot or the emulated grippers, as they understand it; when."""
        pipe = self._running[name].stdin
        assert pipe is not None
        sent = time.time()
        print(json.dumps(order), file=pipe, flush=True)
        return sent

    def serves(self) -> bool:
        """Whether the policy server answers."""
        with suppress(OSError), socket.create_connection(('127.0.0.1', self._port), 1.0):
            return True
        return False

    def runs(self, name: str) -> bool:
        """Whether it was started, and has not ended."""
        return name in self._running and self._running[name].poll() is None

    def children(self, name: str) -> list[int]:
        """Process ids of what this process started."""
        return _children(self._running[name].pid)

    def descendants(self, name: str) -> list[int]:
        """Process ids of what this process started, and of what those did."""
        found = self.children(name)
        for number in found:
            found += _children(number)
        return found

    def ended(self) -> str:
        """What is said of a process that ended by itself; nothing while there is none."""
        for name, process in self._running.items():
            if process.poll() not in (None, 0, *(-number for number in _DEADLY)):
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
        if name == 'launcher':
            return [_program('g1'), 'launch', 'robot.launch.py', 'robot:=sim']
        if name == 'server':
            return [_program('dit4dit'), 'serve', '--port', str(self._port)]
        words = self._node_command('control_node' if name == 'second_control' else name)
        if name == 'recorder_node':
            words += ['-p', f'disk_free:={_NO_DISK}', '-p', f'dataset:={self._folder / "dataset"}']
        if name == 'gripper_node':
            words += [
                w for side in ('left', 'right') for w in ('-p', f'{side}_port:={ports / side}')
            ]
        return words

    def _node_command(self, name: str) -> list[str]:
        operated = name in ('teleop_node', 'recorder_node')
        system = find('teleop_record.launch.py' if operated else 'policy.launch.py')
        given = {'robot': 'g1' if self._system == 'robot' else 'sim', 'camera': 'none'}
        if not operated:
            given['run'] = 'false'
        if self._system == 'remote':
            given |= {'policy': 'remote', 'server': f'ws://127.0.0.1:{self._port}'}
        values = check(system, given)
        node = next(n for n in system.started(values) if n.executable == name)
        config, parameters = node.config, (*node.parameters, *self.changes.get(name, ()))
        if name == 'control_node' and self._system == 'robot' and self.knows_world:
            config = (*config, 'sim_world.yaml')  # but the SDK's robot has no table
            parameters = (*parameters, ('table_height', -0.5))
        return command(replace(node, nice=0, config=config, parameters=parameters), values)


def _program(name: str) -> str:
    return shutil.which(name) or name


def _children(number: int) -> list[int]:
    with suppress(OSError):
        return [int(n) for n in Path(f'/proc/{number}/task/{number}/children').read_text().split()]
    return []


def _as_others() -> None:
    """In a child process: it ends with this one, whose priority it does not inherit."""
    end_with_parent()
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
