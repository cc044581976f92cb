"""`g1 faults`: what can go wrong is made to, in a running system, and each reaction is timed.

    g1 faults                         all of them, some three minutes
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
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import rclpy
from dit4dit_msgs.msg import ActionChunk, PolicyStatus, SafetyStatus
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.table import Table

from g1_bench.fault_bench import CHUNK_POINTS, CHUNK_STEP, PATIENCE, Bench, NotSeenError, limits
from g1_bench.launched import free_domain
from g1_control.safety import Mode, Reason, SafetyParameters
from g1_ros.middleware import environment
from g1_ros.real_time import ask_for_real_time

#: Added to every stated time: the status's way to here, on a computer that is busy [s].
MARGIN = 0.3
_LEFT_ELBOW = 3  # of a chunk's joints
_LEFT_ELBOW_MOTOR = 18

Reaction = tuple[str, float]  # what was seen, and seconds from the fault to it


@dataclass(frozen=True)
class Fault:
    """One row: `inject` hurts the bench and says how it reacted, or raises NotSeenError.

    within: time stated for the reaction [s].
    """

    name: str
    bench: str
    expected: str
    within: float
    inject: Callable[[Bench, float], Reaction]


@dataclass(frozen=True)
class Outcome:
    """A row of the report; milliseconds: None when the reaction did not come."""

    name: str
    expected: str
    seen: str
    milliseconds: float | None
    allowed_milliseconds: float
    commands: int
    velocity: float
    acceleration: float
    holds: bool


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
    console.print(_table(outcomes))
    bad = [outcome.name for outcome in outcomes if not outcome.holds]
    verdict = f'[red]do not hold: {", ".join(bad)}[/]' if bad else f'all {len(outcomes)} hold'
    console.print(f'{verdict}; {time.monotonic() - started:.0f} s')
    return 1 if bad else 0


def run(faults: list[Fault], folder: Path, console: Console) -> list[Outcome]:
    """The outcome of each fault, each kind of bench started once; also in folder/report.json."""
    outcomes = []
    ask_for_real_time()  # who measures must not be what is late
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        for name in dict.fromkeys(fault.bench for fault in faults):
            with Bench(name, folder / name) as bench:
                for fault in faults:
                    if fault.bench == name:
                        outcomes.append(_inject(bench, fault))
                        console.print(_line(outcomes[-1]), soft_wrap=True)
    finally:
        rclpy.try_shutdown()
    content = [asdict(outcome) for outcome in outcomes]
    (folder / 'report.json').write_text(json.dumps(content, indent=2) + '\n')
    return outcomes


def _inject(bench: Bench, fault: Fault) -> Outcome:
    bench.recover()
    started = time.time()
    allowed = fault.within + MARGIN
    seconds = None
    try:
        seen, seconds = fault.inject(bench, allowed)
        bench.recover()
    except NotSeenError as error:
        seen = str(error)
        seconds = None
    motion = bench.commands.motion(started)
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
    return [*_chunk_faults(), *_robot_faults(safety), *_process_faults(safety)]


# --- chunks


def _chunk_faults() -> list[Fault]:
    """A chunk that is refused leaves the motion as it is."""

    def position(value: float) -> Callable[[ActionChunk], None]:
        def change(chunk: ActionChunk) -> None:
            chunk.trajectory.points[5].positions[_LEFT_ELBOW] = value

        return change

    def names(edit: Callable[[list[str]], object]) -> Callable[[ActionChunk], None]:
        def change(chunk: ActionChunk) -> None:
            joints = list(chunk.trajectory.joint_names)
            edit(joints)
            chunk.trajectory.joint_names = joints

        return change

    def stamp(offset: int) -> Callable[[ActionChunk], None]:
        def change(chunk: ActionChunk) -> None:
            chunk.header.stamp.sec += offset

        return change

    def no_points(chunk: ActionChunk) -> None:
        chunk.trajectory.points = []

    def short_point(chunk: ActionChunk) -> None:
        chunk.trajectory.points[2].positions = chunk.trajectory.points[2].positions[:-1]

    def standing_time(chunk: ActionChunk) -> None:
        points = chunk.trajectory.points
        points[4].time_from_start = points[3].time_from_start

    def far_away(chunk: ActionChunk) -> None:
        for point in chunk.trajectory.points:
            point.positions[_LEFT_ELBOW] += 0.9

    elbow = 'left_elbow_joint'
    refused: list[tuple[str, Callable[[ActionChunk], None], int, str]] = [
        ('NaN', position(np.nan), SafetyStatus.CHUNK_NOT_FINITE, elbow),
        ('infinity', position(np.inf), SafetyStatus.CHUNK_NOT_FINITE, elbow),
        ('missing joint', names(lambda n: n.pop(3)), SafetyStatus.CHUNK_JOINT_NAMES, elbow),
        (
            'unknown joint',
            names(lambda n: n.append('tail_joint')),
            SafetyStatus.CHUNK_JOINT_NAMES,
            'tail_joint',
        ),
        (
            'reordered joints',
            names(lambda n: n.insert(3, n.pop(5))),
            SafetyStatus.CHUNK_JOINT_NAMES,
            elbow,
        ),
        (
            'a joint twice',
            names(lambda n: n.append(n[3])),
            SafetyStatus.CHUNK_JOINT_NAMES,
            elbow,
        ),
        ('no points', no_points, SafetyStatus.CHUNK_EMPTY, ''),
        ('a point too short', short_point, SafetyStatus.CHUNK_SHAPE, ''),
        ('times not increasing', standing_time, SafetyStatus.CHUNK_TIMES, ''),
        ('stamp in the future', stamp(1), SafetyStatus.CHUNK_FROM_FUTURE, ''),
        ('stamp too old', stamp(-30), SafetyStatus.CHUNK_TOO_OLD, ''),
        ('start too far', far_away, SafetyStatus.CHUNK_START_TOO_FAR, elbow),
        ('step too fast', position(2.0), SafetyStatus.CHUNK_TOO_FAST, elbow),
    ]
    refusals = [
        Fault(
            f'chunk: {name}',
            'robot',
            f'refused, {Reason(reason).name}{joint and f", {joint}"}; motion goes on',
            0.0,
            _refused(change, reason, joint),
        )
        for name, change, reason, joint in refused
    ]
    return [
        *refusals,
        Fault('chunk: older than the last', 'robot', 'refused, CHUNK_TOO_OLD', 0.0, _out_of_order),
        Fault('chunk: out of range', 'robot', 'clamped and counted', 0.0, _out_of_range),
        Fault('chunk: twice', 'robot', 'followed, nothing jumps', 0.0, _duplicate),
        Fault('chunk: late by 0.6 s', 'robot', 'followed from now on', 0.0, _late),
        Fault('chunk: arms would collide', 'robot', 'HOLD, SELF_COLLISION', 2.0, _collision),
        Fault('chunk: none comes', 'robot', 'HOLD at its end, then on', 0.0, _no_new_chunk),
        Fault('teleop: stops sending', 'robot', 'HOLD at its end', 0.0, _teleop_stops),
    ]


def _refused(
    change: Callable[[ActionChunk], None], reason: int, joint: str
) -> Callable[[Bench, float], Reaction]:
    def inject(bench: Bench, within: float) -> Reaction:
        def make() -> ActionChunk:
            chunk = bench.chunk()
            change(chunk)
            return chunk

        return _see_refusal(bench, make, reason, joint, within)

    return inject


def _see_refusal(
    bench: Bench, make: Callable[[], ActionChunk], reason: int, joint: str, within: float
) -> Reaction:
    bench.stream = False
    bench.send(bench.chunk())
    bench.listen(0.15)  # the status says so by then
    refused, accepted = bench.status.chunks_rejected, bench.status.chunks_accepted
    sent = bench.send(make())
    seconds = bench.reaction(
        sent, 'refusal', lambda status: status.chunks_rejected > refused, within
    )
    status = bench.status
    named = status.limiting_joint if joint else ''
    if (status.rejection_reason, named) != (reason, joint):
        raise NotSeenError(
            f'{Reason(status.rejection_reason).name} {named}: {status.rejection_text}'
        )
    bench.listen(0.4)  # the chunk before drives the arms
    _expect_mode(bench, Mode.ACTIVE)
    if not bench.commands.motion(time.time() - 0.3).velocity > 0.0:
        raise NotSeenError('the motion stopped')
    if bench.status.chunks_accepted > accepted:
        raise NotSeenError('it was accepted')
    return f'refused, {Reason(reason).name}: {status.rejection_text}', seconds


def _out_of_order(bench: Bench, within: float) -> Reaction:
    return _see_refusal(
        bench, lambda: bench.chunk(time.time() - 0.5), SafetyStatus.CHUNK_TOO_OLD, '', within
    )


def _out_of_range(bench: Bench, within: float) -> Reaction:
    clamped, sent = bench.status.clamped, time.time()
    bench.stream = False
    chunk = bench.chunk()
    for point in chunk.trajectory.points:
        point.positions[14] = -0.01  # a gripper beyond closed
    bench.send(chunk)
    seconds = bench.reaction(sent, 'clamp', lambda s: s.clamped > clamped, within)
    _expect_mode(bench, Mode.ACTIVE)
    return f'{bench.status.clamped - clamped} targets of {bench.status.limiting_joint}', seconds


def _duplicate(bench: Bench, within: float) -> Reaction:
    bench.stream = False
    chunk = bench.chunk()
    bench.send(chunk)
    bench.listen(0.2)
    accepted = bench.status.chunks_accepted
    sent = bench.send(chunk)
    seconds = bench.reaction(sent, 'chunk', lambda s: s.chunks_accepted > accepted, within)
    bench.listen(0.4)
    _expect_mode(bench, Mode.ACTIVE)
    return 'followed', seconds


def _late(bench: Bench, within: float) -> Reaction:
    bench.stream = False
    chunk = bench.chunk()
    bench.listen(0.6)
    accepted = bench.status.chunks_accepted
    sent = bench.send(chunk)
    seconds = bench.reaction(sent, 'chunk', lambda s: s.chunks_accepted > accepted, within)
    bench.listen(0.4)
    _expect_mode(bench, Mode.ACTIVE)
    return f'followed, image {bench.status.chunk_age:.1f} s old', seconds


def _collision(bench: Bench, within: float) -> Reaction:
    """Both hands swing inwards until one would touch the other, or the torso."""
    bench.stream = False
    stamp = time.time()
    chunk = bench.chunk(stamp)
    for k, point in enumerate(chunk.trajectory.points):
        inward = 1.2 * min(1.0, k / 8)
        point.positions[2] -= inward  # left shoulder yaw
        point.positions[9] += inward  # right shoulder yaw
    sent = bench.send(chunk)
    seconds = _see_hold(bench, sent, SafetyStatus.SELF_COLLISION, within)
    text = bench.status.text
    bench.listen(0.3)
    return text, seconds


def _no_new_chunk(bench: Bench, within: float) -> Reaction:
    bench.stream = False
    end = _end_of(bench.chunk(bench.send(bench.chunk())))
    bench.listen(max(0.0, end - time.time() - 0.2))
    _expect_mode(bench, Mode.ACTIVE)
    seconds = _see_hold(bench, end, SafetyStatus.CHUNK_EXPIRED, within)
    bench.listen(0.3)
    bench.stream = True
    _see_mode(bench, time.time(), Mode.ACTIVE, MARGIN)
    return 'HOLD, CHUNK_EXPIRED; goes on with the next chunk', seconds


def _teleop_stops(bench: Bench, within: float) -> Reaction:
    bench.stream = False
    for _ in range(5):
        bench.send_targets()
        bench.listen(0.1)
    end = _end_of(bench.chunk(time.time() - 0.1))
    return 'HOLD, CHUNK_EXPIRED', _see_hold(bench, end, SafetyStatus.CHUNK_EXPIRED, within)


def _end_of(chunk: ActionChunk) -> float:
    """When its last target is due."""
    stamp = chunk.header.stamp
    return stamp.sec + stamp.nanosec * 1e-9 + (CHUNK_POINTS - 1) * CHUNK_STEP


# --- robot, grippers, operator


def _robot_faults(safety: SafetyParameters) -> list[Fault]:
    stale, lost = safety.lowstate_stale, safety.lowstate_lost
    blip = stale + 0.1  # [s]: stale, not yet lost

    def row(name: str, expected: str, within: float, inject: Callable[[Bench, float], Reaction]):  # type: ignore[no-untyped-def]
        return Fault(name, 'robot', expected, within, inject)

    def holds(reason: int, **fault: object) -> Callable[[Bench, float], Reaction]:
        return _holds_and_goes_on(reason, fault)

    def gives_up(reason: int, **fault: object) -> Callable[[Bench, float], Reaction]:
        return _holds_then_disarms(reason, fault)

    on = 'goes on by itself'
    elbow = str(_LEFT_ELBOW_MOTOR)
    return [
        row(
            '/lowstate: silent for a moment',
            f'HOLD, LOWSTATE_STALE; {on}',
            stale,
            holds(SafetyStatus.LOWSTATE_STALE, silent=True, **{'for': blip}),
        ),
        row(
            '/lowstate: wrong CRC',
            f'HOLD, LOWSTATE_STALE; {on}',
            stale,
            holds(SafetyStatus.LOWSTATE_STALE, corrupt=True, **{'for': blip}),
        ),
        row(
            '/lowstate: NaN measured',
            f'HOLD, LOWSTATE_STALE; {on}',
            stale,
            holds(SafetyStatus.LOWSTATE_STALE, not_a_number=[_LEFT_ELBOW_MOTOR], **{'for': blip}),
        ),
        row(
            '/lowstate: frozen',
            f'HOLD, LOWSTATE_STALE; {on}',
            stale,
            holds(SafetyStatus.LOWSTATE_STALE, frozen=True, **{'for': blip}),
        ),
        row('/lowstate: lost', 'DISARMING, LOWSTATE_LOST', lost, _lowstate_lost),
        row('/lowstate: out of order', 'nothing, the motion goes on', 0.5, _reordered),
        row(
            'motor: far from its command',
            'HOLD, TRACKING_ERROR; then DISARMING',
            0.0,
            gives_up(SafetyStatus.TRACKING_ERROR, jump={elbow: safety.tracking_error + 0.3}),
        ),
        row(
            'motor: hot',
            'HOLD, MOTOR_TEMPERATURE; then DISARMING',
            0.0,
            gives_up(
                SafetyStatus.MOTOR_TEMPERATURE, temperature={elbow: safety.motor_temperature + 10}
            ),
        ),
        row(
            'motor: error bits',
            'HOLD, MOTOR_ERROR; then DISARMING',
            0.0,
            gives_up(SafetyStatus.MOTOR_ERROR, motor_error={elbow: 512}),
        ),
        row('mode_machine: not supported', 'DISARMING, MODE_MACHINE', 0.0, _mode_machine),
        row('mode_machine: when arming', 'refused', 0.0, _mode_machine_refused),
        row('second publisher', 'DISARMING, SECOND_PUBLISHER', 1.5, _second_publisher),
        row('second publisher: when arming', 'refused', 0.0, _second_publisher_refused),
        row('e-stop: service', f'ESTOP; weight 0 in {safety.estop_ramp:g} s', 0.0, _estop_service),
        row('e-stop: remote', f'ESTOP; weight 0 in {safety.estop_ramp:g} s', 0.0, _estop_remote),
        row('e-stop: arm before reset', 'refused, stays latched', 0.0, _arm_latched),
        row('gripper: unplugged', 'fault, HOLD, GRIPPER_FAULT', 0.0, _gripper_unplugged),
        row('gripper: plugged in again', 'on by itself', 1.5, _gripper_back),
        row('gripper: overloaded', 'fault, HOLD, GRIPPER_FAULT; back', 0.3, _gripper_overload),
        row('gripper: hot motor', 'fault, HOLD, GRIPPER_FAULT; on', 0.0, _gripper_hot),
        row('gripper: power cut', 'fault, HOLD, GRIPPER_FAULT; back', 0.4, _gripper_power),
    ]


def _holds_and_goes_on(reason: int, fault: dict[str, object]) -> Callable[[Bench, float], Reaction]:
    def inject(bench: Bench, within: float) -> Reaction:
        sent = bench.tell('sdk_robot', **fault)
        seconds = _see_hold(bench, sent, reason, within)
        text = bench.status.text
        bench.wait_for(lambda: bench.mode == Mode.ACTIVE, 'ACTIVE again', 5.0)
        return f'{text}; on by itself', seconds

    return inject


def _holds_then_disarms(
    reason: int, fault: dict[str, object]
) -> Callable[[Bench, float], Reaction]:
    def inject(bench: Bench, within: float) -> Reaction:
        sent = bench.tell('sdk_robot', **fault)
        seconds = _see_hold(bench, sent, reason, within)
        text = bench.status.text
        _see_disarmed(bench, sent, reason, bench.limits.fault_patience + MARGIN)
        return f'{text}; DISARMING {bench.limits.fault_patience:g} s later', seconds

    return inject


def _lowstate_lost(bench: Bench, within: float) -> Reaction:
    sent = bench.tell('sdk_robot', silent=True)
    seconds = _see_disarmed(bench, sent, SafetyStatus.LOWSTATE_LOST, within)
    return 'DISARMING, LOWSTATE_LOST', seconds


def _reordered(bench: Bench, within: float) -> Reaction:
    sent = bench.tell('sdk_robot', reordered=True)
    bench.listen(0.5)
    _expect_mode(bench, Mode.ACTIVE)
    return 'ACTIVE', time.time() - sent


def _mode_machine(bench: Bench, within: float) -> Reaction:
    sent = bench.tell('sdk_robot', mode_machine=9)
    return 'DISARMING, MODE_MACHINE', _see_disarmed(bench, sent, SafetyStatus.MODE_MACHINE, within)


def _mode_machine_refused(bench: Bench, within: float) -> Reaction:
    _disarm(bench)
    bench.tell('sdk_robot', mode_machine=9)
    bench.listen(0.3)
    return _see_refused(bench, 'arm')


def _second_publisher(bench: Bench, within: float) -> Reaction:
    bench.start('intruder')
    sent = time.time()
    try:
        bench.wait_for(lambda: bench.publishers('arm_sdk') > 1, 'second publisher')
        sent = time.time()
        seconds = _see_disarmed(bench, sent, SafetyStatus.SECOND_PUBLISHER, within)
    finally:
        bench.signal('intruder', signal.SIGTERM)
    return 'DISARMING, SECOND_PUBLISHER', seconds


def _second_publisher_refused(bench: Bench, within: float) -> Reaction:
    _disarm(bench)
    bench.start('intruder')
    try:
        bench.wait_for(lambda: bench.publishers('arm_sdk') > 1, 'second publisher')
        bench.listen(0.5)
        return _see_refused(bench, 'arm')
    finally:
        bench.signal('intruder', signal.SIGTERM)
        bench.wait_for(lambda: bench.publishers('arm_sdk') == 1, 'end of the second publisher')


def _estop_service(bench: Bench, within: float) -> Reaction:
    sent = time.time()
    bench.call('estop')
    return _see_estop(bench, sent, SafetyStatus.ESTOP_SERVICE, within)


def _estop_remote(bench: Bench, within: float) -> Reaction:
    sent = bench.tell('sdk_robot', buttons=['L2', 'B'], **{'for': 0.3})
    return _see_estop(bench, sent, SafetyStatus.ESTOP_REMOTE, within)


def _arm_latched(bench: Bench, within: float) -> Reaction:
    bench.call('estop')
    bench.listen(bench.limits.estop_ramp + 0.2)
    return _see_refused(bench, 'arm')


def _gripper_unplugged(bench: Bench, within: float) -> Reaction:
    sent = bench.tell('grippers', port='left', do='unplug')
    seconds = _see_hold(bench, sent, SafetyStatus.GRIPPER_FAULT, within)
    return bench.status.text, seconds


def _gripper_back(bench: Bench, within: float) -> Reaction:
    bench.tell('grippers', port='right', do='unplug')
    bench.wait_for(lambda: bench.mode == Mode.HOLD, 'HOLD', 2.0)
    bench.listen(0.7)
    sent = bench.tell('grippers', port='right', do='plug_in')
    seconds = _see_mode(bench, sent, Mode.ACTIVE, within)
    return 'ACTIVE', seconds


def _gripper_overload(bench: Bench, within: float) -> Reaction:
    sent = bench.tell('grippers', port='left', do='overload')
    seconds = _see_hold(bench, sent, SafetyStatus.GRIPPER_FAULT, within)
    text = bench.status.text
    bench.wait_for(lambda: bench.mode == Mode.ACTIVE, 'ACTIVE again', 10.0)
    return f'{text}; on by itself', seconds


def _gripper_hot(bench: Bench, within: float) -> Reaction:
    sent = bench.tell('grippers', port='left', do='temperature', value=78.0)
    try:
        seconds = _see_hold(bench, sent, SafetyStatus.GRIPPER_FAULT, within)
        text = bench.status.text
    finally:
        bench.tell('grippers', port='left', do='temperature', value=40.0)
    bench.wait_for(lambda: bench.mode == Mode.ACTIVE, 'ACTIVE again', 5.0)
    return f'{text}; on when it has cooled', seconds


def _gripper_power(bench: Bench, within: float) -> Reaction:
    sent = bench.tell('grippers', port='right', do='power_off')
    try:
        seconds = _see_hold(bench, sent, SafetyStatus.GRIPPER_FAULT, within)
        text = bench.status.text
    finally:
        bench.tell('grippers', port='right', do='power_on')
    bench.wait_for(lambda: bench.mode == Mode.ACTIVE, 'ACTIVE again', 10.0)
    return f'{text}; on by itself', seconds


# --- processes


def _process_faults(safety: SafetyParameters) -> list[Fault]:
    lost = safety.lowstate_lost
    return [
        Fault(
            'control_node: stopped for 0.4 s', 'robot', 'HOLD, DEADLINES_MISSED; on', 0.0, _frozen
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
            'silent; comes back DISARMED',
            0.0,
            _killed_control,
        ),
        Fault('camera: stalls', 'sim', 'policy waits; HOLD; on', 0.5, _camera_stalls),
        Fault(
            'policy_node: killed and restarted',
            'sim',
            'HOLD at the end of its chunk; its next one disarms',
            CHUNK_POINTS * CHUNK_STEP,
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


def _frozen(bench: Bench, within: float) -> Reaction:
    bench.stream = False  # or it would follow the next chunk before anybody sees it hold
    bench.listen(0.15)
    bench.signal('control_node', signal.SIGSTOP)
    bench.listen(0.4)
    sent = bench.signal('control_node', signal.SIGCONT)
    seconds = _see_hold(bench, sent, SafetyStatus.DEADLINES_MISSED, within)
    text = bench.status.text
    bench.stream = True
    bench.wait_for(lambda: bench.mode == Mode.ACTIVE, 'ACTIVE again', 5.0)
    return f'{text}; on by itself', seconds


def _late_cycles(bench: Bench, within: float) -> Reaction:
    """Stops the node for some ms 150 times a second; the stream of chunks goes on."""
    missed, sent = bench.status.deadlines_missed, time.time()
    for k in range(500):
        bench.signal('control_node', signal.SIGSTOP)
        time.sleep(0.005)
        bench.signal('control_node', signal.SIGCONT)
        time.sleep(0.0015)
        if k % 20 == 0:
            bench.listen(0.0)
        if bench.status.reason == SafetyStatus.DEADLINES_MISSED:
            break
    seconds = _see_hold(bench, sent, SafetyStatus.DEADLINES_MISSED, within)
    count = bench.status.deadlines_missed - missed
    bench.wait_for(lambda: bench.mode == Mode.ACTIVE, 'ACTIVE again', 5.0)
    return f'HOLD, DEADLINES_MISSED, {count} late; on by itself', seconds


def _gripper_node_killed(bench: Bench, within: float) -> Reaction:
    sent = bench.signal('gripper_node', signal.SIGKILL)
    try:
        seconds = _see_hold(bench, sent, SafetyStatus.GRIPPER_FAULT, within)
        text = bench.status.text
    finally:
        bench.start('gripper_node')
    bench.wait_for(lambda: bench.mode == Mode.ACTIVE, 'ACTIVE again')
    return f'{text}; on by itself', seconds


def _killed_robot(name: str) -> Callable[[Bench, float], Reaction]:
    def inject(bench: Bench, within: float) -> Reaction:
        sent = bench.signal(name, signal.SIGKILL)
        try:
            seconds = _see_disarmed(bench, sent, SafetyStatus.LOWSTATE_LOST, within)
        finally:
            bench.start(name)
        bench.wait_for(lambda: 0 <= bench.status.lowstate_age < 0.05, '/lowstate')
        bench.listen(0.5)
        _expect_mode(bench, Mode.DISARMED)
        return 'DISARMING, LOWSTATE_LOST; DISARMED when it is back', seconds

    return inject


def _killed_control(bench: Bench, within: float) -> Reaction:
    bench.stream = False
    killed = bench.signal('control_node', signal.SIGKILL)
    bench.start('control_node')
    restarted = time.time()
    bench.listen(0.1)
    silent = max([sent - killed for sent, _ in bench.commands.since(killed)], default=0.0)
    bench.wait_for(
        lambda: bench.statuses_since(restarted) and bench.status.lowstate_age >= 0, 'its status'
    )
    _expect_mode(bench, Mode.DISARMED)
    heard = time.time()
    bench.stream = True
    bench.listen(0.5)
    _expect_mode(bench, Mode.DISARMED)
    if bench.commands.since(restarted):
        raise NotSeenError('it commands without having been armed')
    bench.recover()
    first = bench.commands.since(heard)[0][1]
    if first.weight > 0.05:
        raise NotSeenError(f'its first weight was {first.weight:.2f}')
    return 'DISARMED; armed, from weight 0', silent


def _camera_stalls(bench: Bench, within: float) -> Reaction:
    _run_policy(bench)
    camera = [n for n in bench.children('sim_node')]
    for number in camera:
        os.kill(number, signal.SIGSTOP)
    sent = time.time()
    try:
        bench.wait_for(lambda: bench.policy.state == PolicyStatus.WAITING, 'WAITING', within)
        seconds = time.time() - sent
        text = bench.policy.text
        _see_hold(bench, sent, SafetyStatus.CHUNK_EXPIRED, 3.0)
    finally:
        for number in camera:
            os.kill(number, signal.SIGCONT)
    bench.wait_for(lambda: bench.mode == Mode.ACTIVE, 'ACTIVE again', 10.0)
    return f'policy: {text}; HOLD, CHUNK_EXPIRED; on by itself', seconds


def _killed_policy(bench: Bench, within: float) -> Reaction:
    _run_policy(bench)
    sent = bench.signal('policy_node', signal.SIGKILL)
    try:
        seconds = _see_hold(bench, sent, SafetyStatus.CHUNK_EXPIRED, within)
    finally:
        bench.policy = PolicyStatus()
        bench.start('policy_node')
    bench.wait_for(lambda: bench.policy.image_age > 0, 'images at the policy')
    bench.listen(1.0)
    _expect_mode(bench, Mode.HOLD)
    asked = time.time()
    bench.run_task(120.0)
    _see_disarmed(bench, asked, SafetyStatus.POLICY_RESTARTED, PATIENCE)
    return 'HOLD, CHUNK_EXPIRED; DISARMING, POLICY_RESTARTED', seconds


# --- what is seen


def _see_mode(bench: Bench, since: float, mode: Mode, within: float) -> float:
    return bench.reaction(since, mode.name, lambda s: s.mode == mode, within)


def _see_hold(bench: Bench, since: float, reason: int, within: float) -> float:
    name = f'HOLD, {Reason(reason).name}'
    return bench.reaction(since, name, lambda s: s.mode == Mode.HOLD and s.reason == reason, within)


def _see_disarmed(bench: Bench, since: float, reason: int, within: float) -> float:
    """Seconds to DISARMING for this reason; waits until the weight has gone down."""
    seconds = bench.reaction(
        since,
        f'DISARMING, {Reason(reason).name}',
        lambda s: s.mode == Mode.DISARMING and s.reason == reason,
        within,
    )
    ramp = bench.limits.weight_ramp + MARGIN
    bench.reaction(since, 'DISARMED', lambda s: s.mode == Mode.DISARMED, within + ramp)
    return seconds


def _see_estop(bench: Bench, since: float, reason: int, within: float) -> Reaction:
    """ESTOP at once, latched, and the weight 0 on the wire within its ramp."""
    seconds = bench.reaction(
        since,
        f'ESTOP, {Reason(reason).name}',
        lambda s: s.mode == Mode.ESTOP and s.reason == reason,
        within,
    )
    ramp = bench.limits.estop_ramp + MARGIN
    bench.wait_for(lambda: bench.commands.weight == 0.0, 'weight 0', ramp)
    _expect_mode(bench, Mode.ESTOP)
    return f'ESTOP; weight 0 after {time.time() - since:.2f} s', seconds


def _see_refused(bench: Bench, service: str) -> Reaction:
    asked = time.time()
    answer = bench.call(service)
    if answer.success:
        raise NotSeenError(f'{service}: {answer.message}')
    return f'refused: {answer.message}', time.time() - asked


def _expect_mode(bench: Bench, mode: Mode) -> None:
    if bench.mode != mode:
        raise NotSeenError(f'expected {mode.name}, got {bench.status.text}')


def _disarm(bench: Bench) -> None:
    bench.stream = False
    bench.call('disarm')
    bench.wait_for(lambda: bench.mode == Mode.DISARMED, 'DISARMED', PATIENCE)


def _run_policy(bench: Bench) -> None:
    """The shipped policy moves the simulated arms."""
    bench.run_task(120.0)
    bench.wait_for(lambda: bench.mode == Mode.ACTIVE, 'ACTIVE')
    bench.listen(0.5)


# --- report


def _line(outcome: Outcome) -> str:
    mark = '[green]ok[/]' if outcome.holds else '[bold red]NO[/]'
    took = '–' if outcome.milliseconds is None else f'{outcome.milliseconds:.0f} ms'
    return f'{mark} {outcome.name}: {outcome.seen} ({took})'


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(title='faults and what the system makes of them')
    for name in ('fault', 'expected', 'seen'):
        table.add_column(name)
    for name in ('ms', 'allowed', 'rad/s', 'rad/s²', ''):
        table.add_column(name, justify='right')
    for o in outcomes:
        took = '–' if o.milliseconds is None else f'{o.milliseconds:.0f}'
        moved = (f'{o.velocity:.2f}', f'{o.acceleration:.1f}') if o.commands else ('–', '–')
        mark = '[green]ok' if o.holds else '[bold red]NO'
        table.add_row(
            o.name, o.expected, o.seen, took, f'{o.allowed_milliseconds:.0f}', *moved, mark
        )
    return table
