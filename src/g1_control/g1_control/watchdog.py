"""Hands the arms back when control falls silent: weight to 0 from its last command. No ROS.

The robot goes on with the last command it got, for ever. So while control is armed (the weight of
its last command is above 0) and says nothing for SILENCE s, the watchdog says that last command
again and again, at rest, with a weight that falls from 1 to 0 in RAMP s. After that it is silent.
Whatever control says in between ends it at once: the two never speak against each other, as control
too knows how far the weight is down by then (`weight_after`).

Times are those of one steady clock [s]. It works on serialised commands and without numpy: the
process is small, and starts and dies of nothing that control could die of.
"""

from __future__ import annotations

import struct

from g1_control.crc import crc32

#: Without a command of armed control [s]; on a busy computer cycles are late by 0.01 s at times.
SILENCE = 0.15
RAMP = 0.4  # [s] for the weight from 1 to 0
_FAREWELL = 0.05  # [s] for which weight 0 is said

# Places in a serialised LowCmd (g1_control.unitree has the layout): 4 bytes of CDR header, then the
# C struct, but for the first motor's mode. Motor k: q, dq, tau, kp, kd, reserve from 8 + 28 k.
_LENGTH = 1004
_CRC = 1000
_WEIGHT = 8 + 28 * 29
_VELOCITIES = [8 + 28 * motor + 4 for motor in range(15, 29)]
_FLOAT = struct.Struct('<f')


def weight_after(weight: float, silence: float) -> float:
    """What is left of `weight` once control has said nothing for `silence` s."""
    return max(0.0, weight - max(0.0, silence - SILENCE) / RAMP)


def weight_of(command: bytes) -> float:
    """Weight of a serialised LowCmd. Raises ValueError when it is none."""
    if len(command) != _LENGTH:
        raise ValueError(f'expected a LowCmd of {_LENGTH} bytes, got {len(command)}')
    return float(_FLOAT.unpack_from(command, _WEIGHT)[0])


def at_rest(command: bytes, weight: float) -> bytes:
    """The serialised LowCmd with another weight and no velocities, its CRC renewed."""
    data = bytearray(command)
    for place in _VELOCITIES:
        _FLOAT.pack_into(data, place, 0.0)
    _FLOAT.pack_into(data, _WEIGHT, weight)
    content = data[4:6] + b'\0\0' + data[6:7] + b'\0\0\0' + data[8:_CRC]
    struct.pack_into('<I', data, _CRC, crc32(content))
    return bytes(data)


class Watchdog:
    """Call `hear` with every command that is not the watchdog's own, and `say` every 4 ms."""

    def __init__(self) -> None:
        #: How often it has begun to hand the arms back.
        self.hand_backs = 0
        self.handing_back = False
        self._last = b''
        self._weight = 0.0
        self._heard_at = 0.0

    @property
    def armed(self) -> bool:
        """Whether there is something to hand back: the last command has weight."""
        return self._weight > 0.0

    def hear(self, command: bytes, now: float) -> None:
        """A command of control. Raises ValueError when it is no LowCmd."""
        self._weight = weight_of(command)
        self._last, self._heard_at = command, now
        self.handing_back = False

    def say(self, now: float) -> bytes | None:
        """What is to be commanded at `now`: nothing, while control speaks or has no weight."""
        silence = now - self._heard_at
        if not self.armed or silence <= SILENCE:
            return None
        if not self.handing_back:
            self.handing_back, self.hand_backs = True, self.hand_backs + 1
        if silence > SILENCE + RAMP * self._weight + _FAREWELL:
            self.handing_back, self._weight = False, 0.0
            return None
        return at_rest(self._last, weight_after(self._weight, silence))
