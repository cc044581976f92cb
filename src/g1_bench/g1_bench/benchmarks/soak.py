"""`g1 bench soak`: teleop_record and policy at work for long, while the computer is busy.

Half of the time an operator's demonstrations are recorded in simulation, half of it a policy runs a
task; every minute the system clock of all nodes is set, 20 s back or forward, and a program a core
does nothing but count. Heard are the commands of armed arms: each gap of more than 20 ms is told
with its cause, which is looked for in this order:

    not heard       its commands were sent, by their numbers; they were lost on the way to here
    clock step      the clock was set in it, which holds the arms
    computer        a loop that only sleeps, with the priority of control, was late as well
    no processor    control's thread was ready, or the one that it waited for, and the kernel let
                    others run
    computes        control's thread itself; or
    its other threads compute, and keep Python's interpreter from it
    sleeps          none of these

Who is disarmed by all that is armed again. The memory of every node is looked at, after a warm-up.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from dit4dit_msgs.msg import SafetyStatus
from rclpy.node import Node
from rich.table import Table
from unitree_hg.msg import LowCmd as LowCmdMessage

from g1_bench.benchmarks.rig import STOP, process
from g1_bench.benchmarks.thread_times import ThreadTimes, explained
from g1_console.listening import operator_node
from g1_console.services import NoAnswer, ask
from g1_control.nodes.control_node import CONTROL_THREAD
from g1_control.watchdog import weight_of
from g1_fakes.stepped_clock import SteppedClock
from g1_ros.polling import PolledTopics
from g1_ros.qos import EVERY_STATUS, STREAM

SECONDS = 1800.0
GAP = 0.02  # [s] between two commands that is told
_PERIOD = 0.004  # [s] of commands
_STEP = 20.0  # [s] by which the clock is set, back and forward in turn
_STEP_EVERY = 60.0  # [s]
_LOOK_EVERY = 5.0  # [s] at the memory
_POLL = 0.02  # [s]
_READY = 300.0  # [s] until the arms are armed for the first time
_SLACK = 0.05  # [s] around a gap in which its cause may show
_GROWN = 0.03, 5.0  # share, [MiB] by which a node may grow
_CONTROL = 'control_node'
_WARM = 1 / 3  # of the time, after which memory counts

#: Each system, as `g1 launch` takes it.
_SYSTEMS = {
    'teleop_record': ('teleop_record.launch.py', 'task:=pick_and_place', 'device:=scripted',
                      'episodes:=100000'),
    'policy': ('policy.launch.py', 'task:=arrange_flower'),
}  # fmt: skip

#: Prints when a 250 Hz loop woke up late [s since 1970] and by how much [s], once it is ended.
_BARE_LOOP = """
import signal, sys, time
from g1_ros.real_time import ask_for_real_time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print(*late)))
ask_for_real_time()
late, deadline = [], time.monotonic()
while True:
    deadline += 0.004
    time.sleep(max(0.0, deadline - time.monotonic()))
    over = time.monotonic() - deadline
    if over > 0.008:
        late += [time.time(), over]
        deadline += over
"""


@dataclass(frozen=True)
class Heard:
    """A command: when it was sent, by the nodes' clock, and came [s]; its number and its weight."""

    sent: float
    came: float
    number: int
    weight: float


@dataclass(frozen=True)
class Gap:
    """Between two commands of armed arms; came: when the second one did [s since 1970].

    numbers: what control_node's threads did meanwhile, in words.
    """

    came: float
    seconds: float
    cause: str
    numbers: str = ''


@dataclass
class _Soak:
    """What is heard of one system."""

    commands: list[Heard] = field(default_factory=list)
    statuses: list[tuple[float, SafetyStatus]] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)  # [s since 1970]
    memory: list[tuple[float, dict[str, float]]] = field(default_factory=list)  # [s], [MiB]
    threads: list[ThreadTimes] = field(default_factory=list)  # of control
    armings: int = 0


def measure(seconds: float) -> dict[str, Any]:
    """Half of the time each system. Raises NoAnswer when one cannot be armed."""
    return {
        'seconds': seconds,
        'cores': os.cpu_count(),
        **{name: _soaked(words, seconds / len(_SYSTEMS)) for name, words in _SYSTEMS.items()},
    }


