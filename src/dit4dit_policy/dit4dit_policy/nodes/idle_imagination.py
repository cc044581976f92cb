"""Imagines what comes next in the time that is left between two chunks, and never beyond it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from dit4dit_policy.inference.chunk_policy import (
    IMAGINATION_STEPS,
    ChunkPolicy,
    Future,
    ImaginingPolicy,
    imagining,
)
from dit4dit_policy.nodes.inference_thread import Seen

_ROOM = 1.5  # times the longest piece lately, in which the next is expected to be done
_FORGOTTEN = 0.98  # of the longest piece, with each: one that was kept from its turn is no measure
_TRIED_AGAIN = 0.995  # of the longest piece, with each gap that was too short for it
_FIRST = 0.03  # [s] that a piece is taken to last before one was seen


class IdleImagination:
    """Goes on with one imagination until it is done, then begins with what was seen last.

    A piece is begun only where it is expected to end in time.
    """

    def __init__(
        self,
        policy: ChunkPolicy,
        wanted: Callable[[], bool],
        deliver: Callable[[Seen, Future], None],
        failed: Callable[[str], object],
    ) -> None:
        """Args:
        policy: one that imagines nothing is never asked.
        wanted: whether anybody looks.
        deliver: takes each picture, with what it was made of.
        failed: told what it ended with; chunks go on without.
        """
        self._policy = imagining(policy)
        self._wanted, self._deliver, self._failed = wanted, deliver, failed
        self._seen: Seen | None = None
        self._under_way: Iterator[Future | None] | None = None
        self._piece = _FIRST

    def work(self, newest: Seen, until: float) -> None:
        """Pieces until then [s, monotonic]; from what is seen where none is under way."""
        if self._policy is None or not self._wanted():
            self._under_way = None
            return
        try:
            self._work(self._policy, newest, until)
        except Exception as error:
            self._policy = None
            self._failed(f'imagines no more: {type(error).__name__}: {error}')

    def _work(self, policy: ImaginingPolicy, newest: Seen, until: float) -> None:
        if time.monotonic() + _ROOM * self._piece >= until:
            self._piece *= _TRIED_AGAIN
        while (began := time.monotonic()) + _ROOM * self._piece < until:
            if self._under_way is None:
                self._seen = newest
                self._under_way = policy.imagination(newest.observation, IMAGINATION_STEPS)
            assert self._seen is not None
            future = next(self._under_way)
            self._piece = max(time.monotonic() - began, _FORGOTTEN * self._piece)
            if future is not None:
                self._under_way = None
                self._deliver(self._seen, future)
                return
