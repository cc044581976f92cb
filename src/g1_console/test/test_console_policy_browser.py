"""The console beside a policy that drives, and an operator who takes the arms from it.

G1_CONSOLE_PICTURES=docs python -m pytest src/g1_console/test/test_console_policy_browser.py -m slow

makes the pictures of docs/console.md too.
"""

import socket
import threading

import numpy as np
import pytest
from console_pictures import CLI, VIEWER, keep, press

from g1_ros.operator import HandInput, OperatorInput, OperatorPublisher
from g1_test_support.browser import Browser, chromium
from g1_test_support.outside import Outside
from g1_test_support.processes import Program, python

BAR = "document.getElementById('bar').innerText"
_PATIENCE = 300.0  # [s]; a policy takes long to load where a browser draws in software
pytestmark = pytest.mark.slow  # drawing in software takes the cores from all else


class Operator(Outside):
    """Holds both controllers; the left hand goes forward at 4 cm/s while its grip is pressed."""

    def __init__(self) -> None:
        super().__init__('operator')
        self.grip = 0.0
        self._forward = 0.0
        self._publisher = OperatorPublisher(self.node)
        self.node.create_timer(1 / 90, self._measure)

    def _measure(self) -> None:
        self._forward += 0.04 / 90 * self.grip
        left, right = np.eye(4), np.eye(4)
        left[:3, 3], right[:3, 3] = (self._forward, 0.2, 0.0), (0.0, -0.2, 0.0)
        stamp = self.node.get_clock().now().nanoseconds
        self._publisher.publish(
            OperatorInput(
                stamp,
                HandInput(left, self.grip, 0.0),
                HandInput(right, 0.0, 0.0),
            )
        )


def test_policy_takeover_and_stop_as_a_person_sees_them(ros_domain, tmp_path):
    chromium()
    with socket.create_server(('127.0.0.1', 0)) as probe:
        port = int(probe.getsockname()[1])
    system = ('policy.launch.py', 'task:=pick_and_place', 'takeover:=true', 'device:=none')
    with (
        Program(python(CLI, 'launch', *system, f'dataset:={tmp_path / "rollouts"}')),
        Program(python(CLI, 'console', '--port', str(port))) as console,
        Browser() as browser,
        Operator() as operator,
    ):
        ended = threading.Event()
        hands = threading.Thread(target=operator.wait_for, args=(ended.is_set, 'the end', 600.0))
        hands.start()
        try:
            console.wait_for('the console is at')
            browser.open(f'http://127.0.0.1:{port}/')
            watch(browser, operator)
        finally:
            ended.set()
            hands.join()


def watch(browser: Browser, operator: Operator) -> None:
    def see(words: str, where: str = f'{VIEWER}.body.innerText') -> None:
        browser.wait_for(f'{where}.includes({words!r})', _PATIENCE)

    see('RUNNING')
    see('nobody armed yet', BAR)
    press(browser, 'arm')
    see('the policy has the arms')
    see('ACTIVE', BAR)
    browser.wait_for(
        f"[...{VIEWER}.querySelectorAll('input')].some(i => i.value == 'pick_and_place')"
    )
    press(browser, 'start')
    keep(browser, 'console-policy.png')
    operator.grip = 1.0
    see('the operator has the arms')
    see('ACTIVE', BAR)
    keep(browser, 'console-takeover.png')
    operator.grip = 0.0
    see('the policy has the arms')
    browser.press('Escape')
    see('ESTOP', BAR)
    see('console: e-stop')
    keep(browser, 'console-estop.png')
