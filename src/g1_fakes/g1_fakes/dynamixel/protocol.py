"""Packets of Dynamixel protocol 2.0, as ROBOTIS' e-manual describes them.

FF FF FD 00, ID, length (2 bytes), instruction, parameters, CRC (2 bytes), low bytes first. A
header among instruction and parameters gets a further FD behind it.
"""

from __future__ import annotations

import struct

PING, READ, WRITE, REBOOT, STATUS = 0x01, 0x02, 0x03, 0x08, 0x55
SYNC_READ, SYNC_WRITE, BULK_READ, BULK_WRITE = 0x82, 0x83, 0x92, 0x93
BROADCAST = 0xFE
#: Errors of a status packet; ALERT comes on top of them.
BAD_INSTRUCTION, BAD_CRC, BAD_RANGE, BAD_LIMIT, NO_ACCESS, ALERT = 2, 3, 4, 6, 7, 0x80

_HEADER = b'\xff\xff\xfd'


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


def split(buffer: bytes) -> tuple[list[bytes], bytes]:
    """The whole packets in what has come, and what is left for later."""
    packets: list[bytes] = []
    while True:
        start = buffer.find(_HEADER)
        if start < 0:
            return packets, buffer[-2:]
        if len(buffer) < start + 7:
            return packets, buffer
        end = start + 7 + struct.unpack_from('<H', buffer, start + 5)[0]
        if len(buffer) < end:
            return packets, buffer
        packets.append(buffer[start:end])
        buffer = buffer[end:]


def is_whole(raw: bytes) -> bool:
    """Whether the CRC of a packet is that of its bytes."""
    return crc16(raw[:-2]) == struct.unpack('<H', raw[-2:])[0]


def parse(raw: bytes) -> tuple[int, int, bytes]:
    """ID, instruction and parameters of a packet, unstuffed."""
    return raw[4], raw[7], raw[8:-2].replace(_HEADER + b'\xfd', _HEADER)
