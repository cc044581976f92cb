"""Servos on one line: who answers what, and what gets lost on the way."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from g1_fakes.dynamixel import protocol
from g1_fakes.dynamixel.servo import FIRMWARE, MODEL, SIGNED, TABLE, Servo


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
        packets, self._buffer = protocol.split(self._buffer + data)
        answer = b''
        for raw in packets:
            self.instructions += 1
            for servo in self.servos.values():
                servo.advance(now)
            answer += b''.join(map(self._spoil, self._answers(raw, now)))
        return answer

    def _spoil(self, answer: bytes) -> bytes:
        if self.line.drop > 0:
            self.line.drop -= 1
            return b''
        if self.line.corrupt > 0:
            self.line.corrupt -= 1
            return answer[:-1] + bytes([answer[-1] ^ 0x55])
        return answer

    def _answers(self, raw: bytes, now: float) -> Iterator[bytes]:
        number, instruction, body = protocol.parse(raw)
        listening = [s for s in self.servos.values() if now >= s.answers_from]
        if not protocol.is_whole(raw):
            self._log('instruction with a wrong CRC', data=raw.hex())
            for servo in listening:
                if servo.id == number:
                    yield protocol.packet(
                        servo.id, protocol.STATUS, bytes([protocol.BAD_CRC | servo.alert])
                    )
            return
        if instruction in (
            protocol.SYNC_READ,
            protocol.SYNC_WRITE,
            protocol.BULK_READ,
            protocol.BULK_WRITE,
        ):
            yield from self._group(instruction, body, {s.id: s for s in listening})
            return
        for servo in listening:
            if number in (servo.id, protocol.BROADCAST):
                yield self._single(servo, instruction, body, now)

    def _single(self, servo: Servo, instruction: int, body: bytes, now: float) -> bytes:
        error, data = servo.alert, b''
        if instruction == protocol.PING:
            data = struct.pack('<HB', MODEL, FIRMWARE)
        elif instruction == protocol.READ:
            data = servo.read(*struct.unpack('<HH', body))
        elif instruction == protocol.WRITE:
            error |= self._write(servo, struct.unpack('<H', body[:2])[0], body[2:])
        elif instruction == protocol.REBOOT:
            self._log('reboot', id=servo.id)
            servo.reboot(now)
            error = 0
        else:
            error |= protocol.BAD_INSTRUCTION
        return protocol.packet(servo.id, protocol.STATUS, bytes([error]) + data)

    def _group(self, instruction: int, body: bytes, servos: dict[int, Servo]) -> Iterator[bytes]:
        """The instructions to several servos; only reads are answered."""
        if instruction in (protocol.SYNC_READ, protocol.SYNC_WRITE):
            address, size = struct.unpack('<HH', body[:4])
            rest = body[4:]
            step = 1 if instruction == protocol.SYNC_READ else 1 + size
            parts = [
                (rest[k], address, size, rest[k + 1 : k + step]) for k in range(0, len(rest), step)
            ]
        else:
            parts = []
            while body:
                number, address, size = struct.unpack('<BHH', body[:5])
                count = size if instruction == protocol.BULK_WRITE else 0
                parts.append((number, address, size, body[5 : 5 + count]))
                body = body[5 + count :]
        for number, address, size, data in parts:
            servo = servos.get(number)
            if servo is None:
                if instruction in (protocol.SYNC_READ, protocol.BULK_READ):
                    return  # those behind wait for its turn to end, which it never does
                continue
            if instruction in (protocol.SYNC_WRITE, protocol.BULK_WRITE):
                self._write(servo, address, data)
            else:
                status = bytes([servo.alert]) + servo.read(address, size)
                yield protocol.packet(servo.id, protocol.STATUS, status)

    def _write(self, servo: Servo, address: int, data: bytes) -> int:
        names = [name for name, (start, _, _) in TABLE.items() if start == address]
        before = servo.read(address, len(data))
        error = servo.write(address, data)
        if error or before != data:
            self._log(
                'write',
                id=servo.id,
                register=names[0] if names else address,
                value=int.from_bytes(data, 'little', signed=bool(names) and names[0] in SIGNED),
                position=round(servo.position),
                goal=servo['goal_position'],
                **({'error': error} if error else {}),
            )
        return error
