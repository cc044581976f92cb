"""`g1 faults`: what can go wrong is made to, in a running system, and each reaction is timed.

    g1 faults                         all of them, some nine minutes
    g1 faults --only 'gripper'        those whose name holds the word
    g1 faults --list

Expect a table with a line for each fault and `all hold` below it; runs/faults/report.json has the
same numbers, and the folder the logs of all processes. The exit code is 0 only if every reaction
came within its stated time and no command meanwhile broke a limit of config/safety.yaml.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, replace
from pathlib import Path

import rclpy
from dit4dit_msgs.msg import SafetyStatus
from rclpy.signals import SignalHandlerOptions
from rich.console import Console

from g1_bench.faults.chunk_faults import chunk_faults
from g1_bench.faults.clock_faults import clock_faults
from g1_bench.faults.fault import MARGIN, Fault, Outcome
from g1_bench.faults.gripper_faults import gripper_faults
from g1_bench.faults.launch_faults import launch_faults
from g1_bench.faults.policy_faults import policy_faults
from g1_bench.faults.process_faults import process_faults
from g1_bench.faults.report import line, table
from g1_bench.faults.robot_faults import robot_faults
from g1_bench.faults.system_under_test import NotSeenError, SystemUnderTest, limits
from g1_bench.faults.takeover_faults import takeover_faults
from g1_bench.faults.teleop_faults import teleop_faults
from g1_bench.faults.world_faults import world_faults
from g1_ros.middleware import environment, free_domain
from g1_ros.real_time import ask_for_real_time

_MOST_TRIES = 3
_OVERSLEPT = 0.1  # [s] without its turn, after which this process is no judge
#: What control holds for where the robot, or itself, did not get its turn.
_STUTTERS = {SafetyStatus.LOWSTATE_STALE, SafetyStatus.DEADLINES_MISSED}


def main(arguments: list[str] | None = None) -> int:
    """Injects faults; returns 0 when all reactions hold, else 1."""
    parser = argparse.ArgumentParser(
        prog='g1 faults', description='Inject faults into a running system and time its reactions.'
    )
    parser.add_argument(
        '--only', action='append', help='those whose name holds this text; may be repeated'
    )
    parser.add_argument('--list', action='store_true', help='their names and expected reactions')
    parser.add_argument(
        '--out', type=Path, default=Path('runs/faults'), help='default: %(default)s'
    )
    given = parser.parse_args(arguments)
    wanted = given.only or ['']
    faults = [fault for fault in all_faults() if any(text in fault.name for text in wanted)]
    console = Console(width=None if Console().is_terminal else 170)
    if not faults:
        parser.error(
            f'--only: no fault has {" or ".join(wanted)} in its name; see g1 faults --list'
        )
    if given.list:
        for fault in faults:
            print(f'{fault.name}: {fault.expected}')
        return 0
    os.environ.setdefault('ROS_DOMAIN_ID', str(free_domain()))
    os.environ.update(environment({'robot': 'sim'}))
    started = time.monotonic()
    outcomes = run(faults, given.out, console)
    console.print(table(outcomes))
    bad = [outcome.name for outcome in outcomes if not outcome.holds]
    verdict = f'[red]do not hold: {", ".join(bad)}[/]' if bad else f'all {len(outcomes)} hold'
    console.print(f'{verdict}; {time.monotonic() - started:.0f} s')
    return 1 if bad else 0


def run(faults: list[Fault], folder: Path, console: Console) -> list[Outcome]:
    """The outcome of each fault, each system started once; also in folder/report.json."""
    outcomes = []
    ask_for_real_time()  # who measures must not be what is late
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        for name in dict.fromkeys(fault.system for fault in faults):
            with SystemUnderTest(name, folder / name) as system:
                for fault in faults:
                    if fault.system == name:
                        outcomes.append(_inject(system, fault))
                        console.print(line(outcomes[-1]), soft_wrap=True)
    finally:
        rclpy.try_shutdown()
    content = [asdict(outcome) for outcome in outcomes]
    (folder / 'report.json').write_text(json.dumps(content, indent=2) + '\n')
    return outcomes


def _inject(system: SystemUnderTest, fault: Fault) -> Outcome:
    """What becomes of it; again, twice at most, where a process did not get its turn in time.

    That is this one, or robot or control, whose stuttering is no part of most faults.
    """
    before = ''
    for _ in range(_MOST_TRIES):
        system.overslept, started = 0.0, time.time()
        found = _inject_once(system, fault)
        outcome = replace(found, seen=found.seen + before)
        if outcome.holds:
            break
        if system.overslept >= _OVERSLEPT:
            before = f'; before, with no turn for {system.overslept:.1f} s: {outcome.seen}'
        elif _STUTTERS & {status.reason for _, status in system.statuses_since(started)}:
            before = f'; before, with a robot or a control that stuttered: {outcome.seen}'
        else:
            break
    return outcome


def _inject_once(system: SystemUnderTest, fault: Fault) -> Outcome:
    started = time.time()
    allowed = fault.within + MARGIN
    seconds = None
    try:
        system.recover()
        started = time.time()
        seen, seconds = fault.inject(system, allowed)
        system.recover()
    except NotSeenError as error:
        seen = str(error)
        seconds = None
    motion = system.check_commands(started)
    return Outcome(
        fault.name,
        fault.expected,
        '; '.join((seen, *motion.problems)),
        None if seconds is None else round(seconds * 1e3, 1),
        round(allowed * 1e3),
        motion.commands,
        round(motion.velocity, 3),
        round(motion.acceleration, 2),
        seconds is not None and seconds <= allowed and not motion.problems,
    )


def all_faults() -> list[Fault]:
    """Every row, in the order they are injected."""
    safety = limits()
    return [
        *chunk_faults(),
        *robot_faults(safety),
        *clock_faults(),
        *world_faults(),
        *gripper_faults(),
        *process_faults(safety),
        *teleop_faults(),
        *policy_faults(),
        *takeover_faults(),
        *launch_faults(safety),
    ]
