"""Times as messages carry them, as numbers and back."""

from __future__ import annotations

import struct

from builtin_interfaces.msg import Duration, Time

_SECOND = 1_000_000_000


def nanoseconds(stamp: Time) -> int:
    """A stamp [ns since 1970]."""
    return int(stamp.sec) * _SECOND + int(stamp.nanosec)


def seconds(stamp: Time | Duration) -> float:
    """A stamp or a duration [s]."""
    return float(stamp.sec + stamp.nanosec * 1e-9)


def time_message(nanoseconds: int) -> Time:
    """A stamp of `nanoseconds` since 1970."""
    return Time(sec=nanoseconds // _SECOND, nanosec=nanoseconds % _SECOND)


def time_message_of(seconds: float) -> Time:
    """A stamp of `seconds` since 1970, to the nearest nanosecond."""
    return time_message(round(seconds * _SECOND))


def duration_message(seconds: float) -> Duration:
    """A duration [s], to the nearest nanosecond."""
    whole = round(seconds * _SECOND)
    return Duration(sec=whole // _SECOND, nanosec=whole % _SECOND)


def serialised_stamp(data: bytes) -> int:
    """Stamp [ns] of a serialised message whose first field is a header or a time.

    It follows the four bytes that say how the message is encoded: little-endian CDR, as ROS 2 on
    every computer it runs on. What is not asked for is not deserialised.
    """
    whole, part = struct.unpack_from('<iI', data, 4)
    return int(whole) * _SECOND + int(part)
