"""Starts a system as processes, on machines that have no `ros2 launch`."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import honcho.manager
import honcho.process
from ament_index_python.packages import get_package_prefix

from g1_bringup.running import second_system
from g1_bringup.system import (
    Include,
    Node,
    System,
    Value,
    command_line,
    is_installed,
    namespace,
    parameters,
    remappings,
)
from g1_ros.config import config_path
from g1_ros.middleware import environment
from g1_ros.parent import LAUNCHER, end_with_parent

#: A node gets SIGINT, this much later SIGTERM, and again this much later SIGKILL: all is quiet
#: within 5 s.
INTERRUPT_SECONDS = 3.0
TERMINATE_SECONDS = 1.0
#: Each node is a session, and Linux shares processors evenly among sessions, whatever their
#: processes' niceness: the session has one of its own (sched(7), autogroup).
_STAND_BACK = '{{ echo {nice} >/proc/self/autogroup; }} 2>/dev/null; exec nice -n {nice} "$@"'


def missing_packages(system: System, values: Mapping[str, Value]) -> str:
    """What has to be installed before this system can start, as a sentence; or nothing."""
    wanted = [node.package for node in system.started(values) if not is_installed(node.package)]
    ours = [name for name in wanted if name.startswith(('g1_', 'dit4dit_'))]
    if ours:
        return f'not built yet: {", ".join(ours)}; run scripts/setup.sh'
    if wanted:
        names = ' '.join('ros-jazzy-' + name.replace('_', '-') for name in dict.fromkeys(wanted))
        return (
            f'{system.name} needs {", ".join(dict.fromkeys(wanted))} of ROS 2 Jazzy; '
            f'install with: sudo apt-get install {names}, then source /opt/ros/jazzy/setup.bash'
        )
    return ''


def start(system: System, values: Mapping[str, Value]) -> int:
    """Starts every node of the system and returns when all have ended: 0 after Ctrl-C, else 1.

    Raises FileNotFoundError before anything is started when some of it is not installed,
    ValueError when such a system runs already.
    """
    if missing := missing_packages(system, values):
        raise FileNotFoundError(missing)
    if other := second_system(system, values):
        raise ValueError(other)
    if includes := system.included(values):
        raise FileNotFoundError(_only_ros2_launch(system, includes))
    nodes = system.started(values)
    commands = {node.label: command(node, values) for node in nodes}
    variables = {**os.environ, 'PYTHONUNBUFFERED': '1', **environment(values)}
    variables[LAUNCHER] = str(os.getpid())
    optional = {node.label for node in nodes if not node.required}
    return run(commands, variables, optional)


def command(node: Node, values: Mapping[str, Value]) -> list[str]:
    """The command that starts `node`, with its parameters as ROS arguments."""
    executable = Path(get_package_prefix(node.package), 'lib', node.package, node.executable)
    if not executable.is_file():
        raise FileNotFoundError(
            f'{node.package} has no executable {node.executable} in {executable.parent}; '
            'run scripts/setup.sh'
        )
    words = [str(executable), *command_line(node), '--ros-args']
    if node.nice:
        words = ['sh', '-c', _STAND_BACK.format(nice=node.nice), node.executable, *words]
    for name in node.config:
        words += ['--params-file', str(config_path(name))]
    for name, value in parameters(node, values).items():
        words += ['-p', f'{name}:={json.dumps(value)}']
    for name, other in remappings(node, values):
        words += ['-r', f'{name}:={other}']
    if place := namespace(values):
        words += ['-r', f'__ns:={place}']
    if 'log_level' in values:
        words += ['--log-level', str(values['log_level'])]
    return words


def run(
    commands: Mapping[str, list[str]],
    variables: Mapping[str, str],
    optional: set[str] | frozenset[str] = frozenset(),
) -> int:
    """Runs the commands until Ctrl-C (SIGINT, SIGTERM or SIGHUP), or until one of them ends.

    Their output appears line by line behind their names. Those in `optional` may end. Returns 0
    after Ctrl-C, 1 when a command ended.
    """
    processes = _Processes(optional)
    for name, words in commands.items():
        processes.add_process(name, 'exec ' + shlex.join(words), env=dict(variables))
    processes.loop()
    if processes.ended:
        what = ' and '.join(f'{name} {_how(code)}' for name, code in processes.ended.items())
        print(f'error: {what}, so everything was stopped', file=sys.stderr)
        return 1
    return 0


class _Processes(honcho.manager.Manager):
    """honcho's processes and printing; how they are stopped is ours.

    honcho itself sends SIGTERM and, only after one has ended, SIGKILL 5 s later.
    """

    def __init__(self, optional: set[str] | frozenset[str]) -> None:
        super().__init__()
        self._process_ctor = _Relay
        self._optional = optional
        self._terminating = False
        #: Exit codes of the processes whose end was the reason to stop.
        self.ended: dict[str, int] = {}
        self._launcher = os.getpid()

    def loop(self) -> None:
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        super().loop()

    def terminate(self) -> None:
        if self._terminating or os.getpid() != self._launcher:
            return  # a relay, just forked, that got the signal meant for all
        self._terminating = True
        if self._any_stopped():
            self.ended = {name: code for name, code in self._codes().items() if code is not None}
        threading.Thread(target=self._stop, daemon=True).start()

    def kill(self) -> None:
        """honcho's own last resort, 5 s after the first process ended; ours has come before."""

    def _stop(self) -> None:
        began = time.monotonic()
        steps = (
            (0.0, signal.SIGINT),
            (INTERRUPT_SECONDS, signal.SIGTERM),
            (INTERRUPT_SECONDS + TERMINATE_SECONDS, signal.SIGKILL),
        )
        for seconds, number in steps:
            while time.monotonic() < began + seconds and not self._all_stopped():
                time.sleep(0.02)
            for name, code in self._codes().items():
                if code is None:
                    self._signal(name, number)

    def _signal(self, name: str, number: signal.Signals) -> None:
        """Sends the signal to the process group of one process, waiting for it to be started.

        Python that is still loading would answer SIGINT with a traceback, and SIGTERM with nothing.
        """
        while (pid := self._processes[name].get('pid')) is None:
            time.sleep(0.01)
        with suppress(ProcessLookupError):
            if number == signal.SIGINT and not _catches(pid, signal.SIGTERM):
                number = signal.SIGTERM
            os.killpg(pid, number)

    def _codes(self) -> dict[str, int | None]:
        return {name: entry.get('returncode') for name, entry in self._processes.items()}

    def _any_stopped(self) -> bool:
        codes = self._codes()
        return any(code is not None for name, code in codes.items() if name not in self._optional)


