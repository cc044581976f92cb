"""Chunks that cannot be followed, or not as they are, and a stream of them that ends."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from dit4dit_msgs.msg import ActionChunk, SafetyStatus

from g1_bench.faults.expectations import expect_mode, see_hold, see_mode
from g1_bench.faults.fault import MARGIN, Fault, Injection, Reaction
from g1_bench.faults.scripted_motion import POINTS, STEP
from g1_bench.faults.system_under_test import NotSeenError, SystemUnderTest
from g1_control.collision import SelfCollision
from g1_control.safety import Mode, Reason
from g1_description import load_robot

_LEFT_ELBOW = 3  # of a chunk's joints


def chunk_faults() -> list[Fault]:
    """The rows; a chunk that is refused leaves the motion as it is."""

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
        Fault(
            'chunk: arms would collide',
            'robot',
            'slides along the margin, no nearer',
            2.0,
            _collision,
        ),
        Fault('chunk: none comes', 'robot', 'HOLD at its end, then on', 0.0, _no_new_chunk),
        Fault('teleop: stops sending', 'robot', 'HOLD at its end', 0.0, _teleop_stops),
    ]


def _refused(change: Callable[[ActionChunk], None], reason: int, joint: str) -> Injection:
    def inject(system: SystemUnderTest, within: float) -> Reaction:
        def make() -> ActionChunk:
            chunk = system.motion.chunk()
            change(chunk)
            return chunk

        return see_refusal(system, make, reason, joint, within)

    return inject


def see_refusal(
    system: SystemUnderTest, make: Callable[[], ActionChunk], reason: int, joint: str, within: float
) -> Reaction:
    system.stream = False
    system.send(system.motion.chunk())
    system.listen(0.15)  # the status says so by then
    refused, accepted = system.status.chunks_rejected, system.status.chunks_accepted
    sent = system.send(make())
    seconds = system.reaction(
        sent, 'refusal', lambda status: status.chunks_rejected > refused, within
    )
    status = system.status
    named = status.limiting_joint if joint else ''
    if (status.rejection_reason, named) != (reason, joint):
        raise NotSeenError(
            f'{Reason(status.rejection_reason).name} {named}: {status.rejection_text}'
        )
    system.listen(0.4)  # the chunk before drives the arms
    expect_mode(system, Mode.ACTIVE)
    if not system.check_commands(time.time() - 0.3).velocity > 0.0:
        raise NotSeenError('the motion stopped')
    if system.status.chunks_accepted > accepted:
        raise NotSeenError('it was accepted')
    return f'refused, {Reason(reason).name}: {status.rejection_text}', seconds


def _out_of_order(system: SystemUnderTest, within: float) -> Reaction:
    return see_refusal(
        system,
        lambda: system.motion.chunk(time.time() - 0.5),
        SafetyStatus.CHUNK_TOO_OLD,
        '',
        within,
    )


def _out_of_range(system: SystemUnderTest, within: float) -> Reaction:
    clamped, sent = system.status.clamped, time.time()
    system.stream = False
    chunk = system.motion.chunk()
    for point in chunk.trajectory.points:
        point.positions[14] = -0.01  # a gripper beyond closed
    system.send(chunk)
    seconds = system.reaction(sent, 'clamp', lambda s: s.clamped > clamped, within)
    expect_mode(system, Mode.ACTIVE)
    return f'{system.status.clamped - clamped} targets of {system.status.limiting_joint}', seconds


def _duplicate(system: SystemUnderTest, within: float) -> Reaction:
    system.stream = False
    chunk = system.motion.chunk()
    system.send(chunk)
    system.listen(0.2)
    accepted = system.status.chunks_accepted
    sent = system.send(chunk)
    seconds = system.reaction(sent, 'chunk', lambda s: s.chunks_accepted > accepted, within)
    system.listen(0.4)
    expect_mode(system, Mode.ACTIVE)
    return 'followed', seconds


def _late(system: SystemUnderTest, within: float) -> Reaction:
    system.stream = False
    chunk = system.motion.chunk()
    system.listen(0.6)
    accepted = system.status.chunks_accepted
    sent = system.send(chunk)
    seconds = system.reaction(sent, 'chunk', lambda s: s.chunks_accepted > accepted, within)
    system.listen(0.4)
    expect_mode(system, Mode.ACTIVE)
    return f'followed, image {system.status.chunk_age:.1f} s old', seconds


def _collision(system: SystemUnderTest, within: float) -> Reaction:
    """Both hands swing inwards until one would touch the other, or the torso."""
    system.stream = False
    stamp = time.time()
    chunk = system.motion.chunk(stamp)
    for k, point in enumerate(chunk.trajectory.points):
        inward = 1.2 * min(1.0, k / 8)
        point.positions[2] -= inward  # left shoulder yaw
        point.positions[9] += inward  # right shoulder yaw
    sent = system.send(chunk)
    seconds = system.reaction(
        sent, 'SELF_COLLISION', lambda s: s.reason == SafetyStatus.SELF_COLLISION, within
    )
    text = system.status.text
    system.listen(1.5)
    collision = SelfCollision(load_robot())
    least = min(collision.nearest(c.q.astype(float)) for c in system.commands.since(sent))
    if least < system.limits.self_collision_margin:
        raise NotSeenError(f'commanded to {least * 1e3:.1f} mm')
    return f'{text}; commanded to {least * 1e3:.1f} mm', seconds


def _no_new_chunk(system: SystemUnderTest, within: float) -> Reaction:
    system.stream = False
    end = _end_of(system.motion.chunk(system.send(system.motion.chunk())))
    system.listen(max(0.0, end - time.time() - 0.2))
    expect_mode(system, Mode.ACTIVE)
    seconds = see_hold(system, end, SafetyStatus.CHUNK_EXPIRED, within)
    system.listen(0.3)
    system.stream = True
    see_mode(system, time.time(), Mode.ACTIVE, MARGIN)
    return 'HOLD, CHUNK_EXPIRED; goes on with the next chunk', seconds


def _teleop_stops(system: SystemUnderTest, within: float) -> Reaction:
    system.stream = False
    for _ in range(5):
        system.send_targets()
        system.listen(0.1)
    end = _end_of(system.motion.chunk(time.time() - 0.1))
    return 'HOLD, CHUNK_EXPIRED', see_hold(system, end, SafetyStatus.CHUNK_EXPIRED, within)


def _end_of(chunk: ActionChunk) -> float:
    """When its last target is due."""
    stamp = chunk.header.stamp
    return stamp.sec + stamp.nanosec * 1e-9 + (POINTS - 1) * STEP
