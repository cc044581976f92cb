"""ALOHA 2 grippers: Dynamixel XM430-W350 servos in current-based position control. No ROS.

Registers, units and error bits are those of the ROBOTIS e-manual for the XM430-W350; the current
limit of 200 units for a follower's gripper is ALOHA's. The wire is ROBOTIS' own SDK.

A gripper goes through this, by itself and again after every interruption:
  silent    its port cannot be opened, or it doesn't answer: asked again twice a second
  failed    it reports a hardware error: rebooted after a rest, where that can help
  ready     answers, in mode 5, with the current limit; torque off until somebody commands it
  engaged   torque on; the goal goes from where it stands to what is commanded, never in a jump
"""

from __future__ import annotations

import math
import struct
import termios
import time
from contextlib import suppress
from dataclasses import dataclass

from dynamixel_sdk import COMM_SUCCESS, GroupSyncRead, GroupSyncWrite, PacketHandler, PortHandler

MODEL = 1020  # XM430-W350
CURRENT_UNIT = 2.69e-3  # A
TORQUE_CONSTANT = 1.783  # N m/A: 4.1 N m at 2.3 A
_TICK = 2 * math.pi / 4096  # rad
_MIDDLE = 2048  # the tick that counts as 0 rad, as in Interbotix' and ALOHA's configurations
_VELOCITY_UNIT = 0.229 * 2 * math.pi / 60  # rad/s

_OPERATING_MODE, _CURRENT_LIMIT, _TORQUE, _HARDWARE_ERROR = 11, 38, 64, 70
_GOAL_CURRENT, _GOAL_POSITION = 102, 116
_PRESENT, _VOLTAGE = 126, 144  # current, velocity and position; voltage and temperature
_CURRENT_BASED_POSITION = 5
_KEPT = (11, 29)  # from operating mode to current limit
# From torque enable to present temperature. Always the same registers are read: an answer that
# comes too late, in place of the next one, is old then, but no other registers' content.
_ALL = (64, 83)
_QUIET = 0.04  # [s] after which no answer is on its way any more; the SDK waits 35 ms for one

_RETRY = 0.5  # [s] between attempts to reach a servo; one costs the bus 35 ms of silence
_MISSES = 2  # cycles without an answer that make a servo silent
_LONGEST_STEP = 0.05  # [s] of a goal's motion made good after a pause
_COOLED = 5.0  # degC below the limit at which a hot motor is well again

#: Register 70, bit by bit, and whether a reboot after a rest can mend it.
HARDWARE_ERRORS = {
    0: ('input voltage out of range', True),
    1: ('motor hall sensor', False),
    2: ('overheating', True),
    3: ('motor encoder', False),
    4: ('electrical shock, or too little power to run the motor', False),
    5: ('overload', True),
}


def describe_errors(bits: int) -> str:
    """Register 70 in words; empty when all is well."""
    known = [text for bit, (text, _) in HARDWARE_ERRORS.items() if bits >> bit & 1]
    rest = bits & ~sum(1 << bit for bit in HARDWARE_ERRORS)
    return ', '.join(known + ([f'bits {rest:#x}'] if rest else []))


def mendable(bits: int) -> bool:
    """Whether rebooting the servo can clear these errors of register 70."""
    return all(bit in HARDWARE_ERRORS and HARDWARE_ERRORS[bit][1] for bit in _set_bits(bits))


def _set_bits(bits: int) -> list[int]:
    return [bit for bit in range(8) if bits >> bit & 1]


@dataclass(frozen=True)
class Calibration:
    """Motor angle to finger opening, in a straight line: closed, open [rad]; stroke [m] a finger.

    Raises ValueError for angles beyond one turn (in which a goal never holds the bytes FF FF FD,
    which the SDK sends unescaped) or too close to each other.
    """

    closed: float
    open: float
    stroke: float

    def __post_init__(self) -> None:
        if max(abs(self.closed), abs(self.open)) >= math.pi or abs(self.open - self.closed) < 0.1:
            raise ValueError(
                'gripper calibration: expected motor angles between -pi and pi rad, at least 0.1 '
                f'rad apart, got closed {self.closed} and open {self.open}'
            )

    @property
    def ratio(self) -> float:
        """Finger travel per motor angle [m/rad]; negative where opening turns backwards."""
        return self.stroke / (self.open - self.closed)

    def ticks(self, opening: float) -> int:
        return round((self.closed + opening / self.ratio) / _TICK) + _MIDDLE

    def angle(self, ticks: int) -> float:
        return (ticks - _MIDDLE) * _TICK

    def opening(self, ticks: int) -> float:
        return (self.angle(ticks) - self.closed) * self.ratio


