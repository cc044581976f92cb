"""Processes that are stopped, late or killed."""

from __future__ import annotations

import os
import signal
import time

from dit4dit_msgs.msg import PolicyStatus, SafetyStatus

from g1_bench.faults.expectations import (
    expect_mode,
    run_policy,
    see_disarmed,
    see_hold,
    see_policy,
    see_weight_0,
)
from g1_bench.faults.fault import Fault, Injection, Reaction
from g1_bench.faults.scripted_motion import POINTS, STEP
from g1_bench.faults.system_under_test import PATIENCE, NotSeenError, SystemUnderTest
from g1_control.safety import Mode, SafetyParameters


def process_faults(safety: SafetyParameters) -> list[Fault]:
    """The rows, timed as the limits in config/safety.yaml say."""
    lost = safety.lowstate_lost
    return [
        Fault(
            'control_node: stopped for 0.4 s',
            'robot',
            'watchdog hands back from 0.15 s on; DISARMING, WATCHDOG goes on with it',
            0.4,
            _frozen,
        ),
        Fault(
            'watchdog: killed while armed',
            'robot',
            'DISARMING, WATCHDOG; arms again once it is back',
            0.5,
            _killed_watchdog,
        ),
        Fault(
            'control_node: late again and again',
            'robot',
            f'HOLD, DEADLINES_MISSED after {safety.missed_deadlines} in a second',
            1.5,
            _late_cycles,
        ),
        Fault(
            'gripper_node: killed',
            'robot',
            'HOLD, GRIPPER_FAULT; on when it is back',
            safety.gripper_timeout,
            _gripper_node_killed,
        ),
        Fault(
            'robot: killed and restarted',
            'robot',
            'DISARMED, and stays so',
            lost,
            _killed_robot('sdk_robot'),
        ),
        Fault(
            'control_node: killed and restarted',
            'robot',
            'watchdog: weight 0 within 0.6 s, then silence; comes back DISARMED',
            0.6,
            _killed_control,
        ),
        Fault(
            'control_node: crashes',
            'robot',
            'watchdog: weight 0 within 0.6 s, then silence',
            0.6,
            _crashed_control,
        ),
        Fault(
            'control_node: asked to end while armed',
            'robot',
            f'weight 0 in {safety.weight_ramp:g} s',
            safety.weight_ramp,
            _ended_control,
        ),
        Fault('camera: stalls', 'sim', 'policy waits; HOLD; on', 0.5, _camera_stalls),
        Fault(
            'policy_node: killed and restarted',
            'sim',
            'HOLD at the end of its chunk; its next one disarms',
            POINTS * STEP,
            _killed_policy,
        ),
        Fault(
            'sim: killed and restarted',
            'sim',
            'DISARMED, and stays so',
            lost,
            _killed_robot('sim_node'),
        ),
    ]


def _frozen(system: SystemUnderTest, within: float) -> Reaction:
    sent = system.processes.signal('control_node', signal.SIGSTOP)
    system.listen(0.4)
    handed = system.commands.weight
    if not 0.1 < handed < 0.9:
        raise NotSeenError(f'weight {handed:.2f} after 0.4 s of silence')
    system.processes.signal('control_node', signal.SIGCONT)
    seconds = see_disarmed(system, sent, SafetyStatus.WATCHDOG, within)
    return f'weight {handed:.2f} when it came back; DISARMING, WATCHDOG', seconds


def _killed_watchdog(system: SystemUnderTest, within: float) -> Reaction:
    killed = system.processes.signal('watchdog', signal.SIGKILL)
    try:
        seconds = see_disarmed(system, killed, SafetyStatus.WATCHDOG, within)
        refused = system.call('arm').message
    finally:
        system.processes.start('watchdog')
    system.wait_for(lambda: 0.0 <= system.status.watchdog_age < 0.5, 'the watchdog')
    return f'DISARMING, WATCHDOG; refused: {refused}', seconds


def _late_cycles(system: SystemUnderTest, within: float) -> Reaction:
    """Stops the node for some ms 150 times a second; the stream of chunks goes on."""
    missed, sent = system.status.deadlines_missed, time.time()
    for k in range(500):
        system.processes.signal('control_node', signal.SIGSTOP)
        time.sleep(0.005)
        system.processes.signal('control_node', signal.SIGCONT)
        time.sleep(0.0015)
        if k % 20 == 0:
            system.listen(0.0)
        if system.status.reason == SafetyStatus.DEADLINES_MISSED:
            break
    seconds = see_hold(system, sent, SafetyStatus.DEADLINES_MISSED, within)
    count = system.status.deadlines_missed - missed
    system.wait_for(lambda: system.mode == Mode.ACTIVE, 'ACTIVE again', 5.0)
    return f'HOLD, DEADLINES_MISSED, {count} late; on by itself', seconds


