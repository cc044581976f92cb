"""The system clock is set, back or forward by any time: control goes on answering."""

import time
from collections.abc import Iterator

import pytest
from dit4dit_msgs.msg import SafetyStatus
from test_control_node import FakeRobot, still
from unitree_hg.msg import LowCmd as LowCmdMessage

from g1_fakes.stepped_clock import SteppedClock
from g1_ros.qos import COMMAND
from g1_test_support.sdk_robot import control_node
from g1_test_support.waiting import wait_until

SOON = 1.0  # [s]; 0.2 on a quiet computer, and far below any step


@pytest.fixture
def clock() -> Iterator[SteppedClock]:
    with SteppedClock() as clock:
        yield clock


@pytest.fixture
def robot(ros_domain: int, clock: SteppedClock) -> Iterator[FakeRobot]:
    with control_node(clock.variables, missed_deadlines=250, lowstate_stale=0.5, lowstate_lost=1.0):
        robot = FakeRobot(ros_domain)
        yield robot
        robot.close()


@pytest.mark.parametrize('seconds', [-20.0, 20.0, -100_000_000.0])
def test_status_services_and_the_watch_for_publishers_go_on(robot, clock, seconds):
    robot.arm()
    robot.send(still)
    robot.wait_for_mode(SafetyStatus.ACTIVE)
    clock.step(seconds)
    heard = len(robot.statuses)
    wait_until(lambda: len(robot.statuses) > heard + 2, 'three statuses', SOON)
    robot.wait_for_mode(SafetyStatus.HOLD)
    began = time.monotonic()
    assert robot.control('disarm').success
    assert time.monotonic() - began < SOON
    robot.wait_for_mode(SafetyStatus.DISARMED)
    began = time.monotonic()
    assert robot.control('arm').success
    assert time.monotonic() - began < SOON
    robot.wait_for_mode(SafetyStatus.HOLD)

    clock.step(seconds)
    robot.node.create_publisher(LowCmdMessage, 'arm_sdk', COMMAND)
    robot.wait_for(
        lambda: robot.status.reason == SafetyStatus.SECOND_PUBLISHER, 'the watch', timeout=5.0
    )
    assert robot.status.mode in (SafetyStatus.DISARMING, SafetyStatus.DISARMED)
    clock.step(seconds)
    began = time.monotonic()
    assert robot.control('estop').success
    robot.wait_for_mode(SafetyStatus.ESTOP)
    assert time.monotonic() - began < SOON
