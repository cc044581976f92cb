"""Unitree's CRC of a message. Neither ROS nor numpy: the watchdog has to be small."""

from __future__ import annotations

import zlib
from array import array

_REVERSED_BITS = bytes(int(f'{byte:08b}'[::-1], 2) for byte in range(256))


def crc32(data: bytes | bytearray | memoryview) -> int:
    """CRC of little-endian uint32 words; `data` has a multiple of 4 bytes.

    Polynomial 0x04C11DB7, start 0xFFFFFFFF, most significant bit first, no final xor. zlib has the
    same polynomial, but least significant bit first: it gives the answer for bit-reversed bytes,
    itself bit-reversed.
    """
    words = array('I', bytes(data))
    words.byteswap()
    reflected = zlib.crc32(words.tobytes().translate(_REVERSED_BITS)) ^ 0xFFFFFFFF
    return int.from_bytes(reflected.to_bytes(4, 'little').translate(_REVERSED_BITS), 'big')
