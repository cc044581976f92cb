"""Dynamixel XM430-W350 servos on pseudo-terminals: ALOHA 2 grippers for a computer without any.

    python -m g1_fakes.dynamixel_emulator --folder /tmp/grippers

opens one port a gripper, /tmp/grippers/left and .../right, each with a servo of ID 9, prints the
`gripper_node` command that drives them, and takes faults as JSON lines on its input, for example
`{"port": "left", "do": "unplug"}`. What the servos are told and what happens to them goes to the
log, one JSON object a line.

The servos speak protocol 2.0 (packets, byte stuffing, CRC16, status errors) and keep the control
table of the ROBOTIS e-manual as far as a gripper needs it. Nothing here is shared with the driver.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import select
import struct
import sys
import tempfile
import threading
import time
import tty
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from g1_ros.real_time import ask_for_real_time

MODEL = 1020  # XM430-W350
_FIRMWARE = 48

# Control table: name -> address, bytes, may be written.
TABLE: dict[str, tuple[int, int, bool]] = {
    'model': (0, 2, False),
    'firmware': (6, 1, False),
    'id': (7, 1, True),
    'baud_rate': (8, 1, True),
    'return_delay': (9, 1, True),
    'drive_mode': (10, 1, True),
    'operating_mode': (11, 1, True),
    'temperature_limit': (31, 1, True),
    'current_limit': (38, 2, True),
    'max_position': (48, 4, True),
    'min_position': (52, 4, True),
    'shutdown': (63, 1, True),
    'torque': (64, 1, True),
    'led': (65, 1, True),
    'status_return': (68, 1, True),
    'hardware_error': (70, 1, False),
    'bus_watchdog': (98, 1, True),
    'goal_current': (102, 2, True),
    'goal_velocity': (104, 4, True),
    'profile_acceleration': (108, 4, True),
    'profile_velocity': (112, 4, True),
    'goal_position': (116, 4, True),
    'moving': (122, 1, False),
    'present_current': (126, 2, False),
    'present_velocity': (128, 4, False),
    'present_position': (132, 4, False),
    'present_voltage': (144, 2, False),
    'present_temperature': (146, 1, False),
}
_SIGNED = {'goal_current', 'goal_position', 'goal_velocity'} | {
    f'present_{what}' for what in ('current', 'velocity', 'position')
}
_EEPROM_END = 64
_TABLE_SIZE = 147
_FACTORY = {
    'model': MODEL,
    'firmware': _FIRMWARE,
    'baud_rate': 3,
    'return_delay': 250,
    'operating_mode': 3,
    'temperature_limit': 80,
    'current_limit': 1193,
    'max_position': 4095,
    'shutdown': 52,
}
_OPERATING_MODES = (0, 1, 3, 4, 5, 16)
_HARDWARE_ERRORS = {'input voltage': 0, 'overheating': 2, 'encoder': 3, 'shock': 4, 'overload': 5}

_PING, _READ, _WRITE, _REBOOT, _STATUS = 0x01, 0x02, 0x03, 0x08, 0x55
_SYNC_READ, _SYNC_WRITE, _BULK_READ, _BULK_WRITE = 0x82, 0x83, 0x92, 0x93
_BROADCAST = 0xFE
_BAD_INSTRUCTION, _BAD_CRC, _BAD_RANGE, _BAD_LIMIT, _NO_ACCESS, _ALERT = 2, 3, 4, 6, 7, 0x80
_HEADER = b'\xff\xff\xfd'

# The motor, in ticks of 1/4096 turn and in current units of 2.69 mA.
_STIFFNESS = 2.0  # current per tick of position error
_DAMPING = 0.06  # current per tick/s
_ACCELERATION = 518.0  # ticks/s2 per unit of current; 200 units run at 46 rev/min
_FRICTION = 33.0  # 1/s
_STEP = 1e-3  # s
_VELOCITY_UNIT = 0.229 * 4096 / 60  # ticks/s
_AMBIENT, _HEATING, _COOLING = 30.0, 4e-6, 1 / 60  # 10 degC over the ambient at 200 units
_BOOT_TIME = 0.2  # s


def crc16(data: bytes) -> int:
    """The CRC of a protocol 2.0 packet: polynomial 0x8005, initial 0, highest bit first."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x8005 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def packet(servo: int, instruction: int, body: bytes) -> bytes:
    """A protocol 2.0 packet around `body`, stuffed and with its CRC."""
    stuffed = (bytes([instruction]) + body).replace(_HEADER, _HEADER + b'\xfd')
    head = _HEADER + struct.pack('<BBH', 0, servo, len(stuffed) + 2)
    return head + stuffed + struct.pack('<H', crc16(head + stuffed))


