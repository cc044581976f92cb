"""The stand-in headset's hands, moved with the keys of a terminal."""

from __future__ import annotations

import math
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from g1_fakes.xr_service import Measurement, Pose

HELP = """Keys move the stand-in headset's hands, 2 cm or 6 degrees a press; q ends it.
  1 2 3     left hand, right hand, both           g      grip: holds it, again: lets go
  w s       forward, back                         space  trigger: closes the gripper, again: opens
  a d       left, right                           i k    pitch down, up
  r f       up, down                              j l    yaw left, right    u o  roll
  A B       starts an episode, saves it           X      discards it (held for 1.2 s)
  Y         pauses, goes on                       E      e-stop (right stick)
  K         keeps the last seconds (left menu)
First g1 arm in another terminal, then 3 and g here: now the keys move the robot's hands."""

_STEP, _TURN = 0.02, math.radians(6.0)
_SPEED, _TURNING = 0.15, 1.0  # [m/s], [rad/s] at which a hand comes after what was asked
_PRESS, _HOLD = 0.2, 1.2  # [s] a button is held; the one that discards
_TREMBLE = 1e-5  # [m]; what does not move at all is no tracking
_SHIFTS = {'d': (0, 1), 'a': (0, -1), 'r': (1, 1), 'f': (1, -1), 's': (2, 1), 'w': (2, -1)}
_TURNS = {'j': (0, 1), 'l': (0, -1), 'k': (1, 1), 'i': (1, -1), 'u': (2, 1), 'o': (2, -1)}
_BUTTONS = {'A': 'A', 'B': 'B', 'X': 'X', 'Y': 'Y', 'E': 'right_stick', 'K': 'left_menu'}
_REST = ([-0.2, 1.0, -0.35], [0.2, 1.0, -0.35])  # [m] x to the right, y up, z back


class HandKeys:
    """What the headset measures, and how keys change it. Times are in seconds, of any clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # keys come from one thread, the service asks from others
        self._chosen: tuple[int, ...] = (0, 1)
        self._wanted = [[*place, 0.0, 0.0, 0.0] for place in _REST]  # and yaw, pitch, roll [rad]
        self._there = [list(hand) for hand in self._wanted]
        self._grips, self._triggers = [0.0, 0.0], [0.0, 0.0]
        self._held: dict[str, float] = {}  # buttons, until when
        self._now: float | None = None

    def press(self, key: str, now: float) -> str:
        """Takes a key; what it did, in words, or '' for one that does nothing."""
        with self._lock:
            if key in ('1', '2', '3'):
                self._chosen = {'1': (0,), '2': (1,), '3': (0, 1)}[key]
                return f'chosen: {self._names()}'
            if key in _BUTTONS:
                self._held[_BUTTONS[key]] = now + (_HOLD if key == 'X' else _PRESS)
                return f'button {_BUTTONS[key]}'
            for name, switch, words in (
                ('g', self._grips, ('lets go', 'grips')),
                (' ', self._triggers, ('opens', 'closes')),
            ):
                if key == name:
                    value = 0.0 if all(switch[hand] for hand in self._chosen) else 1.0
                    for hand in self._chosen:
                        switch[hand] = value
                    return f'{self._names()}: {words[int(value)]}'
            return self._move(key)

    def measure(self, now: float) -> Measurement:
        """As the headset's app would send it: hands come after the keys at a hand's speed."""
        with self._lock:
            passed = 0.0 if self._now is None else max(0.0, now - self._now)
            self._now = now
            for there, wanted in zip(self._there, self._wanted, strict=True):
                for index, value in enumerate(wanted):
                    most = passed * (_SPEED if index < 3 else _TURNING)
                    there[index] += min(max(value - there[index], -most), most)
            tremble = _TREMBLE * math.sin(40.0 * now)
            left, right = (_pose(hand, tremble) for hand in self._there)
            return Measurement(
                head=(tremble, 1.5, 0.0, 0.0, 0.0, 0.0, 1.0),
                left=left,
                right=right,
                grips=(self._grips[0], self._grips[1]),
                triggers=(self._triggers[0], self._triggers[1]),
                buttons=frozenset(name for name, until in self._held.items() if now < until),
            )

    def _move(self, key: str) -> str:
        for keys, size, first in ((_SHIFTS, _STEP, 0), (_TURNS, _TURN, 3)):
            if key in keys:
                axis, sign = keys[key]
                for hand in self._chosen:
                    self._wanted[hand][first + axis] += sign * size
                idle = '' if any(self._grips[hand] for hand in self._chosen) else ' (no grip: g)'
                return f'{self._names()}: moved{idle}'
        return ''

    def _names(self) -> str:
        return ' and '.join(('left', 'right')[hand] for hand in self._chosen)


def _pose(hand: list[float], tremble: float) -> Pose:
    """Turned by yaw about y (up), then pitch about x (right), then roll about z (back)."""
    x, y, z, yaw, pitch, roll = hand
    (sy, cy), (sp, cp), (sr, cr) = (
        (math.sin(angle / 2), math.cos(angle / 2)) for angle in (yaw, pitch, roll)
    )
    return (
        x + tremble,
        y,
        z,
        cy * sp * cr + sy * cp * sr,
        sy * cp * cr - cy * sp * sr,
        cy * cp * sr - sy * sp * cr,
        cy * cp * cr + sy * sp * sr,
    )


def keys() -> Iterator[str]:
    """Keys of this terminal as they are pressed, until q or the end of the input."""
    with _unbuffered():
        while (key := sys.stdin.read(1)) not in ('', 'q'):
            yield key


@contextmanager
def _unbuffered() -> Iterator[None]:
    """A key at a time, not shown; Ctrl-C stays what it is. An input from a file is only read."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def follow(hands: HandKeys) -> None:
    """Passes the keys of this terminal on, and says what each did."""
    print(HELP, flush=True)
    for key in keys():
        if said := hands.press(key, time.time()):
            print(said, flush=True)
