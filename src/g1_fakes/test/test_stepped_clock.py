"""Processes whose system clock is set wait as long as they would without."""

import os
import subprocess
import sys
import time

import pytest

from g1_fakes.stepped_clock import SteppedClock

#: Waits 0.2 s in CLOCK_MONOTONIC (of Python) and in CLOCK_REALTIME; prints the clock and the waits.
_WAITS = """
import ctypes, threading, time
libc = ctypes.CDLL(None)
condition, mutex = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
steady = time.monotonic()
threading.Event().wait(0.2)
print(time.time(), time.monotonic() - steady)
until = time.time_ns() + 200_000_000
moment = (ctypes.c_long * 2)(*divmod(until, 1_000_000_000))
libc.pthread_mutex_lock(mutex)
steady = time.monotonic()
libc.pthread_cond_timedwait(condition, mutex, moment)
print(time.monotonic() - steady)
"""


@pytest.mark.parametrize('step', [0.0, 20.0, -20.0, -1e8, -1.4e9])  # the last one: to 1982
def test_waits_take_as_long_whatever_the_clock_is_set_to(step: float) -> None:
    with SteppedClock() as clock:
        clock.step(step)
        ran = subprocess.run(
            [sys.executable, '-c', _WAITS],
            env={**os.environ, **clock.variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    now, event, condition = map(float, ran.stdout.split())
    assert now == pytest.approx(time.time() + step, abs=60.0)  # it is set at all
    assert 0.19 < event < 10.0
    assert 0.19 < condition < 10.0