class Servo:
    """One motor with a finger drive: its control table and its motion between two stops.

    position, stops: ticks. Fingers close towards smaller positions; an object between them raises
    the lower stop.
    """

    def __init__(self, number: int, position: float = 2900.0) -> None:
        self.id = number
        self.position, self.velocity, self.current = position, 0.0, 0.0
        self.temperature = _AMBIENT
        self.stops = (2400.0, 3150.0)
        self.answers_from = 0.0  # [s]; silent before, without power for ever
        self._data = bytearray(_TABLE_SIZE)
        self._time: float | None = None
        for name, value in (_FACTORY | {'id': number}).items():
            self._put(name, value)
        self._boot()

    def __getitem__(self, name: str) -> int:
        address, size, _ = TABLE[name]
        return int.from_bytes(
            self._data[address : address + size], 'little', signed=name in _SIGNED
        )

    def _put(self, name: str, value: int) -> None:
        address, size, _ = TABLE[name]
        self._data[address : address + size] = value.to_bytes(size, 'little', signed=value < 0)

    def _boot(self) -> None:
        """RAM as after power came: torque off, no error, goals where the motor stands."""
        self._data[_EEPROM_END:] = bytes(_TABLE_SIZE - _EEPROM_END)
        self._put('status_return', 2)
        self._put('goal_current', self['current_limit'])
        self._put('goal_position', round(self.position))

    def reboot(self, now: float) -> None:
        self._boot()
        self.answers_from = now + _BOOT_TIME

    def fail(self, error: str) -> None:
        """A hardware error shuts the motor down until it is rebooted."""
        self._put('hardware_error', self['hardware_error'] | 1 << _HARDWARE_ERRORS[error])
        self._put('torque', 0)

    @property
    def alert(self) -> int:
        return _ALERT if self['hardware_error'] else 0

    def read(self, address: int, size: int) -> bytes:
        self._put('present_current', round(self.current))
        self._put('present_velocity', round(self.velocity / _VELOCITY_UNIT))
        self._put('present_position', round(self.position))
        self._put('present_voltage', 120)
        self._put('present_temperature', round(self.temperature))
        self._put('moving', int(abs(self.velocity) > 2.0))
        return bytes(self._data[address : address + size]).ljust(size, b'\0')

    def write(self, address: int, data: bytes) -> int:
        """Writes registers; the status error, 0 if all of them took it."""
        for name, (start, size, writable) in TABLE.items():
            if start < address or start + size > address + len(data):
                continue
            raw = data[start - address : start - address + size]
            value = int.from_bytes(raw, 'little', signed=name in _SIGNED)
            error = self._refusal(name, value, writable)
            if error:
                return error
            if name == 'torque' and value and self['hardware_error']:
                continue  # shut down until it is rebooted
            self._put(name, value)
            if name == 'operating_mode':
                self._put('goal_current', self['current_limit'])
        return 0

    def _refusal(self, name: str, value: int, writable: bool) -> int:
        address = TABLE[name][0]
        if not writable or (address < _EEPROM_END and self['torque']):
            return _NO_ACCESS
        if name == 'operating_mode' and value not in _OPERATING_MODES:
            return _BAD_RANGE
        if name == 'current_limit' and value > _FACTORY['current_limit']:
            return _BAD_RANGE
        if name == 'goal_current' and abs(value) > self['current_limit']:
            return _BAD_LIMIT
        one_turn = self['operating_mode'] == 3
        if name == 'goal_position' and one_turn and not 0 <= value <= self['max_position']:
            return _BAD_LIMIT
        return 0

    def advance(self, now: float) -> None:
        """Lets the motor run until `now` [s]."""
        behind = 0.0 if self._time is None else min(now - self._time, 1.0)
        self._time = now
        steps = int(behind / _STEP)
        self._time -= behind - steps * _STEP
        for _ in range(steps):
            self._move(_STEP)

    def _move(self, dt: float) -> None:
        self.current = 0.0
        if self['torque']:
            limit = min(abs(self['goal_current']), self['current_limit'])
            error = self['goal_position'] - self.position
            wanted = _STIFFNESS * error - _DAMPING * self.velocity
            self.current = max(-limit, min(limit, wanted))
        self.velocity += dt * (_ACCELERATION * self.current - _FRICTION * self.velocity)
        reached = self.position + dt * self.velocity
        self.position = max(self.stops[0], min(self.stops[1], reached))
        if self.position != reached:
            self.velocity = 0.0
        loss = _COOLING * (self.temperature - _AMBIENT)
        self.temperature += dt * (_HEATING * self.current**2 - loss)


