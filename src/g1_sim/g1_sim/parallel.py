"""One scene after the other in several processes: a simulation is one core's work."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from queue import Empty
from typing import Any, Generic, TypeVar

Result = TypeVar('Result')

#: Made in a process of its own, from its number; is then given one seed after the other.
Worker = Callable[[int], Result]


@dataclass(frozen=True)
class _Failure:
    """What an OSError in a process was made of."""

    error: tuple[Any, ...]


class EachSeed(Generic[Result]):
    """Results of a worker for every seed, as they come; of the same seeds the same ones.

    Each process has neighbouring seeds, so that what the processes write, one after the other, is
    in the order of the seeds however many they are.
    """

    def __init__(
        self, make: Callable[[int], Worker[Result]], seeds: Sequence[int], workers: int
    ) -> None:
        """make: called with the number of the process in it; can be pickled."""
        os.environ['OMP_NUM_THREADS'] = '1'  # one process a core, inherited by the workers
        context = multiprocessing.get_context('spawn')
        self._count = len(seeds)
        self._queue: multiprocessing.Queue[Result | _Failure] = context.Queue()
        bounds = [k * len(seeds) // workers for k in range(workers + 1)]
        self._processes = [
            context.Process(
                target=_work, args=(make, k, seeds[first:last], self._queue), daemon=True
            )
            for k, (first, last) in enumerate(pairwise(bounds))
        ]

    def __iter__(self) -> Iterator[Result]:
        """Runs everything; the processes have ended after the last result."""
        try:
            for process in self._processes:
                process.start()
            for _ in range(self._count):
                yield self._next()
            for process in self._processes:
                process.join()
        finally:
            for process in self._processes:
                if process.pid is not None:
                    process.kill()

    def _next(self) -> Result:
        while True:
            try:
                result = self._queue.get(timeout=1.0)
                if isinstance(result, _Failure):
                    raise OSError(*result.error)
                return result
            except Empty:
                if any(process.exitcode not in (None, 0) for process in self._processes):
                    raise RuntimeError('a process ended early; its error is above') from None


def _work(
    make: Callable[[int], Worker[Result]],
    number: int,
    seeds: Sequence[int],
    queue: multiprocessing.Queue[Result | _Failure],
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    try:
        worker = make(number)
        for seed in seeds:
            queue.put(worker(seed))
    except OSError as error:  # a full disk, as a rule; not all of these can be pickled
        numbered = (error.errno, error.strerror, error.filename)
        queue.put(_Failure((str(error),) if error.errno is None else numbered))
