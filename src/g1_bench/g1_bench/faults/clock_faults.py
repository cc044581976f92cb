"""The system clock is set, as NTP does after boot: whatever has to go on goes on at once."""

from __future__ import annotations

import time

from g1_bench.faults.fault import Fault, Injection, Reaction
from g1_bench.faults.system_under_test import PATIENCE, NotSeenError, SystemUnderTest
from g1_control.safety import Mode

_STATUSES = 5  # that have to come
_SOON = 0.2  # [s] after which the next status, or an answer, is there


def clock_faults() -> list[Fault]:
    """The rows; each ends with the clock as it was."""
    steps = {
        'clock: set back by 20 s': -20.0,
        'clock: set forward by 20 s': 20.0,
        'clock: set back by three years': -1e8,
    }
    return [
        Fault(name, 'robot', 'HOLD; status and services within 0.2 s', _SOON, _set(seconds))
        for name, seconds in steps.items()
    ]


def _set(seconds: float) -> Injection:
    def inject(system: SystemUnderTest, within: float) -> Reaction:
        slowest = 0.0
        system.clock.step(seconds)
        try:
            for _ in range(_STATUSES):
                slowest = max(slowest, _next_status(system))
            system.wait_for(lambda: system.mode == Mode.HOLD, 'HOLD', PATIENCE)
            for service in ('disarm', 'estop', 'reset'):
                began = time.monotonic()
                system.call(service)
                slowest = max(slowest, time.monotonic() - began)
        finally:
            system.clock.step(-seconds)
        if slowest > within:
            raise NotSeenError(f'{slowest:.2f} s without a status or an answer')
        return 'HOLD; status and services go on', slowest

    return inject


def _next_status(system: SystemUnderTest) -> float:
    """How long it takes to come [s]."""
    began, count = time.monotonic(), len(system.statuses)
    system.wait_for(lambda: len(system.statuses) > count, 'status', PATIENCE)
    return time.monotonic() - began