@dataclass
class Line:
    """What is wrong on a bus: how many answers are still to be lost or spoilt, and how late."""

    drop: int = 0
    corrupt: int = 0
    delay: float = 0.0  # [s] for every answer


class Bus:
    """Servos on one line: bytes in, bytes out."""

    def __init__(self, servos: list[Servo], log: Callable[..., None]) -> None:
        self.servos = {servo.id: servo for servo in servos}
        self.line = Line()
        self.instructions = 0
        self._log = log
        self._buffer = b''

    def feed(self, data: bytes, now: float) -> bytes:
        """What the servos answer to `data`, in the order of their turns."""
        self._buffer += data
        answer = b''
        for raw in self._packets():
            self.instructions += 1
            for servo in self.servos.values():
                servo.advance(now)
            answer += b''.join(map(self._spoil, self._answers(raw, now)))
        return answer

    def _packets(self) -> Iterator[bytes]:
        """Whole packets, without headers."""
        while True:
            start = self._buffer.find(_HEADER)
            if start < 0:
                self._buffer = self._buffer[-2:]
            if start < 0 or len(self._buffer) < start + 7:
                return
            size = struct.unpack_from('<H', self._buffer, start + 5)[0]
            end = start + 7 + size
            if len(self._buffer) < end:
                return
            raw, self._buffer = self._buffer[start:end], self._buffer[end:]
            yield raw

    def _spoil(self, answer: bytes) -> bytes:
        if self.line.drop > 0:
            self.line.drop -= 1
            return b''
        if self.line.corrupt > 0:
            self.line.corrupt -= 1
            return answer[:-1] + bytes([answer[-1] ^ 0x55])
        return answer

    def _answers(self, raw: bytes, now: float) -> Iterator[bytes]:
        number, instruction = raw[4], raw[7]
        listening = [s for s in self.servos.values() if now >= s.answers_from]
        if crc16(raw[:-2]) != struct.unpack('<H', raw[-2:])[0]:
            self._log('instruction with a wrong CRC', data=raw.hex())
            for servo in listening:
                if servo.id == number:
                    yield packet(servo.id, _STATUS, bytes([_BAD_CRC | servo.alert]))
            return
        body = raw[8:-2].replace(_HEADER + b'\xfd', _HEADER)
        if instruction in (_SYNC_READ, _SYNC_WRITE, _BULK_READ, _BULK_WRITE):
            yield from self._group(instruction, body, {s.id: s for s in listening})
            return
        for servo in listening:
            if number in (servo.id, _BROADCAST):
                yield self._single(servo, instruction, body, now)

    def _single(self, servo: Servo, instruction: int, body: bytes, now: float) -> bytes:
        error, data = servo.alert, b''
        if instruction == _PING:
            data = struct.pack('<HB', MODEL, _FIRMWARE)
        elif instruction == _READ:
            data = servo.read(*struct.unpack('<HH', body))
        elif instruction == _WRITE:
            error |= self._write(servo, struct.unpack('<H', body[:2])[0], body[2:])
        elif instruction == _REBOOT:
            self._log('reboot', id=servo.id)
            servo.reboot(now)
            error = 0
        else:
            error |= _BAD_INSTRUCTION
        return packet(servo.id, _STATUS, bytes([error]) + data)

    def _group(self, instruction: int, body: bytes, servos: dict[int, Servo]) -> Iterator[bytes]:
        """The instructions to several servos; only reads are answered."""
        if instruction in (_SYNC_READ, _SYNC_WRITE):
            address, size = struct.unpack('<HH', body[:4])
            rest = body[4:]
            step = 1 if instruction == _SYNC_READ else 1 + size
            parts = [
                (rest[k], address, size, rest[k + 1 : k + step]) for k in range(0, len(rest), step)
            ]
        else:
            parts = []
            while body:
                number, address, size = struct.unpack('<BHH', body[:5])
                count = size if instruction == _BULK_WRITE else 0
                parts.append((number, address, size, body[5 : 5 + count]))
                body = body[5 + count :]
        for number, address, size, data in parts:
            servo = servos.get(number)
            if servo is None:
                if instruction in (_SYNC_READ, _BULK_READ):
                    return  # those behind wait for its turn to end, which it never does
                continue
            if instruction in (_SYNC_WRITE, _BULK_WRITE):
                self._write(servo, address, data)
            else:
                status = bytes([servo.alert]) + servo.read(address, size)
                yield packet(servo.id, _STATUS, status)

    def _write(self, servo: Servo, address: int, data: bytes) -> int:
        names = [name for name, (start, _, _) in TABLE.items() if start == address]
        before = servo.read(address, len(data))
        error = servo.write(address, data)
        if error or before != data:
            self._log(
                'write',
                id=servo.id,
                register=names[0] if names else address,
                value=int.from_bytes(data, 'little', signed=bool(names) and names[0] in _SIGNED),
                position=round(servo.position),
                goal=servo['goal_position'],
                **({'error': error} if error else {}),
            )
        return error


