"""Waiting for what a test expects, with a deadline and words; nothing sleeps and hopes."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar('T')

#: Far beyond what anything takes, the start of processes on a busy computer included [s].
DEADLINE = 120.0
_POLL = 0.01  # [s]


def wait_until(
    condition: Callable[[], T],
    what: str | Callable[[], object],
    timeout: float = DEADLINE,
    act: Callable[[], object] = lambda: time.sleep(_POLL),
) -> T:
    """What `condition` returns as soon as that is true; `act` is called in between.

    AssertionError after `timeout` [s], which names `what` was waited for.
    """
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(f'waited {timeout:g} s for {what() if callable(what) else what}')
        act()
    return found