def table(content: dict[str, Any]) -> Table:
    """The numbers for people."""
    result = Table(title=f'Soak, {content["seconds"]:g} s, the computer busy', show_header=False)
    for name in _SYSTEMS:
        part = content[name]
        causes = ', '.join(f'{count} {cause}' for cause, count in part['causes'].items())
        worst = max((gap['milliseconds'] for gap in part['gaps']), default=0.0)
        result.add_row(
            name,
            f'{part["commands"]} commands in {part["armed_s"]} s; {len(part["gaps"])} gaps above '
            f'{GAP * 1e3:.0f} ms{f" ({causes}), the longest {worst} ms" if causes else ""}',
        )
        result.add_row(
            '',
            f'clock set {part["clock_steps"]} times, next status after {part["status_ms"]} ms at '
            f'most; armed {part["armings"]} times; load {part["load"]}',
        )
        for gap in part['gaps']:
            result.add_row('', f'{gap["milliseconds"]} ms, {gap["cause"]}: {gap["numbers"]}')
        for node, (before, after) in part['memory_mib'].items():
            mark = '[red]grows[/] ' if grows(before, after) else ''
            result.add_row('', f'{mark}{node}: {before} -> {after} MiB')
    return result


def grows(before: float, after: float) -> bool:
    """Whether a node's memory is not flat [MiB]."""
    share, least = _GROWN
    return after - before > max(share * before, least)


def gaps(
    commands: list[Heard],
    steps: list[float],
    late: list[tuple[float, float]],
    threads: list[ThreadTimes],
) -> list[Gap]:
    """Those above GAP between commands with weight, with their causes.

    steps: when the clock was set; late: when a loop that only sleeps woke up, and by how much it
    was late [s]; threads: of control.
    """
    found = []
    for first, second in itertools.pairwise(commands):
        seconds = second.sent - first.sent
        if abs(seconds) > _STEP / 2:  # the clock was set in between
            seconds -= np.sign(seconds) * _STEP
        if min(first.weight, second.weight) > 0.0 and seconds > GAP:
            why, numbers = explained(threads, second.came - seconds, second.came)
            cause = _cause(first, second, seconds, steps, late) or why
            found.append(Gap(second.came, seconds, cause, numbers))
    return found


def _cause(
    first: Heard,
    second: Heard,
    seconds: float,
    steps: list[float],
    late: list[tuple[float, float]],
) -> str:
    """One that lies outside of control_node; empty where none is seen."""
    begin, end = second.came - seconds - _SLACK, second.came + _SLACK
    lost = second.number - first.number - 1
    if lost * _PERIOD > seconds / 2:
        return 'not heard'
    if any(begin <= step <= end for step in steps):
        return 'clock step'
    if any(begin <= woken <= end + over for woken, over in late):
        return 'computer'
    return ''


