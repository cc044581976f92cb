"""Whether a task goes as those that succeeded did: told to the operator, or a reason to stop."""

from __future__ import annotations

import math
from collections.abc import Callable

from dit4dit_policy.inference.chunk_policy import Future
from dit4dit_policy.inference.surprise import Instant, Surprise, SurpriseCalibration
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
        self._above = False
        self.value = self.limit = math.nan
        self.held = ''

    @property
    def text(self) -> str:
        """What is odd at present, in words; '' where nothing is."""
        return self.held or (self._words() if self._above else '')

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
        above = self.value > self.limit * (_STAYS if self._above else 1.0)
        if above and not self._above:
            if self._holds:
                self.held = f'{self._words()}; no more chunks: run the task again, or take the arms'
            self._tell(self.held or self._words())
        self._above = above

    def _forget(self) -> None:
        self._surprise, self._above = None, False
        self.value = self.limit = math.nan

    def _words(self) -> str:
        return f'this goes unlike what has succeeded: {self.value:.2f}, usual {self.limit:.2f}'
