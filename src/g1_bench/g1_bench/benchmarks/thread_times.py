"""What the threads of a process did meanwhile: compute, wait for a processor, or neither.

Linux counts both for every thread (Documentation/scheduler/sched-stats.rst, /proc/.../schedstat):
time on a processor, and time ready to run without one. A thread that had neither slept, or waited
for another one.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

_TICK = 1 / os.sysconf('SC_CLK_TCK')
_MOST = 0.5  # share of a gap that explains it


@dataclass(frozen=True)
class ThreadTimes:
    """Of the thread looked at, and of the other threads of its process together, so far [s].

    time: when that was [s since 1970]. stolen: what a hypervisor kept all processors for.
    """

    time: float
    computed: float
    waited: float
    others_computed: float
    others_waited: float
    stolen: float

    @classmethod
    def now(cls, process: int, thread: str) -> ThreadTimes | None:
        """Those of a process's thread of that name; None where it is gone."""
        here, others = [0.0, 0.0], [0.0, 0.0]
        try:
            for task in Path(f'/proc/{process}/task').iterdir():
                with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended
                    sums = here if (task / 'comm').read_text().strip() == thread else others
                    for k, word in enumerate((task / 'schedstat').read_text().split()[:2]):
                        sums[k] += int(word) * 1e-9
        except FileNotFoundError:
            return None
        stolen = int(Path('/proc/stat').read_text().split(maxsplit=9)[8]) * _TICK
        return cls(time.time(), here[0], here[1], others[0], others[1], stolen)


def explained(looks: list[ThreadTimes], begin: float, end: float) -> tuple[str, str]:
    """Why the thread did nothing from `begin` to `end` [s since 1970]: in a word, and in numbers.

    looks: oldest first. What it usually does meanwhile is taken off.
    """
    times = [look.time for look in looks]
    first, last = bisect_left(times, begin) - 1, bisect_left(times, end)
    if first < 0 or last >= len(looks) or times[last] - times[first] > 10 * (end - begin) + 1.0:
        return 'not looked at', ''
    usual = _spent(looks[0], looks[-1], 1 / (times[-1] - times[0]))
    beside = times[last] - times[first] - (end - begin)
    computed, waited, others_computed, others_waited, stolen = (
        max(0.0, spent - beside * rate)
        for spent, rate in zip(_spent(looks[first], looks[last]), usual, strict=True)
    )
    numbers = (
        f'waited {waited * 1e3:.0f} ms for a processor, computed {computed * 1e3:.0f}; its other '
        f'threads {others_waited * 1e3:.0f} and {others_computed * 1e3:.0f}; '
        f'stolen {stolen * 1e3:.0f}'
    )
    enough = _MOST * (end - begin)
    if max(waited, stolen) > enough:
        return 'no processor', numbers
    if computed > enough:
        return 'computes', numbers
    if others_waited > enough:
        return 'no processor', numbers  # for who has Python's interpreter
    if others_computed > enough:
        return 'its other threads compute', numbers
    return 'sleeps', numbers


def _spent(first: ThreadTimes, last: ThreadTimes, scale: float = 1.0) -> list[float]:
    pairs = zip(astuple(first)[1:], astuple(last)[1:], strict=True)
    return [(after - before) * scale for before, after in pairs]
