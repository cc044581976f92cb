"""Whether a task goes as those that succeeded did: told to the operator, or a reason to stop."""

from __future__ import annotations

import math
from collections.abc import Callable

from dit4dit_policy.inference.chunk_policy import Future
from dit4dit_policy.inference.surprise import (
    MEANINGS,
    Instant,
    Surprise,
    SurpriseCalibration,
)
from dit4dit_policy.nodes.inference_thread import TaskRun

_STAYS = 0.8  # of the limit, above which a surprise that has begun goes on


class SurpriseWatch:
    """Follows the chunks of one run after the other while the arms follow them.

    value, limit: of the present run; NaN where there is none. held: why no more chunks are sent;
    '' while they are.
    """

    def __init__(
        self, calibration: SurpriseCalibration | None, holds: bool, tell: Callable[[str], object]
    ) -> None:
        """Args:
        calibration: without one nothing surprises.
        holds: whether chunks end with a surprise.
        tell: told once each time that it begins.
        """
        self._calibration, self._holds, self._tell = calibration, holds, tell
        self._run: TaskRun | None = None
        self._surprise: Surprise | None = None
        self._odd = ''  # what is odd at present, in words
        self.value = self.limit = math.nan
        self.held = ''

    @property
    def text(self) -> str:
        """What is odd at present, in words; '' where nothing is."""
        return self.held or self._odd

    @property
    def imagines(self) -> bool:
        """Whether it asks what the policy imagines."""
        return self._calibration is not None and self._calibration.signal == 'imagined'

    def expect(self, begun: float, future: Future) -> None:
        """What was imagined from the observation of the stamp `begun` [s]."""
        if self._surprise is not None:
            self._surprise.expect(begun, future.ahead, future.encoding)

    def may_send(self, run: TaskRun, operator_has_arms: bool) -> bool:
        """Whether a chunk of that run goes out.

        After a surprise that holds, not before a new run, or before an operator had the arms.
        """
        if run is not self._run or operator_has_arms:
            self._run, self.held = run, ''
            self._forget()
        return not self.held

    def take(self, moment: Instant, instruction: str, executed: bool) -> None:
        """What there was at a chunk, after it was sent. executed: whether the arms follow it."""
        if not executed or self._calibration is None:
            self._forget()
            return
        if self._surprise is None:
            self._surprise = Surprise(self._calibration)
        limit = self._calibration.limits.get(instruction)
        self.limit = limit.value if limit else math.nan
        self.value = self._surprise(moment)
        before, self._odd = self._odd, ''
        if self.value > self.limit * (_STAYS if before else 1.0):
            meaning = MEANINGS[self._calibration.signal]
            self._odd = f'{meaning} ({self.value:.2f}, in successes up to {self.limit:.2f})'
            if self._holds:
                self.held = f'{self._odd}; no more chunks: run the task again, or take the arms'
        if self._odd and not before:
            self._tell(self.text)

    def _forget(self) -> None:
        self._surprise, self._odd = None, ''
        self.value = self.limit = math.nan
