"""Stamps of messages that are still serialised: what is not asked for is not deserialised."""

from __future__ import annotations

import struct


def serialised_stamp(data: bytes) -> int:
    """Stamp [ns] of a message whose first field is a header or a time.

    It follows the four bytes that say how the message is encoded: little-endian CDR, as ROS 2 on
    every computer it runs on.
    """
    seconds, nanoseconds = struct.unpack_from('<iI', data, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)
