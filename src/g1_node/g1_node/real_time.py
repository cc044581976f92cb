"""Going before everything else on this computer."""

import os
from contextlib import suppress

_PRIORITY = 10  # of 1 to 99; the kernel's own threads are at 50


def ask_for_real_time() -> None:
    """Gives the calling thread, and threads it starts, real-time priority where that is allowed.

    That is for root, or with an rtprio in /etc/security/limits.conf. Without it, a busy computer
    starts some cycles of a 250 Hz loop several milliseconds late.
    """
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
