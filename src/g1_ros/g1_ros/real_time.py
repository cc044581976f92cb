"""Going before everything else on this computer."""

import ctypes
import os
import resource
import threading
from pathlib import Path

_PRIORITY = 10  # of 1 to 99; the kernel's own threads are at 50
_CURRENT, _FUTURE, _ON_FAULT = 1, 2, 4  # of mlockall(2)


def ask_for_real_time() -> str:
    """Gives the calling thread, and threads it starts, real-time priority where that is allowed.

    Returns what to do where it isn't, else ''. Without it, a busy computer starts some cycles of a
    250 Hz loop several milliseconds late.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    except PermissionError:
        return 'real-time priority is not permitted; give this user an rtprio in limits.conf'
    return ''


def name_thread(name: str) -> None:
    """Names the calling thread, in at most 15 letters, for `top -H` and others that look at it."""
    Path(f'/proc/self/task/{threading.get_native_id()}/comm').write_text(name)


def lock_memory() -> str:
    """Keeps this process's memory from being swapped out, where that is allowed.

    Returns what to do where it isn't, else ''. A limit that is not "unlimited" is left alone: later
    allocations would fail at it.
    """
    advice = 'locked memory is not permitted; give this user an unlimited memlock in limits.conf'
    unlimited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY
    if not unlimited and os.geteuid() != 0:
        return advice
    failed = ctypes.CDLL(None).mlockall(_CURRENT | _FUTURE | _ON_FAULT)
    return advice if failed else ''
