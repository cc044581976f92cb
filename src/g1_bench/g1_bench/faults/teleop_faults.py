"""An operator whose headset sleeps, loses its controllers or jumps, and whose node dies."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable

from dit4dit_msgs.msg import SafetyStatus
from trajectory_msgs.msg import JointTrajectory

from g1_bench.faults.chunk_faults import see_refusal
from g1_bench.faults.expectations import ENGAGES, expect_rest, press_until, see_hold
from g1_bench.faults.fault import Fault, Injection, Reaction
from g1_bench.faults.headset import Headset
from g1_bench.faults.system_under_test import SystemUnderTest
from g1_control.safety import Mode

_NAP = 2.0  # [s], longer than a hiccup, after which the hands go on, also to a busy teleop_node
_PRESS = 0.4  # [s] that the grip is open before it is pressed
_RUNS_OUT = 1.0  # [s] in which the last targets do
_LEFT_ELBOW = 3  # of the targets' joints


def teleop_faults() -> list[Fault]:
    """The rows. teleop_node is started for the first one, and stays: a start takes half a minute of
    a busy computer.
    """

    def row(name: str, expected: str, within: float, inject: Injection) -> Fault:
        return Fault(f'teleop: {name}', 'robot', expected, within, inject)

    def not_a_number(targets: JointTrajectory) -> None:
        targets.points[0].positions[_LEFT_ELBOW] = math.nan

    def one_arm(targets: JointTrajectory) -> None:
        targets.joint_names = targets.joint_names[:7]

    rest = 'HOLD; moves again with a new grip only'
    return [
        row(
            'NaN',
            'refused, CHUNK_NOT_FINITE; the operator has the arms, HOLD',
            0.0,
            _refused(not_a_number, SafetyStatus.CHUNK_NOT_FINITE, 'left_elbow_joint'),
        ),
        row(
            'targets of one arm',
            'refused, CHUNK_JOINT_NAMES; the operator has the arms, HOLD',
            0.0,
            _refused(one_arm, SafetyStatus.CHUNK_JOINT_NAMES, 'left_gripper_joint'),
        ),
        row('headset falls asleep', rest, _RUNS_OUT, _operated(_falls_asleep)),
        row('controllers are lost', rest, _RUNS_OUT, _operated(_lost)),
        row(
            'headset asleep at pickup',
            'nothing moves until it is awake and gripped anew',
            ENGAGES,
            _operated(_asleep_at_pickup),
        ),
        row('hands jump by 0.4 m', 'within all limits', _RUNS_OUT, _operated(_jump)),
        row('its node is killed', rest, _RUNS_OUT, _operated(_killed)),
    ]


def _refused(change: Callable[[JointTrajectory], None], reason: int, joint: str) -> Injection:
    def inject(system: SystemUnderTest, within: float) -> Reaction:
        def send() -> float:
            sent = time.time()
            system.send_targets(change)
            return sent

        return see_refusal(system, send, reason, joint, within, takes_over=True)

    return inject


def _operated(
    fault: Callable[[SystemUnderTest, Headset, float], Reaction],
) -> Injection:
    """`fault`, with teleop_node and a headset in place of the stream of chunks."""

    def inject(system: SystemUnderTest, within: float) -> Reaction:
        system.stream = False
        system.wait_for(lambda: system.mode == Mode.HOLD, 'end of the chunk')
        system.teleop_says = ''
        system.headset = headset = Headset(system.node)
        if not system.processes.runs('teleop_node'):
            system.processes.start('teleop_node')
        try:
            return fault(system, headset, within)
        finally:
            system.headset = None

    return inject


def _falls_asleep(system: SystemUnderTest, headset: Headset, within: float) -> Reaction:
    _move(system, headset)
    headset.awake, slept = False, time.time()
    seconds = see_hold(system, slept, SafetyStatus.CHUNK_EXPIRED, within)
    system.listen(_NAP)
    headset.awake = True
    return _rests_until_gripped(system, headset, seconds)


def _lost(system: SystemUnderTest, headset: Headset, within: float) -> Reaction:
    _move(system, headset)
    headset.tracked, lost = False, time.time()
    seconds = see_hold(system, lost, SafetyStatus.CHUNK_EXPIRED, within)
    system.listen(0.3)
    headset.tracked = True
    return _rests_until_gripped(system, headset, seconds)


def _asleep_at_pickup(system: SystemUnderTest, headset: Headset, within: float) -> Reaction:
    """Poses come only once it is on a head; by then the grips are pressed."""
    headset.tracked, headset.grip = False, 1.0
    system.wait_for(lambda: system.teleop_says, 'teleop_node')
    system.listen(0.5)
    expect_rest(system, time.time(), 0.5)
    headset.tracked, headset.ahead = True, 0.5
    expect_rest(system, time.time(), 0.5)
    return 'nothing moved before', _move(system, headset)


def _jump(system: SystemUnderTest, headset: Headset, within: float) -> Reaction:
    _move(system, headset)
    jumped = time.time()
    headset.ahead = 0.4
    system.listen(1.0)
    motion = system.check_commands(jumped)
    return f'{motion.velocity:.2f} rad/s at most', 0.0


def _killed(system: SystemUnderTest, headset: Headset, within: float) -> Reaction:
    _move(system, headset)
    killed = system.processes.signal('teleop_node', signal.SIGKILL)
    seconds = see_hold(system, killed, SafetyStatus.CHUNK_EXPIRED, within)
    system.teleop_says = ''
    system.processes.start('teleop_node')
    system.wait_for(lambda: system.teleop_says, 'teleop_node')
    return _rests_until_gripped(system, headset, seconds)


def _rests_until_gripped(system: SystemUnderTest, headset: Headset, seconds: float) -> Reaction:
    system.listen(0.3)
    expect_rest(system, time.time(), 0.5)
    _move(system, headset)
    return 'HOLD, CHUNK_EXPIRED; moves with a new grip', seconds


def _move(system: SystemUnderTest, headset: Headset) -> float:
    """Presses the grips anew until the arms move; seconds from the last press to that."""

    def moving(since: float) -> list[float]:
        return [stamp for stamp, s in system.statuses_since(since) if s.mode == Mode.ACTIVE]

    pressed = press_until(system, headset, _PRESS, lambda since: bool(moving(since)))
    seconds = moving(pressed)[0] - pressed
    system.listen(0.5)
    return seconds
