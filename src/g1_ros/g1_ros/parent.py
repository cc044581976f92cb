"""A process that ends with the one that started it, however that one ends (Linux)."""

from __future__ import annotations

import ctypes
import os
import signal

#: Names the process id of the launcher in the environment of what it starts.
LAUNCHER = 'G1_LAUNCHER'
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_libc = ctypes.CDLL(None, use_errno=True)


def end_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """Gets the signal when the thread that started this process ends, even by SIGKILL.

    It stays so through exec, as in a shell's; see prctl(2), PR_SET_PDEATHSIG.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def end_with_launcher() -> None:
    """As `end_with_parent`, where a launcher is named in the environment; else nothing happens.

    A node that a person started by hand, perhaps with nohup, goes on without its shell.
    """
    launcher = os.environ.get(LAUNCHER, '')
    if not launcher.isdigit():
        return
    end_with_parent()
    try:
        os.kill(int(launcher), 0)
    except ProcessLookupError:  # it was gone before this process asked
        os.kill(os.getpid(), signal.SIGTERM)
    except PermissionError:
        pass
