"""Robot and policy on two machines, and what the robot does when the network between them fails.

The robot holds still within the length of a chunk, 1.6 s, of the last image that reached the
policy, and goes on when chunks come again; it is never disarmed for the network's sake.
"""

import ctypes
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from dit4dit_msgs.msg import SafetyStatus

from g1_bringup.launcher import command
from g1_bringup.systems import find

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location('link', HERE / 'link.py')
link_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(link_module)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
#: Longest time from the loss of the network to HOLD [s]: the chunk that was just received.
BOUND = 1.6
ROBOT, WORKSTATION = 0, 1


class Program:
    """A process on one of the machines, and the lines of JSON it prints, with the newest last."""

    def __init__(self, words: list[str]) -> None:
        self.lines: list[dict] = []
        self._process = subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, preexec_fn=_end_with_parent
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stdout:
            if line.startswith('{'):
                self.lines.append(json.loads(line))

    def end(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(20)


def _end_with_parent() -> None:
    """Nothing is left in the namespaces when the test is killed (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Machines:
    """The link, the programs at its ends, and what was measured."""

    def __init__(self, link) -> None:
        self.link = link
        node = next(
            n
            for n in find('policy.launch.py').nodes
            if n.executable == 'control_node' and ('robot', 'sim') in n.when
        )
        control = command(node, {'robot': 'sim', 'machine': 'robot'})
        python = sys.executable
        self.robot = Program(link.command(ROBOT, python, str(HERE / 'stub_robot.py')))
        self.control = Program(link.command(ROBOT, *control))
        self.policy = Program(link.command(WORKSTATION, python, str(HERE / 'stub_policy.py')))

    def close(self) -> None:
        for program in (self.policy, self.control, self.robot):
            program.end()

    def operator(self, *words: str) -> subprocess.CompletedProcess:
        words = self.link.command(ROBOT, 'g1', *words)
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    def wait_for_mode(self, mode: int, since: float, timeout: float) -> dict:
        """The first change into `mode` after `since` [s since 1970]."""
        deadline = time.time() + timeout
        while time.time() < deadline:
            for line in self.robot.lines:
                if line['time'] >= since and line['mode'] == mode:
                    return line
            time.sleep(0.01)
        pytest.fail(f'mode {mode} was not reached within {timeout} s: {self.robot.lines[-5:]}')

    @property
    def mode(self) -> int:
        return self.robot.lines[-1]['mode'] if self.robot.lines else -1

    def wait_until_active(self) -> None:
        deadline = time.monotonic() + 40
        while self.mode != SafetyStatus.ACTIVE:
            assert time.monotonic() < deadline, (self.robot.lines[-5:], self.policy.lines[-1:])
            time.sleep(0.02)


@pytest.fixture(scope='module')
def machines(ros_domain):
    if os.geteuid() != 0:
        pytest.skip('network namespaces are for root only; run as root to test two machines')
    try:
        link = link_module.Link()
    except link_module.NotPermittedError as error:
        pytest.skip(f'two network namespaces cannot be had here: {error}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET')
        both = Machines(link)
        try:
            deadline = time.monotonic() + 60
            while (armed := both.operator('arm')).returncode:
                assert time.monotonic() < deadline, armed.stderr
            both.wait_until_active()
            yield both
        finally:
            both.close()
            link.close()


def test_a_cut_cable_ends_in_hold_within_a_chunk_and_a_mended_one_goes_on(machines, capsys):
    for seconds in (3.0, 6.0):  # shorter and longer than the middleware takes to give a machine up
        machines.wait_until_active()
        cut = time.time()
        machines.link.cut = True
        held = machines.wait_for_mode(SafetyStatus.HOLD, cut, 10)
        assert held['reason'] == SafetyStatus.CHUNK_EXPIRED
        assert held['time'] - cut < BOUND
        time.sleep(max(0.0, cut + seconds - time.time()))
        assert machines.mode == SafetyStatus.HOLD
        mended = time.time()
        machines.link.cut = False
        active = machines.wait_for_mode(SafetyStatus.ACTIVE, mended, 40)
        with capsys.disabled():
            print(
                f'\ncut for {seconds:g} s: HOLD after {(held["time"] - cut) * 1e3:.0f} ms, '
                f'ACTIVE {(active["time"] - mended) * 1e3:.0f} ms after it was mended'
            )


def test_a_slow_network_makes_chunks_older_but_the_robot_goes_on(machines, capsys):
    machines.link.delay = 0.1
    time.sleep(1.0)
    began, chunks = time.time(), len(machines.policy.lines)
    time.sleep(5.0)
    ages = [line['age'] for line in machines.policy.lines[chunks:]]
    machines.link.delay = 0.0
    modes = [line['mode'] for line in machines.robot.lines if line['time'] > began]
    with capsys.disabled():
        print(
            f'\n100 ms: {len(ages)} chunks in 5 s, images {min(ages, default=0) * 1e3:.0f} to '
            f'{max(ages, default=0) * 1e3:.0f} ms old, modes {modes}'
        )
    assert ages and min(ages) >= 0.1
    assert set(modes) <= {SafetyStatus.ACTIVE, SafetyStatus.HOLD}
    machines.wait_until_active()


def test_a_lossy_network_never_disarms_and_mends(machines, capsys):
    machines.wait_until_active()
    machines.link.loss = 0.2
    began, chunks = time.time(), len(machines.policy.lines)
    time.sleep(8.0)
    machines.link.loss = 0.0
    modes = [line['mode'] for line in machines.robot.lines if line['time'] > began]
    mended = time.time()
    machines.wait_until_active()
    with capsys.disabled():
        print(
            f'\n20 % lost: {len(machines.policy.lines) - chunks} chunks in 8 s, modes {modes}; '
            f'ACTIVE {(time.time() - mended) * 1e3:.0f} ms after it was mended'
        )
    assert set(modes) <= {SafetyStatus.ACTIVE, SafetyStatus.HOLD}