def _gripper_node_killed(system: SystemUnderTest, within: float) -> Reaction:
    sent = system.processes.signal('gripper_node', signal.SIGKILL)
    try:
        seconds = see_hold(system, sent, SafetyStatus.GRIPPER_FAULT, within)
        text = system.status.text
    finally:
        system.processes.start('gripper_node')
    system.wait_for(lambda: system.mode == Mode.ACTIVE, 'ACTIVE again')
    return f'{text}; on by itself', seconds


def _killed_robot(name: str) -> Injection:
    def inject(system: SystemUnderTest, within: float) -> Reaction:
        sent = system.processes.signal(name, signal.SIGKILL)
        try:
            seconds = see_disarmed(system, sent, SafetyStatus.LOWSTATE_LOST, within)
        finally:
            system.processes.start(name)
        system.wait_for(lambda: 0 <= system.status.lowstate_age < 0.05, '/lowstate')
        system.listen(0.5)
        expect_mode(system, Mode.DISARMED)
        return 'DISARMING, LOWSTATE_LOST; DISARMED when it is back', seconds

    return inject


def _killed_control(system: SystemUnderTest, within: float) -> Reaction:
    zero, last, restarted = _gone_control(system, signal.SIGKILL, within)
    heard = time.time()
    system.stream = True
    system.listen(0.5)
    expect_mode(system, Mode.DISARMED)
    if system.commands.since(restarted):
        raise NotSeenError('it commands without having been armed')
    system.recover()
    first = system.commands.since(heard)[0]
    if first.weight > 0.05:
        raise NotSeenError(f'its first weight was {first.weight:.2f}')
    return f'weight 0, silent after {last:.2f} s; DISARMED; armed, from weight 0', zero


def _crashed_control(system: SystemUnderTest, within: float) -> Reaction:
    zero, last, _ = _gone_control(system, signal.SIGSEGV, within)
    return f'weight 0, silent after {last:.2f} s', zero


def _ended_control(system: SystemUnderTest, within: float) -> Reaction:
    zero, *_ = _gone_control(system, signal.SIGTERM, within)
    return 'weight 0, comes back DISARMED', zero


def _gone_control(
    system: SystemUnderTest, number: signal.Signals, within: float
) -> tuple[float, float, float]:
    """Ends it so, and starts it again: it is DISARMED.

    Returns seconds to weight 0 and to the last command, and when it was started again.
    """
    system.stream = False
    gone = system.processes.signal('control_node', number)
    try:
        zero = see_weight_0(system, gone, within)
        system.listen(0.3)
    finally:
        system.processes.start('control_node')
    restarted = time.time()
    last = system.commands.since(gone)[-1].sent - gone
    system.wait_for(
        lambda: system.statuses_since(restarted) and system.status.lowstate_age >= 0, 'its status'
    )
    expect_mode(system, Mode.DISARMED)
    return zero, last, restarted


def _camera_stalls(system: SystemUnderTest, within: float) -> Reaction:
    run_policy(system)
    camera = system.processes.children('sim_node')
    for number in camera:
        os.kill(number, signal.SIGSTOP)
    sent = time.time()
    try:
        status, seconds = see_policy(system, sent, [PolicyStatus.WAITING], '')
        see_hold(system, sent, SafetyStatus.CHUNK_EXPIRED, 3.0)
    finally:
        for number in camera:
            os.kill(number, signal.SIGCONT)
    system.wait_for(lambda: system.mode == Mode.ACTIVE, 'ACTIVE again', 60.0)
    return f'policy: {status.text}; HOLD, CHUNK_EXPIRED; on by itself', seconds


def _killed_policy(system: SystemUnderTest, within: float) -> Reaction:
    run_policy(system)
    sent = system.processes.signal('policy_node', signal.SIGKILL)
    try:
        seconds = see_hold(system, sent, SafetyStatus.CHUNK_EXPIRED, within)
    finally:
        system.policy = PolicyStatus()
        system.processes.start('policy_node')
    system.wait_for(lambda: system.policy.image_age > 0, 'images at the policy')
    system.listen(1.0)
    expect_mode(system, Mode.HOLD)
    asked = time.time()
    system.run_task(120.0)
    see_disarmed(system, asked, SafetyStatus.POLICY_RESTARTED, PATIENCE)
    return 'HOLD, CHUNK_EXPIRED; DISARMING, POLICY_RESTARTED', seconds
