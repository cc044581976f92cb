"""Robot and policy on two machines, and what the robot does when the network between them fails.

The robot holds still within the length of a chunk, 1.6 s, of the last image that reached the
policy, and goes on when chunks come again; it is never disarmed for the network's sake.
"""

import os
import subprocess
import time

import pytest
from dit4dit_msgs.msg import SafetyStatus

from g1_bringup.launcher import command
from g1_bringup.systems import find
from g1_test_support.link import Link, NotPermittedError
from g1_test_support.processes import Program, module
from g1_test_support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
#: Longest time from the loss of the network to HOLD [s]: the chunk that was just received.
BOUND = 1.6
ROBOT, WORKSTATION = 0, 1


class Machines:
    """The link, the programs at its ends, and what was measured."""

    def __init__(self, link) -> None:
        self.link = link
        nodes, values = find('policy.launch.py').nodes, {'robot': 'sim', 'machine': 'robot'}
        control = next(
            n for n in nodes if n.executable == 'control_node' and ('robot', 'sim') in n.when
        )
        watchdog = next(n for n in nodes if n.executable == 'watchdog')
        self.robot = Program(link.command(ROBOT, *module('g1_test_support.stub_robot')))
        self.watchdog = Program(link.command(ROBOT, *command(watchdog, values)))
        self.control = Program(link.command(ROBOT, *command(control, values)))
        self.policy = Program(link.command(WORKSTATION, *module('g1_test_support.stub_policy')))

    def close(self) -> None:
        for program in (self.policy, self.control, self.watchdog, self.robot):
            program.end()

    def operator(self, *words: str) -> subprocess.CompletedProcess:
        words = self.link.command(ROBOT, 'g1', *words)
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    def modes(self, since: float) -> list[dict]:
        """The changes of control's mode from then on [s since 1970]."""
        return [line for line in self.robot.json_lines if line['time'] >= since]

    def wait_for_mode(self, mode: int, since: float, timeout: float) -> dict:
        """The first change into `mode` from `since` on."""
        return wait_until(
            lambda: next((line for line in self.modes(since) if line['mode'] == mode), {}),
            lambda: f'mode {mode}: {self.robot.json_lines[-5:]}',
            timeout,
        )

    @property
    def mode(self) -> int:
        return self.robot.json_lines[-1]['mode'] if self.robot.json_lines else -1

    def wait_until_active(self) -> None:
        wait_until(
            lambda: self.mode == SafetyStatus.ACTIVE,
            lambda: f'ACTIVE: {self.robot.json_lines[-5:]}, {self.policy.json_lines[-1:]}',
            40.0,
        )


@pytest.fixture(scope='module')
def machines(ros_domain):
    if os.geteuid() != 0:
        pytest.skip('network namespaces are for root only; run as root to test two machines')
    try:
        link = Link()
    except NotPermittedError as error:
        pytest.skip(f'two network namespaces cannot be had here: {error}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET')
        both = Machines(link)
        try:
            wait_until(lambda: both.operator('arm').returncode == 0, 'g1 arm')
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
    heard = machines.policy.json_lines
    machines.link.delay = 0.1
    wait_until(lambda: heard and heard[-1]['age'] >= 0.1, 'a chunk for an image 100 ms late', 30.0)
    began, chunks = time.time(), len(heard)
    wait_until(lambda: len(heard) >= chunks + 15, 'fifteen chunks', 60.0)
    ages = [line['age'] for line in heard[chunks : chunks + 15]]
    machines.link.delay = 0.0
    modes = [line['mode'] for line in machines.modes(began)]
    with capsys.disabled():
        print(
            f'\n100 ms: images {min(ages) * 1e3:.0f} to {max(ages) * 1e3:.0f} ms old, modes {modes}'
        )
    assert min(ages) >= 0.1
    assert set(modes) <= {SafetyStatus.ACTIVE, SafetyStatus.HOLD}
    machines.wait_until_active()


def test_a_lossy_network_never_disarms_and_mends(machines, capsys):
    machines.wait_until_active()
    heard = machines.policy.json_lines
    machines.link.loss = 0.2
    began, chunks = time.time(), len(heard)
    time.sleep(8.0)
    machines.link.loss = 0.0
    modes = [line['mode'] for line in machines.modes(began)]
    mended = time.time()
    machines.wait_until_active()
    with capsys.disabled():
        print(
            f'\n20 % lost: {len(heard) - chunks} chunks in 8 s, modes {modes}; '
            f'ACTIVE {(time.time() - mended) * 1e3:.0f} ms after it was mended'
        )
    assert set(modes) <= {SafetyStatus.ACTIVE, SafetyStatus.HOLD}