@dataclass(frozen=True)
class Reading:
    """A gripper as measured: opening [m] and its velocity [m/s] of each finger.

    force: of the finger drive, estimated from the current without friction; positive opens [N].
    """

    opening: float
    velocity: float
    force: float
    angle: float  # of the motor [rad]
    current: float  # [A]


@dataclass(frozen=True)
class Health:
    """What the motor says of itself; errors as in register 70."""

    torque: bool
    errors: int
    voltage: float  # [V]
    temperature: float  # [degC]


@dataclass(frozen=True)
class Settings:
    """Common to all grippers."""

    current_limit: float  # [A]
    velocity: float  # of a finger's goal [m/s]
    temperature_limit: float  # [degC]
    rest: float  # [s] before a servo with a hardware error is rebooted


class Gripper:
    """One servo. `command` may be called from any thread; the rest is its bus's.

    fault: '' when all is well. reading, health: None before the first; fresh: read this cycle.
    """

    def __init__(self, number: int, calibration: Calibration, settings: Settings) -> None:
        self.id, self.calibration, self.settings = number, calibration, settings
        self.fault = 'not connected yet'
        self.reading: Reading | None = None
        self.health: Health | None = None
        self.fresh = False
        self.connections = self.lost = 0
        self.ready = self.hot = False
        self.wanted: float | None = None  # [m]
        self.goal: float | None = None  # [m] sent; None while torque is off
        self.retry_at = 0.0
        self.misses = 0
        self.failed_at: float | None = None

    def command(self, opening: float) -> bool:
        """Fingers to `opening` [m], clamped to the stroke; False (and nothing) if not finite."""
        if not math.isfinite(opening):
            return False
        self.wanted = min(max(opening, 0.0), self.calibration.stroke)
        return True

    def release(self) -> None:
        """Torque off until the next command: a person can move the fingers."""
        self.wanted = None

    def take(self, data: bytes) -> int:
        """The registers `_ALL`; returns the goal position in it [ticks]."""
        start, ratio = _ALL[0], self.calibration.ratio
        current, velocity, position = struct.unpack_from('<hii', data, _PRESENT - start)
        voltage, temperature = struct.unpack_from('<HB', data, _VOLTAGE - start)
        amperes = current * CURRENT_UNIT
        self.reading = Reading(
            opening=self.calibration.opening(position),
            velocity=velocity * _VELOCITY_UNIT * ratio,
            force=amperes * TORQUE_CONSTANT / ratio,
            angle=self.calibration.angle(position),
            current=amperes,
        )
        torque, errors = bool(data[_TORQUE - start]), data[_HARDWARE_ERROR - start]
        self.health = Health(torque, errors, voltage / 10, float(temperature))
        self.fresh, self.misses = True, 0
        return struct.unpack_from('<i', data, _GOAL_POSITION - start)[0]

    def next_goal(self, dt: float) -> float:
        """The goal `dt` s on, towards what is wanted [m]."""
        assert self.goal is not None and self.wanted is not None
        step = self.settings.velocity * min(dt, _LONGEST_STEP)
        self.goal += min(max(self.wanted - self.goal, -step), step)
        return self.goal

    def judge(self, now: float) -> None:
        """Sets the fault that the health read just now calls for."""
        health, limit = self.health, self.settings.temperature_limit
        assert health is not None
        if health.errors:
            if self.failed_at is None:
                self.failed_at = now
            mend = 'is rebooted after a rest' if mendable(health.errors) else 'switch it off and on'
            self.lose(f'hardware error: {describe_errors(health.errors)}; {mend}', now)
        elif self.goal is not None and not health.torque:
            self.lose('lost its torque, has it been restarted?', now)
        else:
            self.hot = health.temperature > limit - (_COOLED if self.hot else 0.0)
            hot = f'motor at {health.temperature:.0f} degC, allowed is {limit:g}'
            self.fault = hot if self.hot else ''

    def lose(self, fault: str, now: float) -> None:
        """Not to be commanded before it has been set up again."""
        self.fault, self.ready, self.goal = fault, False, None
        self.retry_at = now + _RETRY


