"""Chunks that cannot be followed, or not as they are, and a stream of them that ends."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from dit4dit_msgs.msg import ActionChunk, SafetyStatus
from numpy.typing import NDArray
from trajectory_msgs.msg import JointTrajectoryPoint

from g1_bench.faults.expectations import expect_motion, see_hold, see_mode
from g1_bench.faults.fault import MARGIN, Fault, Injection, Reaction
from g1_bench.faults.scripted_motion import MANY_POINTS, end_of
from g1_bench.faults.system_under_test import NotSeenError, SystemUnderTest
from g1_control.collision import SelfCollision
from g1_control.safety import Mode, Reason
from g1_description import load_robot
from g1_ros.stamps import duration_message

Array = NDArray[np.float64]

_LEFT_ELBOW = 3  # of a chunk's joints
_LATENESS = 0.6  # [s]
_TOO_MANY = 300  # points of a chunk
_AWAY = 0.02  # [rad]
_BRAKES = 1.0  # [s] in which arms that an operator has taken come to rest


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

    def unset_stamp(chunk: ActionChunk) -> None:
        chunk.header.stamp.sec = chunk.header.stamp.nanosec = 0

    def too_many(chunk: ActionChunk) -> None:
        first = chunk.trajectory.points[0].positions
        points = [JointTrajectoryPoint(positions=first) for _ in range(_TOO_MANY)]
        for k, point in enumerate(points):
            point.time_from_start = duration_message(0.005 * k)
        chunk.trajectory.points = points

    def over_a_minute(chunk: ActionChunk) -> None:
        chunk.trajectory.points[-1].time_from_start.sec += 100

    def before_its_stamp(chunk: ActionChunk) -> None:
        chunk.trajectory.points[0].time_from_start.sec = -1

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
        ('stamp never set', unset_stamp, SafetyStatus.CHUNK_TOO_OLD, ''),
        ('too many points', too_many, SafetyStatus.CHUNK_SHAPE, ''),
        ('reaches over a minute', over_a_minute, SafetyStatus.CHUNK_TIMES, ''),
        ('begins before its stamp', before_its_stamp, SafetyStatus.CHUNK_TIMES, ''),
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
        Fault(
            'chunk: again and again towards a collision',
            'robot',
            'none is refused; followed again as soon as they lead away',
            0.5,
            _collision_again,
        ),
        Fault('chunk: none comes', 'robot', 'HOLD at its end, then on', 0.0, _no_new_chunk),
        Fault('teleop: stops sending', 'robot', 'HOLD at its end', 0.0, _teleop_stops),
    ]


def _refused(change: Callable[[ActionChunk], None], reason: int, joint: str) -> Injection:
    def inject(system: SystemUnderTest, within: float) -> Reaction:
        def send() -> float:
            chunk = system.motion.chunk()
            change(chunk)
            return system.send(chunk)

        return see_refusal(system, send, reason, joint, within)

    return inject


def see_refusal(
    system: SystemUnderTest,
    send: Callable[[], float],
    reason: int,
    joint: str,
    within: float,
    takes_over: bool = False,
) -> Reaction:
    """What `send` sends (and when, it says) is refused; a chunk from before drives the arms on.

    takes_over: it is an operator's, who has the arms with that; they brake.
    """
    _follow_long(system)
    refused, accepted = system.status.chunks_rejected, system.status.chunks_accepted
    sent = send()
    seconds = system.reaction(
        sent, 'refusal', lambda status: status.chunks_rejected > refused, within
    )
    status = system.status
    named = status.limiting_joint if joint else ''
    if (status.rejection_reason, named) != (reason, joint):
        raise NotSeenError(
            f'{Reason(status.rejection_reason).name} {named}: {status.rejection_text}'
        )
    if takes_over:
        see_hold(system, sent, SafetyStatus.CHUNK_EXPIRED, _BRAKES)
    else:
        expect_motion(system, sent, 0.4)  # the chunk before drives the arms
    if system.status.chunks_accepted > accepted:
        raise NotSeenError('it was accepted')
    return f'refused, {Reason(reason).name}: {status.rejection_text}', seconds


def _out_of_order(system: SystemUnderTest, within: float) -> Reaction:
    return see_refusal(
        system,
        lambda: system.send(system.motion.chunk(time.time() - 0.5)),
        SafetyStatus.CHUNK_TOO_OLD,
        '',
        within,
    )


def _out_of_range(system: SystemUnderTest, within: float) -> Reaction:
    clamped = system.status.clamped
    system.stream = False
    chunk = system.motion.chunk()
    for point in chunk.trajectory.points:
        point.positions[14] = -0.01  # a gripper beyond closed
    sent = system.send(chunk)
    seconds = system.reaction(sent, 'clamp', lambda s: s.clamped > clamped, within)
    expect_motion(system, sent, 0.4)
    return f'{system.status.clamped - clamped} targets of {system.status.limiting_joint}', seconds


def _duplicate(system: SystemUnderTest, within: float) -> Reaction:
    chunk = _follow_long(system)
    accepted = system.status.chunks_accepted
    sent = system.send(chunk)
    seconds = system.reaction(sent, 'chunk', lambda s: s.chunks_accepted > accepted, within)
    expect_motion(system, sent, 0.4)
    return 'followed', seconds


def _late(system: SystemUnderTest, within: float) -> Reaction:
    _follow_long(system)
    system.listen(_LATENESS + 0.1)  # an older one than that in execution would be out of order
    accepted = system.status.chunks_accepted
    sent = system.send(system.motion.chunk(time.time() - _LATENESS))
    seconds = system.reaction(sent, 'chunk', lambda s: s.chunks_accepted > accepted, within)
    expect_motion(system, sent, 0.4)
    return f'followed, image {system.status.chunk_age:.1f} s old', seconds


def _collision(system: SystemUnderTest, within: float) -> Reaction:
    """Both hands swing inwards until one would touch the other, or the torso."""
    system.stream = False
    sent = system.send(_inward(system))
    seconds = system.reaction(
        sent, 'SELF_COLLISION', lambda s: s.reason == SafetyStatus.SELF_COLLISION, within
    )
    text = system.status.text
    system.listen(1.5)
    return f'{text}; commanded to {_least(system, sent) * 1e3:.1f} mm', seconds


def _collision_again(system: SystemUnderTest, within: float) -> Reaction:
    """A policy that sees no change asks for the same again; then it changes its mind."""
    system.stream = False
    refused, began = system.status.chunks_rejected, time.time()
    for _ in range(10):
        system.send(_inward(system))
        system.listen(0.2)
    pressed = system.commands.since(began)[-1].q
    sent = system.send(_from(pressed, system.motion.chunk()))
    system.listen(1.0)
    if system.status.chunks_rejected > refused:
        raise NotSeenError(f'refused: {system.status.rejection_text}')
    away = [c.sent for c in system.commands.since(sent) if np.abs(c.q - pressed).max() > _AWAY]
    if not away:
        raise NotSeenError('the arms stay where they were pressed')
    return f'slides; leaves; commanded to {_least(system, began) * 1e3:.1f} mm', away[0] - sent


def _inward(system: SystemUnderTest) -> ActionChunk:
    chunk = system.motion.chunk()
    for k, point in enumerate(chunk.trajectory.points):
        inward = 1.2 * min(1.0, k / 8)
        point.positions[2] -= inward  # left shoulder yaw
        point.positions[9] += inward  # right shoulder yaw
    return chunk


def _from(arms: Array, chunk: ActionChunk) -> ActionChunk:
    """The same chunk, but in a second there from `arms` (14,) [rad]."""
    for k, point in enumerate(chunk.trajectory.points):
        share, positions = min(1.0, k / 10), np.array(point.positions)
        positions[:14] = arms + share * (positions[:14] - arms)
        point.positions = positions.tolist()
    return chunk


def _least(system: SystemUnderTest, since: float) -> float:
    """The least distance that was commanded [m]; NotSeenError where that is below the margin."""
    collision = SelfCollision(load_robot())
    least = min(collision.nearest(c.q.astype(float)) for c in system.commands.since(since))
    if least < system.limits.self_collision_margin:
        raise NotSeenError(f'commanded to {least * 1e3:.1f} mm')
    return least


def _no_new_chunk(system: SystemUnderTest, within: float) -> Reaction:
    system.stream = False
    chunk = system.motion.chunk()
    sent, end = system.send(chunk), end_of(chunk.trajectory)
    seconds = see_hold(system, end, SafetyStatus.CHUNK_EXPIRED, within)
    expect_motion(system, sent, end - sent - 0.1)
    system.listen(0.3)
    system.stream = True
    see_mode(system, time.time(), Mode.ACTIVE, MARGIN)
    return 'HOLD, CHUNK_EXPIRED; goes on with the next chunk', seconds


def _teleop_stops(system: SystemUnderTest, within: float) -> Reaction:
    system.stream = False
    for _ in range(5):
        end = end_of(system.send_targets())
        system.listen(0.1)
    return 'HOLD, CHUNK_EXPIRED', see_hold(system, end, SafetyStatus.CHUNK_EXPIRED, within)


def _follow_long(system: SystemUnderTest) -> ActionChunk:
    """The arms follow one long chunk, which this returns; no other comes."""
    system.stream = False
    accepted = system.status.chunks_accepted
    chunk = system.motion.chunk(points=MANY_POINTS)
    system.send(chunk)
    system.wait_for(lambda: system.status.chunks_accepted > accepted, 'chunk accepted')
    return chunk
