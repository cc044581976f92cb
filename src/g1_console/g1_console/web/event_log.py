"""What happened: the changes of a running system that a person wants to know of, in words."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

from dit4dit_msgs.msg import EpisodeStatus, PolicyStatus, SafetyStatus

from g1_description.control_source import ControlSource

#: How much an event asks for: nothing, a look, a hand.
Weight = Literal['info', 'warning', 'error']

_POLICY_WEIGHTS: dict[int, Weight] = {
    PolicyStatus.ERROR: 'error',
    PolicyStatus.WAITING: 'warning',
}
_MODE_WEIGHTS: dict[int, Weight] = {
    SafetyStatus.HOLD: 'warning',
    SafetyStatus.DISARMING: 'warning',
    SafetyStatus.ESTOP: 'error',
}
_SOURCE_WEIGHTS: dict[int, Weight] = {SafetyStatus.CONTROL_OPERATOR: 'warning'}
_KEPT = 200
_NUMBER = re.compile(r'[\d.]+')  # an age that grows is no news


def surprises(status: PolicyStatus) -> bool:
    """Whether the task goes unlike those that succeeded."""
    return bool(status.surprise > status.surprise_limit >= 0.0)


@dataclass(frozen=True)
class Event:
    """Something that happened; time: [s since 1970]."""

    time: float
    weight: Weight
    source: str
    text: str


class EventLog:
    """Takes statuses as they come and keeps what changed, the newest last."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque(maxlen=_KEPT)
        self._seen: dict[str, Any] = {}

    def add(self, time: float, weight: Weight, source: str, text: str) -> None:
        """An event that somebody else noticed; the same again right away is not told twice."""
        last = self.events[-1] if self.events else None
        if last is None or (last.source, last.text) != (source, text):
            self.events.append(Event(time, weight, source, text))

    def safety(self, time: float, status: SafetyStatus) -> None:
        """Takes a status of control: a new mode or reason, and chunks it rejects."""
        if self._changed('mode', (status.mode, status.reason)):
            self.add(time, _MODE_WEIGHTS.get(status.mode, 'info'), 'control', status.text)
        if self._changed('source', status.control_source):
            weight = _SOURCE_WEIGHTS.get(status.control_source, 'info')
            self.add(time, weight, 'control', ControlSource(status.control_source).words)
        before = self._seen.get('rejected')
        if self._changed('rejected', status.chunks_rejected) and before is not None:
            self.add(time, 'warning', 'control', f'a chunk was rejected: {status.rejection_text}')

    def policy(self, time: float, status: PolicyStatus) -> None:
        """Takes a status of the policy: a new state, text of it, or checkpoint."""
        if self._changed('policy', (status.state, _NUMBER.sub('', status.text))):
            weight = _POLICY_WEIGHTS.get(status.state, 'info')
            if weight == 'info' and surprises(status):
                weight = 'warning'
            self.add(time, weight, 'policy', status.text)
        if self._changed('checkpoint', status.model_id) and status.model_id:
            trained = '' if status.trained else ', UNTRAINED'
            self.add(time, 'info', 'policy', f'checkpoint {status.model_id}{trained}')

    def recorder(self, time: float, status: EpisodeStatus) -> None:
        """Takes a status of the recorder: what it was asked, and faults."""
        if self._changed('recorder', (status.state, status.healthy, status.text)):
            self.add(time, 'info' if status.healthy else 'error', 'recorder', status.text)

    def fault(self, time: float, source: str, text: str) -> None:
        """Takes what is wrong with a part, '' for nothing."""
        before = self._seen.get(source, '')
        if self._changed(source, text) and (text or before):
            self.add(time, 'error' if text else 'info', source, text or 'well again')

    def newest(self, count: int) -> list[Event]:
        """The last `count` events, newest first; other threads may add meanwhile."""
        return list(self.events)[: -count - 1 : -1]

    def _changed(self, name: str, value: Any) -> bool:
        before, self._seen[name] = self._seen.get(name), value
        return bool(before != value)
