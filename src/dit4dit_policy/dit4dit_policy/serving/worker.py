"""One thread infers for all clients: what arrives within a few ms is done in one go."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.inference.chunk_policy import ChunkPolicy, Observation

_GATHER = 0.004  # [s] waited for others after a request

Chunks = list[NDArray[np.float64]]
_Job = tuple[Sequence[Observation], 'Future[Chunks]']


class Worker:
    """Asks the policy, which one thread may do, on behalf of many."""

    def __init__(self, policy: ChunkPolicy, threads: int = 1, largest_batch: int = 8) -> None:
        """threads: of the CPU. largest_batch: observations inferred at once, if the policy can."""
        self._policy, self._threads = policy, threads
        self._largest = largest_batch
        self._ended = False
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name='inference', daemon=True)
        self._thread.start()

    def submit(self, observations: Sequence[Observation]) -> Future[Chunks]:
        """One chunk each, in due course; ValueError of the policy where it does not like one, or
        where the server ends."""
        future: Future[Chunks] = Future()
        self._jobs.put((observations, future))
        if self._ended:
            self._refuse_what_is_left()
        return future

    def close(self) -> None:
        """Ends after what is being inferred."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        if torch := sys.modules.get('torch'):  # a policy may do without it
            torch.set_num_threads(self._threads)
        while (job := self._jobs.get()) is not None:
            jobs, last = self._gathered(job)
            self._carry_out(jobs)
            if last:
                break
        self._ended = True
        self._refuse_what_is_left()

    def _refuse_what_is_left(self) -> None:
        with suppress(queue.Empty):
            while True:
                if (job := self._jobs.get_nowait()) is not None:
                    job[1].set_exception(ValueError('the server ends'))

    def _gathered(self, job: _Job) -> tuple[list[_Job], bool]:
        """What has come until `_GATHER` after the first, and whether that was all for ever."""
        jobs, until = [job], time.monotonic() + _GATHER
        while sum(len(observations) for observations, _ in jobs) < self._largest:
            try:
                more = self._jobs.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if more is None:
                return jobs, True
            jobs.append(more)
        return jobs, False

    def _carry_out(self, jobs: list[_Job]) -> None:
        """Several at once; where that fails each alone, so that one harms no other."""
        if (chunks := self._together(jobs)) is not None:
            for observations, future in jobs:
                future.set_result([chunks.pop(0) for _ in observations])
            return
        for observations, future in jobs:
            try:
                future.set_result([self._policy.infer(seen) for seen in observations])
            except Exception as error:
                future.set_exception(error)

    def _together(self, jobs: list[_Job]) -> Chunks | None:
        """Of all their observations; None where there is but one, or the policy fails or can't."""
        infer: Any = getattr(self._policy, 'infer_batch', None)
        seen = [each for observations, _ in jobs for each in observations]
        if infer is None or len(seen) == 1:
            return None
        size, chunks = self._largest, []
        try:
            for start in range(0, len(seen), size):
                chunks += infer(seen[start : start + size])
        except Exception:
            return None
        return chunks
