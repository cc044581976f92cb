"""A bus of servos behind a pseudo-terminal, and the faults that can happen to it."""

from __future__ import annotations

import json
import os
import pty
import select
import threading
import time
import tty
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from g1_fakes.dynamixel.bus import Bus
from g1_fakes.dynamixel.servo import HARDWARE_ERRORS, Servo


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
        """Ends the thread that serves it, and unplugs it."""
        self._stopping.set()
        self._thread.join()
        self.unplug()

    def plug_in(self) -> None:
        """The adapter comes, under the same name as before."""
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
        (hardware errors), power_off, power_on, temperature `value` degC, object at `value` ticks,
        displace by `value` ticks (its turn count or homing offset is lost).
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
        if what in HARDWARE_ERRORS:
            servo.fail(what)
        elif what == 'power_off':
            servo.reboot(now)
            servo.answers_from = float('inf')
        elif what == 'power_on':
            servo.reboot(now)
        elif what == 'temperature':
            servo.temperature = value
        elif what == 'displace':
            servo.displace(value)
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