class _Relay(honcho.process.Process):
    """A process that starts another one and passes its output on; it ends with the launcher."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._child_ctor = _Leader

    def run(self, *args: Any, **kwargs: Any) -> None:
        """What honcho runs in the new process."""
        end_with_parent(signal.SIGKILL)  # it is deaf to all others
        super().run(*args, **kwargs)


class _Leader(honcho.process.Popen):
    """The first process of its group; what it started ends with it, and so its output ends.

    It is asked to end (SIGTERM) when its relay is gone, as when the launcher was killed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, preexec_fn=end_with_parent, **kwargs)
        threading.Thread(target=self._sweep, daemon=True).start()

    def _sweep(self) -> None:
        self.wait()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def _catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process handles this signal itself; see SigCgt in proc(5)."""
    with suppress(OSError):
        for line in Path(f'/proc/{pid}/status').read_text().splitlines():
            name, _, mask = line.partition(':')
            if name == 'SigCgt':
                return bool(int(mask, 16) >> (number - 1) & 1)
    return False


def _how(code: int) -> str:
    return (
        f'was killed by {signal.Signals(-code).name}'
        if code < 0
        else f'ended with exit code {code}'
    )


def _only_ros2_launch(system: System, includes: list[Include]) -> str:
    files = ', '.join(f'{include.package}/{include.file}' for include in includes)
    return (
        f'{system.name} includes {files}, which only ros2 launch can start; '
        'install with: sudo apt-get install ros-jazzy-ros-base; '
        'then source /opt/ros/jazzy/setup.bash'
    )
