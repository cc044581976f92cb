"""Attempts in processes of their own, which end when this one does, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

Attempted = TypeVar('Attempted')
Outcome = TypeVar('Outcome')

#: Made once by each process.
_attempt: Any = None


def in_processes(
    make: Callable[[], Callable[[Attempted], Outcome]], attempts: Sequence[Attempted], workers: int
) -> Iterator[Outcome]:
    """What the function that `make` returns makes of each attempt; they come as they end.

    make: called once a process, of which a single one is this. ChildProcessError where a process
    was ended from outside.
    """
    if workers <= 1 or not attempts:
        yield from map(make(), attempts) if attempts else ()
        return
    os.environ['OMP_NUM_THREADS'] = '1'  # one process a core, inherited by the workers
    with ProcessPoolExecutor(
        min(workers, len(attempts)),
        multiprocessing.get_context('spawn'),
        initializer=_end_with_parent,
    ) as pool:
        try:
            for future in as_completed([pool.submit(_outcome, make, each) for each in attempts]):
                yield future.result()
        except BrokenProcessPool:
            raise ChildProcessError(
                'a process of the attempts was ended from outside, as for want of memory; the same '
                'command goes on from there where --out is given, --workers asks for fewer'
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """A pool's processes would wait for ever for one that was killed, and simulators for them."""
    threading.Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _outcome(make: Callable[[], Callable[[Attempted], Outcome]], attempt: Attempted) -> Outcome:
    global _attempt
    _attempt = _attempt or make()
    outcome: Outcome = _attempt(attempt)
    return outcome
