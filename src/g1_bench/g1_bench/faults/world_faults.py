"""The world around: what is on the way, what touches an arm, and what nobody told control of it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import numpy as np
from dit4dit_msgs.msg import ActionChunk, SafetyStatus
from numpy.typing import NDArray

from g1_bench.faults.expectations import disarm, see_hold, see_refused
from g1_bench.faults.fault import Fault, Reaction
from g1_bench.faults.scripted_motion import POINTS, STEP
from g1_bench.faults.system_under_test import PATIENCE, NotSeenError, SystemUnderTest
from g1_control.collision import WallDistances
from g1_control.safety import Mode, walls
from g1_description import load_robot
from g1_description.kinematics import ArmKinematics
from g1_ros.conversions import joint_trajectory
from g1_ros.stamps import time_message_of

_ELBOW = '18'  # the left one's motor
_PUSH = 14.0  # [N m]
_KEPT = 0.001  # [m] by which a command may be beyond a wall
_OVER_TABLE, _INTO_TABLE = (-0.8, 0.6), (-0.8, 1.2)  # [rad] of both shoulders and elbows from home


def world_faults() -> list[Fault]:
    """The rows."""
    return [
        Fault(
            'world: nobody told of it',
            'robot',
            'refused, names table_height and the others',
            0.0,
            _not_set,
        ),
        Fault(
            'world: an obstacle is pushed into the arm',
            'robot',
            'HOLD, CONTACT; on',
            0.3,
            _pushed,
        ),
        Fault('world: hands too fast', 'robot', 'followed at hand_speed', 0.0, _too_fast),
        Fault('world: a plan through the table', 'sim', 'slides along it', 4.0, _through_table),
        Fault(
            'world: the table is higher than thought',
            'sim',
            'HOLD, CONTACT',
            6.0,
            _higher_table,
        ),
    ]


def _not_set(system: SystemUnderTest, within: float) -> Reaction:
    disarm(system)
    system.processes.knows_world = False
    try:
        _restart_control(system)
        reaction = see_refused(system, 'arm')
    finally:
        system.processes.knows_world = True
        _restart_control(system)
    if 'table_height' not in reaction[0] or 'config/safety.yaml' not in reaction[0]:
        raise NotSeenError(reaction[0])
    return reaction


def _pushed(system: SystemUnderTest, within: float) -> Reaction:
    sent = system.tell('sdk_robot', push={_ELBOW: _PUSH}, **{'for': 0.4})
    seconds = see_hold(system, sent, SafetyStatus.CONTACT, within)
    text = next(s.text for t, s in system.statuses_since(sent) if s.reason == SafetyStatus.CONTACT)
    system.wait_for(lambda: system.mode == Mode.ACTIVE, 'ACTIVE again', PATIENCE)
    return f'{text}; on by itself', seconds


def _too_fast(system: SystemUnderTest, within: float) -> Reaction:
    """Elbows and shoulders swing together, as fast as each may: that is 1.5 m/s at the hands."""
    system.stream = False
    system.wait_for(lambda: system.mode == Mode.HOLD, 'HOLD', PATIENCE)
    sent, allowed = time.time(), system.limits.hand_speed
    assert allowed is not None
    swing = np.zeros(16)
    swing[[0, 3, 7, 10]] = -1.4, -0.6, -1.4, -0.6
    home = load_robot().home
    _send(system, lambda t: home + swing * np.sin(np.clip(t / 1.5, 0.0, 1.0) * np.pi) ** 2)
    system.listen(POINTS * STEP + 0.2)
    commands = system.commands.since(sent)
    kinematics = ArmKinematics()
    places = np.array([[p[:3, 3] for p in kinematics.forward(c.q).values()] for c in commands])
    # Over 20 ms: when a command was sent is known less well than that they are 4 ms apart.
    fastest = float(np.linalg.norm(places[5:] - places[:-5], axis=2).max() / 0.02)
    if not 0.8 * allowed < fastest < 1.05 * allowed:
        raise NotSeenError(f'hands at {fastest:.2f} m/s, allowed are {allowed:g}')
    return f'at most {fastest:.2f} m/s', 0.0


def _through_table(system: SystemUnderTest, within: float) -> Reaction:
    sent = _over_table(system)
    _plunge(system)
    seconds = system.reaction(
        sent, 'WORKSPACE', lambda s: s.reason == SafetyStatus.WORKSPACE, within
    )
    text = next(
        s.text for t, s in system.statuses_since(sent) if s.reason == SafetyStatus.WORKSPACE
    )
    system.listen(3.0)
    around = WallDistances(load_robot(), walls(system.limits), 0.0)
    lowest = min(around.nearest(command.q) for command in system.commands.since(sent))
    if lowest < -_KEPT:
        raise NotSeenError(f'commanded {-lowest * 1e3:.1f} mm beyond the table')
    _home(system)
    return text, seconds


def _higher_table(system: SystemUnderTest, within: float) -> Reaction:
    """Control believes it to be far below."""
    _restart_control(system, ('table_height', -0.4))
    try:
        system.recover()
        _over_table(system)
        sent = time.time()
        _plunge(system)
        seconds = see_hold(system, sent, SafetyStatus.CONTACT, within)
        text = next(
            s.text for t, s in system.statuses_since(sent) if s.reason == SafetyStatus.CONTACT
        )
        system.listen(1.5)
        _home(system)
    finally:
        _restart_control(system)
    return text, seconds


def _restart_control(system: SystemUnderTest, *changes: tuple[str, float]) -> None:
    system.processes.changes['control_node'] = changes
    system.processes.signal('control_node', signal.SIGTERM)
    system.listen(0.2)  # to its last word
    system.statuses.clear()
    system.processes.start('control_node')
    system.wait_for(lambda: system.statuses, 'word of control_node', PATIENCE)
    system.call('disarm')  # until it is found


def _posture(shoulders: float, elbows: float) -> NDArray[np.float64]:
    posture = load_robot().home
    posture[[0, 7]] += shoulders
    posture[[3, 10]] += elbows
    return posture


def _over_table(system: SystemUnderTest) -> float:
    """Both hands go there; returns when they began."""
    sent = time.time()
    _move(system, load_robot().home, _posture(*_OVER_TABLE), 1.2)
    return sent


def _plunge(system: SystemUnderTest) -> None:
    _move(system, _posture(*_OVER_TABLE), _posture(*_INTO_TABLE), 1.2)


def _home(system: SystemUnderTest) -> None:
    """From wherever the arms are, up and back."""
    names = load_robot().action_joints
    states = dict(zip(system.joint_states.name, system.joint_states.position, strict=True))
    here = np.array([states[name] for name in names])
    _move(system, here, _posture(*_OVER_TABLE), 1.4)
    _move(system, _posture(*_OVER_TABLE), load_robot().home, 1.4)


def _move(
    system: SystemUnderTest, start: NDArray[np.float64], end: NDArray[np.float64], duration: float
) -> None:
    def at(time: float) -> NDArray[np.float64]:
        s = float(np.clip(time / duration, 0.0, 1.0))
        return start + s * s * (3 - 2 * s) * (end - start)

    _send(system, at)
    system.listen(duration + 0.3)


def _send(system: SystemUnderTest, at: Callable[[float], NDArray[np.float64]]) -> None:
    """A chunk of that motion from now on."""
    times = STEP * np.arange(POINTS)
    trajectory = joint_trajectory(
        time_message_of(time.time()), load_robot().action_joints, [at(t) for t in times], times
    )
    system.send(ActionChunk(header=trajectory.header, trajectory=trajectory))