def _soaked(words: tuple[str, ...], seconds: float) -> dict[str, Any]:
    """One system at work for so long, once it is armed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix='g1_soak_')))
        clock = stack.enter_context(SteppedClock())
        if words[0].startswith('teleop'):
            words = (*words, f'dataset:={folder / "dataset"}')
        log = stack.enter_context((folder / 'log.txt').open('w'))
        launcher = stack.enter_context(
            process(
                [shutil.which('g1') or 'g1', 'launch', *words],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **clock.variables},
            )
        )
        node = stack.enter_context(operator_node('soak'))
        heard, operator = _Soak(), _Operator(node, launcher)
        operator.listen(heard)
        operator.wait_until_armed(folder / 'log.txt')
        for _ in range(os.cpu_count() or 1):
            stack.enter_context(
                process(
                    ['nice', '-n', '5', sys.executable, '-c', 'while True: pass'],
                    stderr=subprocess.DEVNULL,
                )
            )
        loop = stack.enter_context(
            process([sys.executable, '-c', _BARE_LOOP], stdout=subprocess.PIPE)
        )
        heard.commands.clear()
        operator.work(seconds, clock)
        load = round(os.getloadavg()[0], 1)
        loop.terminate()
        numbers = np.array(loop.communicate(timeout=STOP)[0].split(), float).reshape(-1, 2)
    return _numbers(heard, [(woken, over) for woken, over in numbers.tolist()], load)


def _numbers(heard: _Soak, late: list[tuple[float, float]], load: float) -> dict[str, Any]:
    found = gaps(heard.commands, heard.steps, late, heard.threads)
    waits = [
        next((stamp - step for stamp, _ in heard.statuses if stamp > step), np.inf)
        for step in heard.steps
    ]
    armed = [command for command in heard.commands if command.weight > 0.0]
    return {
        'commands': len(armed),
        'armed_s': round(len(armed) * 0.004, 1),
        'gaps': [
            {
                'milliseconds': round(gap.seconds * 1e3, 1),
                'cause': gap.cause,
                'numbers': gap.numbers,
                'at': gap.came,
            }
            for gap in found
        ],
        'causes': dict(Counter(gap.cause for gap in found).most_common()),
        'clock_steps': len(heard.steps),
        'status_ms': round(max(waits, default=0.0) * 1e3),
        'armings': heard.armings,
        'load': load,
        'memory_mib': _growth(heard.memory),
    }


def _growth(memory: list[tuple[float, dict[str, float]]]) -> dict[str, tuple[float, float]]:
    """Of each node the median [MiB] of the second and of the last third of the time."""
    if not memory:
        return {}
    third = len(memory) * _WARM
    middle, last = memory[int(third) : int(2 * third)], memory[int(2 * third) :]

    def median(looks: list[tuple[float, dict[str, float]]], node: str) -> float:
        return round(float(np.median([sizes[node] for _, sizes in looks if node in sizes])), 1)

    names = set(memory[-1][1]).intersection(*(sizes for _, sizes in middle))
    return {name: (median(middle, name), median(last, name)) for name in sorted(names)}


class _Operator:
    """Listens, arms, sets the clock, looks at the nodes' memory."""

    def __init__(self, node: Node, launcher: subprocess.Popen[str]) -> None:
        self._node, self._launcher = node, launcher
        self._topics = PolledTopics(node)
        self._disarmed_since: float | None = None

    def listen(self, heard: _Soak) -> None:
        self._heard = heard
        self._topics.listen(LowCmdMessage, 'arm_sdk', STREAM, self._keep_command, raw=True)
        self._topics.listen(SafetyStatus, 'control/safety_status', EVERY_STATUS, self._keep_status)

    def wait_until_armed(self, log: Path) -> None:
        """Raises NoAnswer, with the end of the log, when that takes too long."""
        deadline = time.monotonic() + _READY
        while not (self._heard.commands and self._heard.commands[-1].weight == 1.0):
            self._look_after()
            if time.monotonic() > deadline or self._launcher.poll() is not None:
                raise NoAnswer(f'the arms were not armed:\n{log.read_text()[-2000:]}')

    def work(self, seconds: float, clock: SteppedClock) -> None:
        """Sets the clock again and again, for so long; raises NoAnswer when the system ends."""
        began = looked = time.monotonic()
        every = min(_STEP_EVERY, seconds / 3)
        control = next(n for n, name in _nodes(self._launcher.pid).items() if name == _CONTROL)
        while (now := time.monotonic()) < began + seconds:
            if self._launcher.poll() is not None:
                raise NoAnswer(f'the system ended by itself, with {self._launcher.returncode}')
            if now > began + (len(self._heard.steps) + 1) * every:
                self._heard.steps.append(time.time())
                clock.step(_STEP if len(self._heard.steps) % 2 == 0 else -_STEP)
            if now > looked:
                looked += _LOOK_EVERY
                self._heard.memory.append((now - began, _memory(self._launcher.pid)))
            if (times := ThreadTimes.now(control, CONTROL_THREAD)) is not None:
                self._heard.threads.append(times)
            self._look_after()

    def _look_after(self) -> None:
        """Takes what has come; arms where nobody has been armed for a second."""
        self._topics.poll()
        time.sleep(_POLL)
        statuses = self._heard.statuses
        if not statuses or statuses[-1][1].mode != SafetyStatus.DISARMED:
            self._disarmed_since = None
        elif self._disarmed_since is None:
            self._disarmed_since = time.monotonic()
        elif time.monotonic() > self._disarmed_since + 1.0:
            self._disarmed_since = None
            with suppress(NoAnswer):
                self._heard.armings += ask(self._node, 'control/arm').success

    def _keep_command(self, data: bytes, times: dict[str, int]) -> None:
        self._heard.commands.append(
            Heard(
                times['source_timestamp'] * 1e-9,
                times['received_timestamp'] * 1e-9,
                times.get('publication_sequence_number', 0),
                weight_of(data),
            )
        )

    def _keep_status(self, message: SafetyStatus, times: dict[str, int]) -> None:
        self._heard.statuses.append((times['received_timestamp'] * 1e-9, message))


def _memory(launcher: int) -> dict[str, float]:
    """Resident memory [MiB] of every node that the launcher has started, by name."""
    sizes: dict[str, float] = {}
    for number, name in _nodes(launcher).items():
        with suppress(OSError, IndexError):
            pages = int(Path(f'/proc/{number}/statm').read_text().split()[1])
            sizes[name] = sizes.get(name, 0.0) + pages * os.sysconf('SC_PAGE_SIZE') / 2**20
    return sizes


def _nodes(launcher: int) -> dict[int, str]:
    """Process and name of every node that the launcher has started."""
    names: dict[int, str] = {}
    found = _children(launcher)
    for number in found:
        found += _children(number)
        with suppress(OSError):
            words = Path(f'/proc/{number}/cmdline').read_text().split('\0')
            name = next((Path(word).name for word in words if '/lib/' in word), '')
            if name:  # no shell, nor a process that a node has started
                names[number] = name
    return names


def _children(number: int) -> list[int]:
    with suppress(OSError):
        return [int(n) for n in Path(f'/proc/{number}/task/{number}/children').read_text().split()]
    return []