@dataclass
class Port:
    """A pseudo-terminal whose name is a link, so that it can go and come back like a USB adapter.

    log: what happened, oldest first; `t` is in s of the monotonic clock.
    """

    path: Path
    servos: list[Servo]
    log_file: TextIO | None = None
    log: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=20_000))

    def __post_init__(self) -> None:
        self.bus = Bus(self.servos, self._note)
        self._lock = threading.RLock()
        self._ends: tuple[int, int] | None = None
        self._stopping = threading.Event()
        self.plug_in()
        self._thread = threading.Thread(target=self._serve, name=f'servo {self.path}', daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self.unplug()

    def plug_in(self) -> None:
        with self._lock:
            if self._ends:
                return
            self._ends = pty.openpty()
            for end in self._ends:
                tty.setraw(end)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)
            self.path.symlink_to(os.ttyname(self._ends[1]))
            self._note('plugged in')

    def unplug(self) -> None:
        """The adapter goes; the servos keep their power and what they were told."""
        with self._lock:
            if not self._ends:
                return
            self.path.unlink(missing_ok=True)
            for end in self._ends:
                os.close(end)
            self._ends = None
            self._note('unplugged')

    def do(self, what: str, value: float | None = None, servo: int | None = None) -> None:
        """One fault, or its end. Raises ValueError for one that is not known.

        unplug, plug_in; drop or corrupt the next `value` answers; delay answers by `value` s; and
        for one servo, or all of the port: overload, overheating, shock, encoder, input voltage
        (hardware errors), power_off, power_on, temperature `value` degC, object at `value` ticks.
        """
        servos = [s for s in self.servos if servo in (None, s.id)]
        number = 0.0 if value is None else value
        with self._lock:
            self._note(what, value=value)
            now = time.monotonic()
            if what == 'unplug':
                self.unplug()
            elif what == 'plug_in':
                self.plug_in()
            elif what in ('drop', 'corrupt'):
                setattr(self.bus.line, what, int(number))
            elif what == 'delay':
                self.bus.line.delay = number
            else:
                for one in servos:
                    self._do_to(one, what, number, now)

    def _do_to(self, servo: Servo, what: str, value: float, now: float) -> None:
        servo.advance(now)
        if what in _HARDWARE_ERRORS:
            servo.fail(what)
        elif what == 'power_off':
            servo.reboot(now)
            servo.answers_from = float('inf')
        elif what == 'power_on':
            servo.reboot(now)
        elif what == 'temperature':
            servo.temperature = value
        elif what == 'object':
            servo.stops = (value, servo.stops[1])
        else:
            raise ValueError(f'no such fault {what!r}; see Port.do')

    def _serve(self) -> None:
        while not self._stopping.is_set():
            ends = self._ends
            if ends is None:
                time.sleep(0.005)
                continue
            with suppress(OSError, ValueError):  # closed by unplug in the meantime
                if not select.select([ends[0]], [], [], 0.05)[0]:
                    continue
                with self._lock:
                    if self._ends is not ends:
                        continue
                    answer = self.bus.feed(os.read(ends[0], 4096), time.monotonic())
                if answer:
                    if self.bus.line.delay:
                        time.sleep(self.bus.line.delay)
                    with self._lock:
                        if self._ends is ends:
                            os.write(ends[0], answer)

    def _note(self, event: str, **values: Any) -> None:
        entry = {
            't': round(time.monotonic(), 4),
            'port': self.path.name,
            'event': event,
            **{key: value for key, value in values.items() if value is not None},
        }
        self.log.append(entry)
        if self.log_file:
            print(json.dumps(entry), file=self.log_file, flush=True)


