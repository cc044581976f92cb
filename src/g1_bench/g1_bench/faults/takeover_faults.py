"""An operator takes the arms from the policy, and one of the two, or both, are lost on the way."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from dit4dit_msgs.msg import PolicyStatus, SafetyStatus

from g1_bench.faults.expectations import (
    expect_rest,
    press_until,
    run_policy,
    see_disarmed,
    see_hold,
)
from g1_bench.faults.fault import Fault, Injection, Reaction
from g1_bench.faults.headset import Headset
from g1_bench.faults.system_under_test import PATIENCE, NotSeenError, SystemUnderTest
from g1_control.safety import Mode
from g1_description.control_source import ControlSource

_RUNS_OUT = 1.0  # [s] in which the last targets do
_NAP = 3.0  # [s], longer than open grips take to give the arms back
_OPERATES = 1.0  # [s]
_OPEN = 0.3  # [s] that grips are open before they are pressed
_LAST_WORDS = 1.0  # [s] in which a busy teleop_node may still send what was measured before


def takeover_faults() -> list[Fault]:
    """The rows. teleop_node is started for each, beside the policy that moves the arms."""

    def row(name: str, expected: str, fault: _Operated) -> Fault:
        return Fault(f'takeover: {name}', 'sim', expected, _RUNS_OUT, _beside_a_policy(fault))

    rests = 'HOLD; the policy does not go on until it is awake and lets go'
    anew = 'HOLD when given back; POLICY_RESTARTED, DISARMING'
    return [
        row('headset falls asleep as it squeezes', rests, _falls_asleep),
        row('the policy dies meanwhile', f'the operator goes on; {anew}', _policy_dies),
        row('both at once', anew, _both),
    ]


_Operated = Callable[[SystemUnderTest, Headset, float], Reaction]


def _beside_a_policy(fault: _Operated) -> Injection:
    def inject(system: SystemUnderTest, within: float) -> Reaction:
        system.teleop_says = ''
        system.headset = headset = Headset(system.node)
        system.processes.start('teleop_node')
        try:
            run_policy(system)
            system.wait_for(lambda: 'the policy has the arms' in system.teleop_says, 'teleop_node')
            return fault(system, headset, within)
        finally:
            system.headset = None
            system.processes.signal('teleop_node', signal.SIGTERM)

    return inject


def _falls_asleep(system: SystemUnderTest, headset: Headset, within: float) -> Reaction:
    _squeeze(system, headset)
    headset.awake, slept = False, time.time()
    seconds = see_hold(system, slept, SafetyStatus.CHUNK_EXPIRED, within)
    _expect_operator_at_rest(system)
    headset.awake, headset.grip = True, 0.0
    _wait_for(system, ControlSource.POLICY)
    return 'HOLD, nobody moves the arms for 3 s; awake and open: the policy goes on', seconds


def _policy_dies(system: SystemUnderTest, headset: Headset, within: float) -> Reaction:
    _squeeze(system, headset)
    died = system.processes.signal('policy_node', signal.SIGKILL)
    system.listen(_OPERATES)
    system.wait_for(
        lambda: _moved_by_operator(system, died + _OPERATES / 2), 'the operator to go on'
    )
    headset.grip, let_go = 0.0, time.time()
    seconds = see_hold(system, let_go, SafetyStatus.CHUNK_EXPIRED, within)
    return _restart(system, 'the operator goes on; HOLD'), seconds


def _both(system: SystemUnderTest, headset: Headset, within: float) -> Reaction:
    _squeeze(system, headset)
    headset.awake, lost = False, system.processes.signal('policy_node', signal.SIGKILL)
    seconds = see_hold(system, lost, SafetyStatus.CHUNK_EXPIRED, within)
    _expect_operator_at_rest(system)
    headset.awake, headset.grip = True, 0.0
    return _restart(system, 'HOLD'), seconds


def _restart(system: SystemUnderTest, seen: str) -> str:
    """The policy comes back after the arms were given back, and hands them back in its turn."""
    _wait_for(system, ControlSource.NOBODY)
    system.policy = PolicyStatus()
    system.processes.start('policy_node')
    system.wait_for(lambda: system.policy.image_age > 0, 'images at the policy')
    system.listen(_LAST_WORDS)
    asked = time.time()
    system.run_task(120.0)
    see_disarmed(system, asked, SafetyStatus.POLICY_RESTARTED, PATIENCE)
    return f'{seen}; given back; DISARMING, POLICY_RESTARTED'


def _squeeze(system: SystemUnderTest, headset: Headset) -> None:
    """Until the operator has the arms."""
    press_until(
        system,
        headset,
        _OPEN,
        lambda _: bool(system.status.control_source == ControlSource.OPERATOR),
    )


def _moved_by_operator(system: SystemUnderTest, since: float) -> bool:
    return any(
        status.mode == Mode.ACTIVE and status.control_source == ControlSource.OPERATOR
        for _, status in system.statuses_since(since)
    )


def _expect_operator_at_rest(system: SystemUnderTest) -> None:
    system.listen(_LAST_WORDS)
    began = time.time()
    expect_rest(system, began, _NAP)
    sources = {ControlSource(s.control_source).name for _, s in system.statuses_since(began)}
    if sources != {ControlSource.OPERATOR.name}:
        raise NotSeenError(f'expected the operator to keep the arms, got {", ".join(sources)}')


def _wait_for(system: SystemUnderTest, source: ControlSource) -> None:
    system.wait_for(lambda: system.status.control_source == source, source.words)
