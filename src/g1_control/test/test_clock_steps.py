"""The system clock is set, back or forward by any time: control goes on answering."""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from dit4dit_msgs.msg import SafetyStatus
from test_control_node import FakeRobot, still
from unitree_hg.msg import LowCmd as LowCmdMessage

from g1_fakes.stepped_clock import SteppedClock
from g1_ros.qos import COMMAND
from g1_ros.real_time import ask_for_real_time
from g1_test_support.sdk_robot import PATIENT, control_node
from g1_test_support.waiting import wait_until

SOON = 0.2  # [s]
#: Each time the clock is set again: what stands still does so every time, a busy computer now and
#: then, and never for as long as the clock was set back.
ROUNDS = 3
NEVER = 10.0  # [s]


@pytest.fixture
def clock() -> Iterator[SteppedClock]:
    with SteppedClock() as clock:
        yield clock


@pytest.fixture
def robot(ros_domain: int, clock: SteppedClock) -> Iterator[FakeRobot]:
    with control_node(clock.variables, **PATIENT):
        ask_for_real_time()  # neither the robot nor who measures is to be what is late
        try:
            robot = FakeRobot(ros_domain)
            yield robot
            robot.close()
        finally:  # or all that later tests start goes before everything else, too
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def seconds_of(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def next_status(robot: FakeRobot) -> None:
    heard = len(robot.statuses)
    wait_until(lambda: len(robot.statuses) > heard, 'a status', act=lambda: time.sleep(0.002))


@pytest.mark.parametrize('step', [-20.0, 20.0, -100_000_000.0])
def test_status_services_and_the_watch_for_publishers_go_on(robot, clock, step):
    robot.arm()
    robot.send(still)
    robot.wait_for_mode(SafetyStatus.ACTIVE)
    waits: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        clock.step(step)
        waits.setdefault('status', []).append(seconds_of(lambda: next_status(robot)))
        robot.wait_for(  # the watchdog disarms them where a busy computer starves control
            lambda: robot.status.mode in (SafetyStatus.HOLD, SafetyStatus.DISARMED), 'the halt'
        )
        for service, mode in (
            ('estop', SafetyStatus.ESTOP),
            ('disarm', SafetyStatus.ESTOP),
        ):
            took = seconds_of(partial(robot.control, service))
            waits.setdefault(service, []).append(took)
            robot.wait_for_mode(mode)
        robot.wait_for(lambda: robot.control('reset').success, 'the reset')
        clock.step(step)
        took = seconds_of(lambda: robot.control('arm'))
        waits.setdefault('arm', []).append(took)
        robot.arm()  # where a busy computer has it refused

        clock.step(step)
        began = time.monotonic()
        stranger = robot.node.create_publisher(LowCmdMessage, 'arm_sdk', COMMAND)
        robot.wait_for(
            lambda: robot.status.reason == SafetyStatus.SECOND_PUBLISHER, 'the watch', NEVER
        )
        waits.setdefault('watch', []).append(time.monotonic() - began)
        robot.node.destroy_publisher(stranger)
        robot.wait_for_mode(SafetyStatus.DISARMED)
        clock.step(-clock.offset)
        robot.arm()
    assert {what: min(took) for what, took in waits.items() if min(took) > SOON} == {}
    assert {what: max(took) for what, took in waits.items() if max(took) > NEVER} == {}