def main() -> int:
    """Two ports until the input ends or Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog='python -m g1_fakes.dynamixel_emulator',
        description='Two ALOHA 2 gripper servos on pseudo-terminals.',
    )
    parser.add_argument('--folder', type=Path, help='for the ports; default: a new one below /tmp')
    parser.add_argument('--log', type=argparse.FileType('w'), help='file; default: the output')
    given = parser.parse_args()
    ask_for_real_time()  # a servo never waits
    folder = given.folder or Path(tempfile.mkdtemp(prefix='grippers_'))
    log = given.log or sys.stdout
    ports = {side: Port(folder / side, [Servo(9)], log) for side in ('left', 'right')}
    arguments = ' '.join(f'-p {side}_port:={port.path}' for side, port in ports.items())
    print(f'ros2 run g1_control gripper_node --ros-args {arguments}', flush=True)
    with suppress(KeyboardInterrupt):
        for text in sys.stdin:
            if text.strip():
                _obey(text, ports)
    for port in ports.values():
        port.close()
    return 0


def _obey(text: str, ports: dict[str, Port]) -> None:
    try:
        order = json.loads(text)
        ports[order['port']].do(order['do'], order.get('value'))
    except (ValueError, KeyError, TypeError) as error:
        print(f'{text.strip()}: {error!r}; expected {{"port": "left", "do": ...}}', file=sys.stderr)


if __name__ == '__main__':
    sys.exit(main())
