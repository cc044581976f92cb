"""The G1's remote control: the 40 bytes `wireless_remote` of a LowState. No ROS.

Layout (Unitree SDK2, xRockerBtnDataStruct): two bytes of head, 16 buttons as bits, then the sticks
as floats lx, rx, ry, L2, ly; the rest is unused. With the remote off or out of reach all are zero.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

#: Buttons by their bit.
BUTTONS = (
    *('R1', 'L1', 'start', 'select', 'R2', 'L2', 'F1', 'F2'),
    *('A', 'B', 'X', 'Y', 'up', 'right', 'down', 'left'),
)
_LENGTH = 40
_LAYOUT = struct.Struct('<2xH5f')


@dataclass(frozen=True)
class Remote:
    """Buttons held; sticks from -1 to 1, left and right, x to the right and y forward."""

    buttons: frozenset[str]
    left: tuple[float, float]
    right: tuple[float, float]


def parse(data: bytes) -> Remote:
    """What the remote says; `data` is `wireless_remote`. Raises ValueError if not 40 bytes."""
    if len(data) != _LENGTH:
        raise ValueError(f'wireless_remote: expected {_LENGTH} bytes, got {len(data)}')
    bits, lx, rx, ry, _, ly = _LAYOUT.unpack_from(data)
    held = frozenset(name for k, name in enumerate(BUTTONS) if bits >> k & 1)
    return Remote(held, (lx, ly), (rx, ry))


def press(*buttons: str) -> bytes:
    """The 40 bytes while `buttons` are held and the sticks rest."""
    bits = sum(1 << BUTTONS.index(name) for name in buttons)
    return _LAYOUT.pack(bits, 0.0, 0.0, 0.0, 0.0, 0.0).ljust(_LENGTH, b'\0')


def combination(text: str) -> frozenset[str]:
    """The buttons of a combination such as 'L2+B'; an empty one for ''.

    Raises ValueError naming what is no button.
    """
    names = frozenset(text.split('+')) if text else frozenset()
    unknown = names - set(BUTTONS)
    if unknown:
        raise ValueError(
            f'expected buttons joined by +, such as L2+B, got {text!r}: no button '
            f'{", ".join(sorted(unknown))}; there are: {", ".join(BUTTONS)}'
        )
    return names
