"""Rates and intervals of something that happens again and again."""

from __future__ import annotations

import time
from collections import deque


class RateMeter:
    """Counts events; `rate()` is how many came per second over the last `window` seconds."""

    def __init__(self, window: float = 2.0) -> None:
        self.count = 0
        self._window = window
        self._times: deque[float] = deque()

    def tick(self) -> None:
        """Counts one message, now."""
        now = time.monotonic()
        self.count += 1
        self._times.append(now)
        while self._times and self._times[0] < now - self._window:
            self._times.popleft()

    def rate(self) -> float:
        """Messages a second over the last window [Hz]."""
        now = time.monotonic()
        recent = [t for t in tuple(self._times) if t >= now - self._window]
        if len(recent) < 2:
            return 0.0
        return (len(recent) - 1) / (recent[-1] - recent[0]) if recent[-1] > recent[0] else 0.0
