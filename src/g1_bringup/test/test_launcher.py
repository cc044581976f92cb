"""Processes start and end together: within 5 s, whatever they do, with nobody left behind."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from g1_test_support.waiting import DEADLINE, wait_until

#: A program that says it runs, and how it takes being asked to stop.
POLITE = 'import time; print("up", flush=True); time.sleep(60)'
DEAF = (
    'import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); '
    'signal.signal(signal.SIGTERM, signal.SIG_IGN); print("up", flush=True); time.sleep(60)'
)
PARENT = (
    'import subprocess, sys, time; '
    f'child = subprocess.Popen([sys.executable, "-c", {DEAF!r}]); '
    'print("child", child.pid, flush=True); time.sleep(60)'
)


class Launcher:
    """`launcher.run` in a process of its own, as `g1 launch` has it."""

    def __init__(self, log: Path, **programs: str) -> None:
        self.log = log
        commands = {name: [sys.executable, '-c', program] for name, program in programs.items()}
        script = (
            'import os, sys; from g1_bringup.launcher import run; '
            f'sys.exit(run({commands!r}, dict(os.environ), {{"optional"}}))'
        )
        with log.open('w') as file:
            self.process = subprocess.Popen(
                [sys.executable, '-c', script], stdout=file, stderr=file, start_new_session=True
            )

    def wait_for(self, text: str, count: int = 1) -> str:
        wait_until(
            lambda: self.log.read_text().count(text) >= count,
            lambda: f'{count} times {text!r} in:\n{self.log.read_text()}',
            20.0,
        )
        return self.log.read_text()

    def stop(self, number: signal.Signals = signal.SIGINT) -> float:
        """Sends the signal to the launcher; how long it then took to end [s]."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(DEADLINE)
        return time.monotonic() - began

    def pids(self) -> list[int]:
        words = self.log.read_text().replace(')', ' ').split()
        started = [int(word[5:]) for word in words if word.startswith('(pid=')]
        return started + [int(b) for a, b in itertools.pairwise(words) if a == 'child']


def running(pids: list[int]) -> list[int]:
    """Those of the processes that still run; a zombie nobody has waited for yet does not."""
    states = {}
    for pid in pids:
        stat = Path(f'/proc/{pid}/stat')
        if stat.exists():
            states[pid] = stat.read_text().rpartition(')')[2].split()[0]
    return [pid for pid, state in states.items() if state != 'Z']


@pytest.fixture
def launch(tmp_path):
    launchers: list[Launcher] = []

    def start(**programs):
        launchers.append(Launcher(tmp_path / f'log{len(launchers)}.txt', **programs))
        return launchers[-1]

    yield start
    for launcher in launchers:
        for pid in [launcher.process.pid, *launcher.pids()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        launcher.process.wait()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_polite_processes_end_at_the_first_signal(launch, number):
    launcher = launch(a=POLITE, b=POLITE)
    launcher.wait_for('up', 2)
    assert launcher.stop(number) < 3
    assert launcher.process.returncode == 0
    assert running(launcher.pids()) == []


def test_python_that_is_still_loading_ends_without_a_traceback(launch):
    launcher = launch(a=POLITE, b=POLITE)
    launcher.wait_for('up', 2)
    assert launcher.stop() < 3
    said = launcher.log.read_text()
    assert 'KeyboardInterrupt' not in said and 'Traceback' not in said


def test_ctrl_c_stops_deaf_processes_and_their_children_within_5_s(launch):
    launcher = launch(deaf=DEAF, parent=PARENT)
    launcher.wait_for('up', 2)
    assert len(launcher.pids()) == 3
    assert launcher.stop() < 5
    assert launcher.process.returncode == 0
    assert running(launcher.pids()) == []


def test_a_process_that_ends_stops_the_others_and_is_named(launch):
    launcher = launch(survivor=POLITE, broken='raise SystemExit(3)')
    assert launcher.process.wait(DEADLINE) == 1
    assert (
        'error: broken ended with exit code 3, so everything was stopped'
        in launcher.log.read_text()
    )
    assert running(launcher.pids()) == []


def test_a_killed_process_is_noticed_though_its_child_lives(launch):
    launcher = launch(survivor=POLITE, parent=PARENT)
    launcher.wait_for('up', 2)
    text = launcher.log.read_text()
    os.kill(int(text.split('parent started (pid=')[1].split(')')[0]), signal.SIGKILL)
    assert launcher.process.wait(DEADLINE) == 1
    assert 'error: parent was killed by SIGKILL' in launcher.log.read_text()
    assert running(launcher.pids()) == []


def test_a_killed_launcher_takes_its_processes_along(launch):
    launcher = launch(polite=POLITE, other=POLITE)
    launcher.wait_for('up', 2)
    launcher.process.send_signal(signal.SIGKILL)
    launcher.process.wait(DEADLINE)
    wait_until(lambda: not running(launcher.pids()), 'their end', 5.0)


def test_an_optional_process_may_end(launch):
    launcher = launch(needed=POLITE, optional='print("closed")')
    launcher.wait_for('optional stopped (rc=0)')
    launcher.wait_for('up')
    assert launcher.process.poll() is None
    launcher.stop()
    assert launcher.process.returncode == 0


def test_every_line_stands_behind_the_name_of_its_process(launch):
    launcher = launch(talker='print("hello"); print("world")')
    launcher.process.wait(DEADLINE)
    lines = launcher.log.read_text().splitlines()
    assert sum('talker | hello' in line or 'talker | world' in line for line in lines) == 2
