"""`g1 bench takeover`: an operator takes the arms from a policy at full speed, and gives them back.

Chunks of a motion near the limits of speed, five a second, drive a fake robot of Unitree's SDK
through control_node; every few seconds both grips of a made-up device are squeezed, at a random
moment of the motion, the hands move, and let go for as long as teleop_node asks for. How large is a
step from one command to the next around the switches, and elsewhere? How long from the measurement
of the squeeze to the first command after control has given the arms to the operator?
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from dit4dit_msgs.msg import ActionChunk, SafetyStatus
from numpy.typing import NDArray
from rich.table import Table
from std_msgs.msg import Header

from g1_bench.benchmarks.rig import Rig, armed_rig, milliseconds, process
from g1_bringup.arguments import check
from g1_bringup.launcher import command
from g1_bringup.systems import find
from g1_console.services import NoAnswer
from g1_control.control_parameters import ControlParameters
from g1_control.minimum_jerk import minimum_jerk
from g1_description import load_robot
from g1_description.control_source import ControlSource
from g1_fakes.command_log import ArmCommand, read_commands
from g1_ros.config import config_path
from g1_ros.conversions import joint_trajectory
from g1_ros.operator import HandInput, OperatorInput, OperatorPublisher
from g1_ros.parameters import load
from g1_ros.qos import COMMAND, EVERY_STATUS
from g1_ros.real_time import ask_for_real_time
from g1_ros.stamps import seconds, time_message_of

Array = NDArray[np.float64]

SECONDS = 250.0  # of 50 hand-overs each way
_EACH = 5.0  # [s] of a hand-over and back
_ANSWERED = 30.0  # [s] within which the arms change hands, on a busy computer
_PRESSES, _PRESSED, _OPEN = 10, 2.0, 0.3  # times, [s] for each, [s] between them
_PERIOD, _CHUNK_PERIOD = 1 / 90, 0.2  # [s] of the device, and of chunks
_AGE = 0.1  # [s] of the picture that a chunk is made of
_STEPS = np.arange(16) * 0.1  # [s] of a chunk's targets
_SWING, _PACE = 0.28, 6.0  # [rad], [rad/s]: 1.7 rad/s and 10 rad/s2 of the 2 and 12 allowed
_HOME = 1.2  # [s] in which the policy goes home from where it was given the arms
_DRIVEN = (2.0, 3.0)  # [s] that it has them at least and at most, most of it at full speed
_OPERATED = 0.8  # [s] that the operator has them
_REACH = 0.03  # [m] that the hands move by
_SWITCH = 0.5  # [s] from a switch on that count as it
_EVEN = 1.4  # periods; commands further apart are not compared, as one between them may be missing


@dataclass(frozen=True)
class Steps:
    """The largest from one command to the next, any arm joint: of position [rad], velocity
    [rad/s] and acceleration [rad/s2]; of so many commands.
    """

    commands: int
    position: float
    velocity: float
    acceleration: float


def measure(given: float) -> dict[str, Any]:
    """As many hand-overs as there is time for [s]. Raises NoAnswer when arms change hands not."""
    count = max(1, round(given / _EACH))
    commands: list[tuple[int, bytes]] = []
    system = find('teleop_record.launch.py')
    values = check(system, {'robot': 'g1', 'camera': 'none', 'device': 'none'})
    node = next(n for n in system.started(values) if n.executable == 'teleop_node')
    with armed_rig() as rig, process(command(node, values)):
        session = _Session(rig, count)
        rig.keep = lambda data, sent: commands.append((sent, data))
        ask_for_real_time()  # what stands in for a headset must not be what is late
        session.run()
    read = read_commands((sent * 1e-9, data) for sent, data in commands)
    sent = np.array([c.sent for c in read])
    waits = [
        float(sent[sent >= taken][0]) - squeezed
        for squeezed, taken in zip(session.squeezed, session.taken, strict=True)
    ]
    switches = np.array([*session.taken, *session.given_back])
    near = (sent[:, None] >= switches) & (sent[:, None] < switches + _SWITCH)
    at_switches = np.asarray(near.any(axis=1))
    return {
        'hand_overs': count,
        'cores': os.cpu_count(),
        'load': round(os.getloadavg()[0], 1),
        'squeeze_to_first_command_ms': milliseconds(waits, 50, 95),
        'switch': _numbers(steps(read, at_switches)),
        'inside': _numbers(steps(read, ~at_switches)),
        'holds': session.holds,
        'holds_let_go': count,  # one each time, until the arms are given back
        'rejected': session.rejected,
        'pressed_anew': session.pressed_anew,
    }


def table(content: dict[str, Any]) -> Table:
    """The numbers for people."""
    result = Table(title=f'{content["hand_overs"]} hand-overs each way', show_header=False)
    first = content['squeeze_to_first_command_ms']
    result.add_row(
        'squeeze to first command of the operator',
        f'p50 {first["p50"]} ms, p95 {first["p95"]} ms, max {first["max"]} ms',
    )
    for name, text in (('switch', 'at the switches'), ('inside', 'elsewhere')):
        found = content[name]
        result.add_row(
            f'largest step from one command to the next, {text}',
            f'{found["position_mrad"]} mrad, {found["velocity_rad_s"]} rad/s, '
            f'{found["acceleration_rad_s2"]} rad/s2 ({found["commands"]} commands)',
        )
    result.add_row(
        'holds',
        f'{content["holds"] - content["holds_let_go"]}, beside the {content["holds_let_go"]} in '
        f'which hands had let go; {content["rejected"]} chunks rejected, grips pressed anew '
        f'{content["pressed_anew"]} times',
    )
    return result


def steps(commands: list[ArmCommand], counts: NDArray[np.bool_]) -> Steps:
    """Of commands that count and come after three others, each a period after the one before."""
    period = 1 / load(ControlParameters, config_path('control.yaml')).rate
    even = np.diff([c.sent for c in commands]) < _EVEN * period
    chosen = np.flatnonzero(counts[3:] & even[2:] & even[1:-1] & even[:-2])
    q, dq = (np.array([getattr(c, name) for c in commands]) for name in ('q', 'dq'))
    acceleration = np.diff(dq, axis=0) / period
    found = (np.diff(q, axis=0)[2:], np.diff(dq, axis=0)[2:], np.diff(acceleration, axis=0)[1:])
    largest = [float(np.abs(values[chosen]).max(initial=0.0)) for values in found]
    return Steps(len(chosen), *largest)


def _numbers(found: Steps) -> dict[str, float]:
    return {
        'commands': found.commands,
        'position_mrad': round(found.position * 1e3, 2),
        'velocity_rad_s': round(found.velocity, 4),
        'acceleration_rad_s2': round(found.acceleration, 2),
    }


class _Session:
    """A policy and an operator on a thread of their own, while `run` polls.

    squeezed: when each squeeze was measured; taken, given_back: when control said so [s].
    """

    def __init__(self, rig: Rig, count: int) -> None:
        self.squeezed: list[float] = []
        self.taken: list[float] = []
        self.given_back: list[float] = []
        self.holds = self.rejected = self.pressed_anew = 0
        self._rig, self._count = rig, count
        self._robot = load_robot()
        self._outward = np.append([1.0] * 7 + [1.0, -1.0, -1.0, 1.0, -1.0, 1.0, -1.0], [0.0, 0.0])
        self._device = OperatorPublisher(rig.node)
        self._chunks = rig.node.create_publisher(ActionChunk, 'policy/action_chunk', COMMAND)
        self._number = 0
        self._source, self._changed = ControlSource.NOBODY, 0.0
        self._rest, self._began = self._robot.home, time.time()
        self._grip, self._gripped = 0.0, 0.0
        self._ended = threading.Event()
        rig.topics.listen(SafetyStatus, 'control/safety_status', EVERY_STATUS, self._take_status)

    def run(self) -> None:
        before = self._rig.status
        thread = threading.Thread(target=self._publish, name='operator', daemon=True)
        thread.start()
        rng = np.random.default_rng(0)
        try:
            self._wait_for(ControlSource.POLICY)
            for _ in range(self._count):
                self._rig.wait(rng.uniform(*_DRIVEN))
                self.taken.append(self._squeeze())
                self.squeezed.append(self._gripped)
                self._rig.wait(_OPERATED)
                self._grip = 0.0
                self.given_back.append(self._wait_for(ControlSource.POLICY))
        finally:
            self._ended.set()
            thread.join()
        self.holds = self._rig.status.holds - before.holds
        self.rejected = self._rig.status.chunks_rejected - before.chunks_rejected

    def _squeeze(self) -> float:
        """Presses the grips, anew where teleop_node had no turn for so long that it let go."""
        for _ in range(_PRESSES):
            self._grip = 1.0
            with suppress(NoAnswer):
                return self._wait_for(ControlSource.OPERATOR, _PRESSED)
            self.pressed_anew += 1
            self._grip = 0.0
            self._rig.wait(_OPEN)
        raise NoAnswer(f'the operator does not get the arms; control is {self._rig.status.text}')

    def _wait_for(self, source: ControlSource, patience: float = _ANSWERED) -> float:
        """When control said that the arms are its [s]."""
        deadline = time.monotonic() + patience
        while self._source is not source:
            self._rig.poll()
            if time.monotonic() > deadline:
                raise NoAnswer(f'not heard: {source.words}; control is {self._rig.status.text}')
        return self._changed

    def _take_status(self, status: SafetyStatus, _times: object) -> None:
        source = ControlSource(status.control_source)
        if source is not self._source:
            self._source, self._changed = source, seconds(status.stamp)

    def _publish(self) -> None:
        """What a device measures and a policy infers, each at its rate, until the end."""
        due = chunk_due = time.monotonic()
        source, pressed = ControlSource.NOBODY, 0.0
        while not self._ended.is_set():
            due += _PERIOD
            time.sleep(max(0.0, due - time.monotonic()))
            now = time.time()
            if self._grip and not pressed:
                self._gripped = now
            pressed = self._grip
            pose = np.eye(4)
            pose[0, 3] = _REACH * np.sin(2 * np.pi * (now - self._gripped) / _OPERATED)
            hand = HandInput(pose, pressed, 0.0)
            self._device.publish(OperatorInput(round(now * 1e9), hand, hand))
            if self._source is ControlSource.NOBODY and source is not self._source:
                self._rest, self._began = self._commanded(), now
            source = self._source
            if time.monotonic() >= chunk_due:
                chunk_due = time.monotonic() + _CHUNK_PERIOD
                self._send_chunk(now - _AGE)

    def _commanded(self) -> Array:
        """(16,) where the arms are held."""
        return np.append(self._rig.commanded, self._robot.home[14:])

    def _send_chunk(self, stamp: float) -> None:
        self._number += 1
        message, times = time_message_of(stamp), stamp + _STEPS
        targets = [self._motion(t - self._began) for t in times]
        self._chunks.publish(
            ActionChunk(
                header=Header(stamp=message),
                chunk_id=self._number,
                trajectory=joint_trajectory(message, self._robot.action_joints, targets, _STEPS),
            )
        )

    def _motion(self, since: float) -> Array:
        """(16,) so long after the arms were given to the policy [s]: home, then to and fro."""
        home = self._robot.home
        share = float(minimum_jerk(np.clip(since / _HOME, 0.0, 1.0)))
        swing = _SWING * (1 - np.cos(_PACE * max(since - _HOME, 0.0)))
        return self._rest + share * (home - self._rest) + swing * self._outward