class ServoError(RuntimeError):
    """A servo did not answer, or refused."""


def _whole(data: bytes, size: int) -> bytes:
    """The SDK takes the answer to something else, come late, for the one asked for."""
    if len(data) != size:
        raise ServoError(f'an answer of {len(data)} bytes, expected {size}')
    return data


class GripperBus:
    """A serial port with its grippers. Call `cycle` at an even rate, always from one thread."""

    def __init__(self, port: str, baud_rate: int, grippers: list[Gripper]) -> None:
        self.port, self._baud_rate, self.grippers = port, baud_rate, grippers
        self._packets = PacketHandler(2.0)
        self._wire: PortHandler | None = None
        self._open_at = 0.0
        self._time: float | None = None

    def cycle(self, now: float) -> None:
        """One round at `now` [s]: reads all grippers, sends their goals, mends what is broken.

        Never raises for what a cable or a servo can do; each gripper's `fault` tells. Takes a few
        ms, and up to 0.15 s where a servo doesn't answer.
        """
        dt = 0.0 if self._time is None else now - self._time
        self._time = now
        for gripper in self.grippers:
            gripper.fresh = False
        try:
            if self._wire is None and not self._open(now):
                return
            self._read(now)
            self._engage()
            self._send_goals(dt)
            for gripper in self.grippers:
                if not gripper.ready and now >= gripper.retry_at:
                    self._set_up(gripper, now)
        except (OSError, termios.error) as error:
            self._lose_port(f'{self.port} is gone ({error})', now)

    def close(self) -> None:
        """Leaves the servos as they are: what they hold, they go on holding."""
        if self._wire is not None:
            with suppress(OSError, termios.error):
                self._wire.closePort()
            self._wire = None

    # --- port

    def _open(self, now: float) -> bool:
        if now < self._open_at:
            return False
        wire = PortHandler(self.port)
        wire.baudrate = self._baud_rate
        if not self._opened(wire):
            self._lose_port(f'no port {self.port}; is it plugged in?', now)
            return False
        wire.ser.timeout = 0.002  # the SDK polls without rest otherwise
        with suppress(OSError, ValueError):  # USB adapters only: no 16 ms of collecting bytes
            wire.ser.set_low_latency_mode(True)
        self._wire = wire
        return True

    def _opened(self, wire: PortHandler) -> bool:
        try:
            return wire.openPort()
        except (OSError, ValueError, termios.error):
            return False

    def _lose_port(self, fault: str, now: float) -> None:
        self.close()
        self._open_at = now + _RETRY
        for gripper in self.grippers:
            gripper.lose(fault, now - _RETRY)  # the port is asked first anyway

    # --- reading

    def _read(self, now: float) -> None:
        ready = [gripper for gripper in self.grippers if gripper.ready]
        if not ready:
            return
        group = GroupSyncRead(self._wire, self._packets, *_ALL)
        for gripper in ready:
            group.addParam(gripper.id)
        together = group.txRxPacket() == COMM_SUCCESS
        for gripper in ready:
            try:
                if together:
                    data = _whole(bytes(group.data_dict[gripper.id]), _ALL[1])
                else:
                    data = self._block(gripper, *_ALL)
            except ServoError as error:
                gripper.lost += 1
                gripper.misses += 1
                if gripper.misses >= _MISSES:
                    gripper.lose(str(error), now)
                continue
            gripper.take(data)
            gripper.judge(now)

    def _block(self, gripper: Gripper, address: int, size: int) -> bytes:
        data, result, _ = self._packets.readTxRx(self._wire, gripper.id, address, size)
        self._check(gripper, result)
        return _whole(bytes(data), size)

    def _check(self, gripper: Gripper, result: int, error: int = 0) -> None:
        if result != COMM_SUCCESS:
            raise ServoError(f'no answer from servo {gripper.id} on {self.port}')
        if error & 0x7F:
            text = self._packets.getRxPacketError(error & 0x7F)
            raise ServoError(f'servo {gripper.id} on {self.port} refuses: {text}')

    # --- commanding

    def _engage(self) -> None:
        """Torque on for grippers with a first command, from where they stand; off for released."""
        for gripper in self.grippers:
            if not gripper.ready or not gripper.fresh:
                continue
            with suppress(ServoError):  # next cycle again
                if gripper.wanted is None and gripper.goal is not None:
                    self._write(gripper, _TORQUE, 1, 0)
                    gripper.goal = None
                elif gripper.wanted is not None and gripper.goal is None:
                    assert gripper.reading is not None
                    goal = gripper.reading.opening
                    self._write(gripper, _GOAL_POSITION, 4, gripper.calibration.ticks(goal))
                    self._write(gripper, _TORQUE, 1, 1)
                    gripper.goal = goal

    def _send_goals(self, dt: float) -> None:
        group = GroupSyncWrite(self._wire, self._packets, _GOAL_POSITION, 4)
        for gripper in self.grippers:
            if gripper.ready and gripper.goal is not None and gripper.wanted is not None:
                ticks = gripper.calibration.ticks(gripper.next_goal(dt))
                group.addParam(gripper.id, list(struct.pack('<i', ticks)))
        if group.data_dict:
            group.txPacket()

    def _write(self, gripper: Gripper, address: int, size: int, value: int) -> None:
        data = list(value.to_bytes(size, 'little', signed=value < 0))
        result, error = self._packets.writeTxRx(self._wire, gripper.id, address, size, data)
        self._check(gripper, result, error)

    # --- setting up

    def _set_up(self, gripper: Gripper, now: float) -> None:
        """Makes a servo ready, if it answers and is well."""
        gripper.retry_at = now + _RETRY
        time.sleep(_QUIET)
        try:
            model, result, _ = self._packets.ping(self._wire, gripper.id)
            self._check(gripper, result)
            if model != MODEL:
                raise ServoError(f'servo {gripper.id} is a model {model}, not an XM430-W350')
            goal = gripper.take(self._block(gripper, *_ALL))
            gripper.judge(now)
            assert gripper.health is not None
            if gripper.health.errors:
                self._mend(gripper, now)
                return
            gripper.failed_at = None
            self._configure(gripper)
        except ServoError as error:
            gripper.lose(str(error), now)
            return
        if gripper.health.torque:  # it held something while nobody was there, and goes on
            gripper.goal = gripper.calibration.opening(goal)
            gripper.wanted = gripper.goal if gripper.wanted is None else gripper.wanted
        gripper.ready, gripper.misses = True, 0
        gripper.connections += 1

    def _configure(self, gripper: Gripper) -> None:
        """Mode and currents; what the servo keeps for good is written only where it differs."""
        assert gripper.health is not None
        limit = round(gripper.settings.current_limit / CURRENT_UNIT)
        kept = self._block(gripper, *_KEPT)
        present = struct.unpack_from('<H', kept, _CURRENT_LIMIT - _KEPT[0])[0]
        if (kept[0], present) != (_CURRENT_BASED_POSITION, limit):
            self._write(gripper, _TORQUE, 1, 0)
            gripper.take(self._block(gripper, *_ALL))
            self._write(gripper, _OPERATING_MODE, 1, _CURRENT_BASED_POSITION)
            self._write(gripper, _CURRENT_LIMIT, 2, limit)
        self._write(gripper, _GOAL_CURRENT, 2, limit)

    def _mend(self, gripper: Gripper, now: float) -> None:
        """Reboots a servo whose hardware error has rested long enough and can be cleared."""
        health, settings = gripper.health, gripper.settings
        assert health is not None and gripper.failed_at is not None
        rested = now - gripper.failed_at >= settings.rest
        cool = health.temperature < settings.temperature_limit - _COOLED
        if rested and cool and mendable(health.errors):
            self._packets.reboot(self._wire, gripper.id)
            gripper.failed_at = now
