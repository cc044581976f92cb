"""Gives rows to the last seconds while nothing is recorded."""

from __future__ import annotations

from typing import Any

import numpy as np

from g1_data import DatasetWriter
from g1_recorder.health import EpisodeHealth, HealthLimits
from g1_recorder.last_seconds import LastSeconds
from g1_recorder.nodes.sources import Sources


class RollingRows:
    """Rows as long as all sources are heard; what was before one fell silent stays. Times in s."""

    def __init__(self, sources: Sources, writer: DatasetWriter, seconds: float) -> None:
        self.rows = LastSeconds(writer, seconds)
        self._sources, self._fps = sources, writer.fps
        self._heard = False
        self._until = -np.inf  # when all sources were heard last

    def taker(self, now: float) -> LastSeconds | None:
        """Where the next rows go; None while a source is missing."""
        heard = not self._sources.missing()
        if self._sources.health.clock_step:
            self._heard, self._until = False, -np.inf
        if heard and not self._heard:
            if now - self._until > self.rows.seconds:
                self.rows.clear()
            elif self.rows.frames:
                self.rows.append(self._sources.next_health())
            self._sources.begin(self._fps)
        self._heard = heard
        if not heard:
            return None
        self._until = now
        if self.rows.is_over(self._sources.health, now):
            self.rows.append(self._sources.next_health())
        return self.rows

    def forget(self) -> None:
        """An episode begins."""
        self.rows.clear()
        self._heard = False

    def save(self, task: str, limits: HealthLimits) -> int:
        """Makes them an episode, and returns its index; errors as of `LastSeconds.save`."""
        health: EpisodeHealth = self.rows.health(self._sources.health)
        said: dict[str, Any] = health.summary(limits, self._until, 0, ())
        try:
            return self.rows.save(task, said | {'outcome': '', 'flag': 'kept'})
        finally:
            self._heard = False
