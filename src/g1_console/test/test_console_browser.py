"""The console as a person has it: a simulated robot, a real browser, buttons and keys.

G1_CONSOLE_PICTURES=docs python -m pytest src/g1_console/test/test_console_browser.py

makes the pictures of docs/console.md too.
"""

import io
import socket
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from console_pictures import CLI, VIEWER, keep, press
from dit4dit_msgs.msg import ActionChunk
from numpy.typing import NDArray
from PIL import Image

from g1_description import load_robot
from g1_ros.config import config_path
from g1_ros.conversions import joint_trajectory
from g1_ros.qos import COMMAND
from g1_ros.stamps import time_message_of
from g1_test_support.browser import Browser, chromium
from g1_test_support.outside import Outside
from g1_test_support.processes import Program, node, python
from g1_test_support.sdk_robot import PATIENT, control_node
from g1_test_support.waiting import wait_until

ROBOT = load_robot()
BAR = "document.getElementById('bar').innerText"

pytestmark = pytest.mark.browser


@pytest.fixture(scope='module')
def port() -> int:
    with socket.create_server(('127.0.0.1', 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope='module')
def system(ros_domain, port) -> Iterator[Program]:
    """The simulated robot with its control, and the console in a process of its own."""
    chromium()
    files = ('--ros-args', '--params-file', str(config_path('sim.yaml')))
    with (
        Program(node('g1_sim.nodes.sim_node:main', *files)),
        control_node(**PATIENT),  # software rendering takes the cores from all else
        Program(python(CLI, 'console', '--port', str(port))) as console,
    ):
        console.wait_for('the console is at')
        yield console


@pytest.fixture(scope='module')
def browser(system, port) -> Iterator[Browser]:
    with Browser() as browser:
        browser.open(f'http://127.0.0.1:{port}/')
        browser.wait_for(f"{VIEWER}.querySelector('canvas')")
        yield browser


def says(browser: Browser, words: str) -> None:
    browser.wait_for(f'{BAR}.includes({words!r})')


def reset(browser: Browser) -> None:
    """After an emergency stop, once the arms are handed back; before, it is refused."""
    browser.wait_for(f"{VIEWER}.body.innerText.includes('weight 0.00')")
    press(browser, 'reset')
    says(browser, 'DISARMED')


def canvas(browser: Browser) -> NDArray[np.float64]:
    """The middle of the scene, between the panels."""
    picture = Image.open(io.BytesIO(browser.picture())).convert('L')
    return np.asarray(picture.crop((540, 260, 840, 780)), np.float64)


def changed(picture: NDArray[np.float64], before: NDArray[np.float64]) -> float:
    """The share of it that looks different."""
    return float((np.abs(picture - before) > 30.0).mean())


def raise_the_arms(policy: Outside, start: float = 0.0, end: float = -0.4) -> None:
    """One chunk: both shoulders from home plus `start` to home plus `end` [rad] in 1.5 s."""
    positions = np.tile(ROBOT.home, (16, 1))
    smooth = 0.5 - 0.5 * np.cos(np.pi * np.linspace(0.0, 1.0, 16))
    positions[:, [0, 7]] += (start + (end - start) * smooth)[:, None]
    plan(policy, ROBOT.action_joints, positions)


def plan(policy: Outside, joints: Sequence[str], positions: NDArray[np.float64]) -> None:
    """A chunk of (16, J) positions [rad, m], 0.1 s apart from now on."""
    publisher = policy.node.create_publisher(ActionChunk, 'policy/action_chunk', COMMAND)
    policy.wait_for(
        lambda: publisher.get_subscription_count() == 2, 'control and console to listen'
    )
    stamp = time_message_of(policy.now())
    trajectory = joint_trajectory(stamp, joints, positions, 0.1 * np.arange(16))
    publisher.publish(ActionChunk(header=trajectory.header, trajectory=trajectory))


def test_it_shows_the_robot_that_moves_and_stops_it(browser, system):
    browser.wait_for(f"{VIEWER}.body.innerText.includes('control loop')")
    browser.wait_for(f"{VIEWER}.body.innerText.includes('R gripper')")
    browser.wait_for(f"{VIEWER}.querySelector('img').naturalWidth >= 320")
    says(browser, 'nobody armed yet')
    press(browser, 'arm')
    says(browser, 'HOLD')
    before = canvas(browser)
    assert changed(canvas(browser), before) == 0.0
    with Outside('policy') as policy:
        raise_the_arms(policy)
        says(browser, 'ACTIVE')
        says(browser, 'HOLD')  # the chunk has run out
        wait_until(
            lambda: changed(canvas(browser), before) > 0.005,
            'the robot to be elsewhere on the canvas',
        )
        plan(policy, ['panda_joint1'], np.zeros((16, 1)))  # of another robot
        browser.wait_for(f"{VIEWER}.body.innerText.includes('a chunk was rejected')")
        raise_the_arms(policy, -0.4, 0.0)
        says(browser, 'ACTIVE')
        browser.press('Escape')
        says(browser, 'ESTOP')
    browser.wait_for(f"{VIEWER}.body.innerText.includes('console: e-stop')")


def test_after_a_reset_the_button_stops_it_too(browser):
    reset(browser)
    press(browser, 'arm')
    says(browser, 'HOLD')
    browser.click(80, 28)
    says(browser, 'ESTOP')


def test_a_phone_has_the_stop_and_the_buttons(system, port):
    with Browser(390, 844) as phone:
        phone.open(f'http://127.0.0.1:{port}/')
        reset(phone)
        places = phone.run(
            "[document.getElementById('stop').getBoundingClientRect()].map(r => [r.left, r.right])"
        )
        assert 0 <= places[0][0] < places[0][1] <= 390
        assert phone.run('document.documentElement.scrollWidth') <= 390
        keep(phone, 'console-phone.png')


def test_its_death_changes_nothing_and_is_said(browser, system):
    press(browser, 'arm')
    says(browser, 'HOLD')
    system.kill()
    says(browser, 'NO CONSOLE')
    with Program(python(CLI, 'status', '--once')) as status:
        assert status.ended() == 0
    assert 'HOLD' in status.output
