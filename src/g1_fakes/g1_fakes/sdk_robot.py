"""A G1 for tests that speaks through Unitree's own SDK over CycloneDDS, in a process of its own.

    python -m g1_fakes.sdk_robot --domain 42

publishes rt/lowstate at 500 Hz, follows rt/arm_sdk as the firmware does and checks all it gets.
Without CYCLONEDDS_URI it talks on the loopback interface only; the nodes then need
ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST. One line of JSON on stdin plays a fault (see `Faults`),
for good or for some seconds, or asks for a report; every answer is a line of JSON on stdout:

    {"silent": true, "for": 0.1}         no rt/lowstate for 0.1 s
    {"motor_error": {"18": 512}}         the left elbow's winding is too hot, until {}
    {"buttons": ["L2", "B"]}             the remote control's emergency stop
    {"report": true, "since": 1234.5}    what came after this time of the monotonic clock

It ends with stdin or SIGTERM, after a last report. No ROS: all is said in Unitree's messages.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import queue
import random
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from unitree_sdk2py.core import channel
from unitree_sdk2py.idl.default import unitree_hg_msg_dds__LowState_ as default_low_state
from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_, LowState_
from unitree_sdk2py.utils.crc import CRC

from g1_control.remote import BUTTONS, press
from g1_control.unitree import ARM_MOTORS, MOTORS, LowCmd, LowState
from g1_description import load_robot
from g1_description.kinematics import ArmKinematics
from g1_fakes.command_log import RobotLog
from g1_ros.real_time import ask_for_real_time
from g1_sim.motors import MotorCommand, MotorLaw

Array = NDArray[np.float64]

#: Loopback has no multicast: participants find each other at the ports of 127.0.0.1. Programs with
#: the SDK end without a word and are forgotten after the lease (standard 10 s).
LOOPBACK = """<CycloneDDS><Domain Id="any">
<General><Interfaces><NetworkInterface name="lo" multicast="false"/></Interfaces></General>
<Discovery><LeaseDuration>2s</LeaseDuration><ParticipantIndex>auto</ParticipantIndex>
<MaxAutoParticipantIndex>60</MaxAutoParticipantIndex>
<Peers><Peer address="127.0.0.1"/></Peers></Discovery>
</Domain></CycloneDDS>"""

_HEADER = bytes((0, 1, 0, 0))  # of little-endian CDR
_PERIOD = 1 / 500  # [s]
_INERTIA = np.array([0.3] * MOTORS)  # [kg m2] at each joint, as if no other moved
_INERTIA[ARM_MOTORS] = ([0.15] * 4 + [0.02] * 3) * 2
_FRICTION = 0.5  # [N m s / rad]
_DECODED = 50  # every so many commands, one is also decoded by the SDK's own classes


@dataclass
class Faults:
    """What is wrong with the robot. Motors by index; all can be changed at any time.

    silent: no rt/lowstate. corrupt: wrong CRC. frozen: the same state again and again, tick too.
    reordered: every second state after its successor. rate: of rt/lowstate [Hz]; jitter: each one
    late by up to this [s]. push: from outside, by motor [N m]. motor_error: bits of motorstate.
    temperature: [degrees C]. blocked: do not move. jump: added to the measured position [rad].
    not_a_number: measure NaN. mode_machine: another variant's. buttons: held on the remote control.
    """

    silent: bool = False
    corrupt: bool = False
    frozen: bool = False
    reordered: bool = False
    rate: float = 500.0
    jitter: float = 0.0
    motor_error: dict[str, int] = field(default_factory=dict)
    temperature: dict[str, float] = field(default_factory=dict)
    push: dict[str, float] = field(default_factory=dict)
    blocked: list[int] = field(default_factory=list)
    jump: dict[str, float] = field(default_factory=dict)
    not_a_number: list[int] = field(default_factory=list)
    mode_machine: int = 5
    buttons: list[str] = field(default_factory=list)

    def change(self, request: dict[str, Any]) -> dict[str, Any]:
        """Sets what `request` names and returns what that was before.

        Raises ValueError naming a fault that there isn't, or a value of another type.
        """
        before = asdict(self)
        for name, value in request.items():
            if name not in before:
                known = ', '.join(f.name for f in fields(self))
                raise ValueError(f'no fault {name!r}; there are: {known}')
            kind = type(before[name])
            if not isinstance(value, (int, float) if kind is float else kind):
                raise ValueError(f'{name}: expected {kind.__name__}, got {value!r}')
        unknown = set(request.get('buttons', ())) - set(BUTTONS)
        if unknown:
            raise ValueError(f'no button {unknown.pop()!r}; there are: {", ".join(BUTTONS)}')
        for name, value in request.items():
            setattr(self, name, value)
        return {name: before[name] for name in request}


class Body:
    """29 motors, each an inertia of its own: the firmware's law, gravity on the arms, friction."""

    def __init__(self) -> None:
        robot = load_robot()
        joints = robot.joints
        self.q = np.array([joint.home for joint in joints])
        self.dq = np.zeros(MOTORS)
        self.torque = np.zeros(MOTORS)
        self._effort = np.array([joint.effort for joint in joints])
        self._posture = self.q.copy()
        self._law = MotorLaw(
            self._posture,
            np.array([joint.kp for joint in joints]),
            np.array([joint.kd for joint in joints]),
        )
        self._kinematics = ArmKinematics()
        self._weight = 0.0
        self._drive = self._law.drive(MotorCommand())

    def follow(self, command: LowCmd) -> None:
        """Does what `command` asks, to the share of its weight, until the next one."""
        fields = (command.q, command.dq, command.tau, command.kp, command.kd)
        q, dq, tau, kp, kd = np.array(fields, float)[:, :MOTORS]
        self._weight = min(max(command.weight, 0.0), 1.0)
        self._drive = self._law.drive(MotorCommand(q, dq, tau, kp, kd, self._weight))

    def step(self, duration: float, blocked: list[int], push: Mapping[str, float]) -> None:
        """Lets `duration` [s] pass; motors in `blocked` stand. push: from outside [N m]."""
        drive, load = self._drive, np.zeros(MOTORS)
        load[ARM_MOTORS] = self._kinematics.gravity(self.q[ARM_MOTORS])
        wanted = drive.feedforward - drive.kp * self.q - drive.kd * self.dq
        wanted += (1 - self._weight) * load  # the built-in controller knows gravity
        self.torque = np.clip(wanted, -self._effort, self._effort)
        free = self.torque - load - _FRICTION * self.dq
        for motor, torque in push.items():
            free[int(motor)] += torque
        self.dq += free / _INERTIA * duration
        self.dq[blocked] = 0.0
        self.q += self.dq * duration


class SdkRobot:
    """The process: one thread at 500 Hz, the SDK's threads that bring commands, one on stdin."""

    def __init__(self, domain: int) -> None:
        self.faults, self.log = Faults(), RobotLog()
        self._body = Body()
        self._state = LowState()
        self._state.mode[:MOTORS] = 1
        self._state.vol[:MOTORS] = 48.0
        self._state.quaternion[:] = (1, 0, 0, 0)
        self._state.accelerometer[:] = (0, 0, 9.81)
        self._state.imu_temperature = 40
        self._tick = self._sent = self._decoded = self._disagreed = 0
        self._held_back: bytes | None = None
        self._arrived: queue.SimpleQueue[tuple[float, bytes, Any]] = queue.SimpleQueue()
        self._requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._ends: list[tuple[float, dict[str, Any]]] = []  # of faults for some seconds
        self._crc = CRC()
        self._open(domain)

    def run(self) -> None:
        """Until stdin ends."""
        threading.Thread(target=self._read_requests, daemon=True).start()
        answer(event='ready', time=time.monotonic())
        deadline = due = time.monotonic()
        while self._serve_requests():
            self._take_commands()
            self._body.step(_PERIOD, self.faults.blocked, self.faults.push)
            self._tick += round(_PERIOD * 1e3)
            if deadline >= due:
                due = max(due + 1 / self.faults.rate, deadline)
                self._publish()
            deadline = max(deadline + _PERIOD, time.monotonic() - 0.1)  # late ones are caught up
            time.sleep(max(0.0, deadline - time.monotonic()))
        answer(event='report', **self.report())

    def report(self, since: float = -np.inf) -> dict[str, Any]:
        """What it sent and what it got since then, as `RobotLog.summary`."""
        return {
            'time': time.monotonic(),
            'states': self._sent,
            'decoded_by_sdk': self._decoded,
            'sdk_disagrees': self._disagreed,
            **self.log.summary(since),
        }

    def stop(self, *_: object) -> None:
        """Ends the robot; may be a signal handler."""
        self._requests.put(None)

    # --- wire

    def _open(self, domain: int) -> None:
        # The only place where the SDK takes a configuration of one's own.
        channel.ChannelConfigAutoDetermine = os.environ.get('CYCLONEDDS_URI', LOOPBACK)
        channel.ChannelFactoryInitialize(domain)
        self._decode = LowCmd_.deserialize
        # Python takes 0.6 ms to decode a command and 1.2 ms to encode a state with its CRC, too
        # long for these rates: bytes are kept, and encoded by our own code, which is compared.
        LowCmd_.deserialize = _Encoded
        self._publisher = channel.ChannelPublisher('rt/lowstate', LowState_)
        self._publisher.Init()
        self._subscriber = channel.ChannelSubscriber('rt/arm_sdk', LowCmd_)
        self._subscriber.Init(self._on_command)
        self._message = default_low_state()
        self._compare_encodings()

    def _compare_encodings(self) -> None:
        """Stops here unless the SDK encodes a state to the very bytes that we do, CRC included."""
        # Bytes below 64 make all floats finite.
        theirs = LowState_.deserialize(_HEADER + bytes(random.choices(range(64), k=2088)))
        theirs.crc = self._crc.Crc(theirs)
        ours, encoded = LowState(), theirs.serialize()
        ours.load(encoded)
        same = ours.crc_ok and ours.to_bytes() == encoded
        if not same or list(ours.q) != [motor.q for motor in theirs.motor_state]:
            raise RuntimeError('LowState: this SDK encodes another message than g1_control.unitree')

    def _on_command(self, sample: _Encoded) -> None:
        self._arrived.put((time.monotonic(), sample.data, sample.sample_info))

    def _take_commands(self) -> None:
        while not self._arrived.empty():
            arrived, data, info = self._arrived.get()
            command = LowCmd()
            command.load(data)
            received = self.log.receive(
                command,
                arrived,
                info.source_timestamp * 1e-9,
                info.publication_handle,
                self._checks(command),
                self.faults.mode_machine,
                self._body.q,
            )
            if len(self.log) % _DECODED == 1:
                self._compare(data)
            if received.crc_ok and received.finite:
                self._body.follow(command)

    def _checks(self, command: LowCmd) -> bool:
        """Whether the command's CRC is what Unitree's library makes of it."""
        words = np.frombuffer(command.fields.tobytes(), np.uint32)
        pointer = words.ctypes.data_as(ctypes.POINTER(ctypes.c_uint32))
        return self._crc.crc_lib.crc32_core(pointer, len(words) - 1) == int(words[-1])

    def _compare(self, data: bytes) -> None:
        """Counts a command that the SDK's own decoding and CRC don't find good."""
        decoded = self._decode(data)
        self._decoded += 1
        self._disagreed += self._crc.Crc(decoded) != decoded.crc

    def _publish(self) -> None:
        faults = self.faults
        if not faults.frozen:
            self._measure()
        if faults.silent:
            return
        if faults.jitter:
            time.sleep(random.uniform(0.0, faults.jitter))
        data = self._state.to_bytes()
        if faults.corrupt:
            data = data[:-4] + bytes(byte ^ 0xFF for byte in data[-4:])
        if faults.reordered and self._held_back is None:
            self._held_back = data
            return
        self._write(data)
        if self._held_back is not None:
            self._write(self._held_back)
            self._held_back = None

    def _write(self, data: bytes) -> None:
        self._message.serialize = lambda use_version_2=None: data
        self._publisher.Write(self._message)
        self._sent += 1

    def _measure(self) -> None:
        state, faults, body = self._state, self.faults, self._body
        state.mode_machine, state.tick = faults.mode_machine, self._tick
        state.q[:MOTORS], state.dq[:MOTORS] = body.q, body.dq
        state.tau_est[:MOTORS] = body.torque
        state.temperature[:MOTORS] = 35
        state.motorstate[:MOTORS] = 0
        for motor, offset in faults.jump.items():
            state.q[int(motor)] += offset
        for motor, temperature in faults.temperature.items():
            state.temperature[int(motor)] = temperature
        for motor, bits in faults.motor_error.items():
            state.motorstate[int(motor)] = bits
        state.q[faults.not_a_number] = np.nan
        state.wireless_remote[:] = np.frombuffer(press(*faults.buttons), np.uint8)

    # --- requests

    def _read_requests(self) -> None:
        for line in sys.stdin:
            try:
                self._requests.put(json.loads(line))
            except ValueError as error:
                answer(event='error', text=f'expected one JSON object a line: {error}')
        self.stop()

    def _serve_requests(self) -> bool:
        """Whether to go on."""
        now = time.monotonic()
        for end in [end for end in self._ends if end[0] <= now]:
            self._ends.remove(end)
            self.faults.change(end[1])
        while not self._requests.empty():
            request = self._requests.get()
            if request is None:
                return False
            self._serve(request)
        return True

    def _serve(self, request: dict[str, Any]) -> None:
        if 'report' in request:
            answer(event='report', **self.report(request.get('since', -np.inf)))
            return
        seconds = request.pop('for', None)
        try:
            before = self.faults.change(request or asdict(Faults()))
        except ValueError as error:
            answer(event='error', text=str(error))
            return
        now = time.monotonic()
        if seconds is not None:
            self._ends.append((now + seconds, before))
        answer(event='faults', time=now, **request)


class _Encoded:
    """A command as it came, in place of the SDK's decoded one."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sample_info: Any = None


def answer(**values: Any) -> None:
    """One line of JSON on stdout."""
    print(json.dumps(values), flush=True)


def main() -> None:
    """Runs the robot, and obeys what comes on the input."""
    parser = argparse.ArgumentParser(prog='python -m g1_fakes.sdk_robot', description=__doc__)
    parser.add_argument('--domain', type=int, required=True, help='DDS domain (ROS_DOMAIN_ID)')
    parser.add_argument('--log', type=Path, help='.npz that takes every command at the end')
    options = parser.parse_args()
    ask_for_real_time()  # as on a computer of its own
    robot = SdkRobot(options.domain)
    signal.signal(signal.SIGTERM, robot.stop)
    signal.signal(signal.SIGINT, robot.stop)
    robot.run()
    if options.log:
        np.savez_compressed(options.log, **robot.log.arrays())  # type: ignore[arg-type]


if __name__ == '__main__':
    main()
