"""How unlike an episode goes to those that succeeded: a number a chunk, and a limit for it.

A signal says how odd a moment is; `SurpriseCalibration`, surprise.json beside a checkpoint's
weights, says which one is looked at, and what it comes to where a task is done. No torch.

Shapes: S numbers of a state, K targets of A numbers in a chunk, N rows of demonstrations.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

FILE = 'surprise.json'

_STILL = 0.2  # of the encoding's numbers: what nothing at all still differs by
NEAR = 0.11  # [s] between the moment that was imagined and the one that is compared with it
_SECOND, _SLOW = 0.99, 0.1  # [s], and of half a range in it
_KEPT = 4.0  # [s] that what was seen is kept, for what is imagined late


@dataclass(frozen=True)
class Instant:
    """What there is at a chunk.

    stamp: of its images [s]. state (S,), targets (K, A) [rad, m]. encoding: of the images, as
    `ImaginingPolicy.encoding` has it.
    """

    stamp: float
    state: Array
    targets: Array
    encoding: Array = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class SurpriseLimit:
    """What the surprise stayed below in a task that was done, in all but `false_alarms` of it.

    successes: episodes that this is known from. false_alarms: share of such episodes that are
    expected to go above nevertheless.
    """

    value: float
    successes: int
    false_alarms: float


@dataclass(frozen=True)
class SurpriseCalibration:
    """What is looked at, and what it comes to.

    signal: a name in `SIGNALS`. window: over which it is averaged [s]. width: what counts as 1, of
    each number of a state ('state', 'still') or an action ('seams'). step: between two targets of a
    chunk [s]. limits: by instruction. rows (N, S): states of demonstrations, of 'state'.
    """

    signal: str
    window: float
    step: float
    width: tuple[float, ...]
    limits: Mapping[str, SurpriseLimit]
    rows: tuple[tuple[float, ...], ...] = ()

    def save(self, path: Path) -> None:
        """Writes surprise.json."""
        path.write_text(json.dumps(asdict(self), indent=1) + '\n')

    @classmethod
    def load(cls, path: Path) -> SurpriseCalibration:
        """Reads it. ValueError says what is wrong with it."""
        try:
            values = json.loads(path.read_text())
            limits = {name: SurpriseLimit(**limit) for name, limit in values.pop('limits').items()}
            values |= {'width': tuple(values['width']), 'rows': tuple(map(tuple, values['rows']))}
            calibration = cls(**values, limits=limits)
            signal_of(calibration)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{path}: {error or type(error).__name__}; make it again with `dit4dit surprise`'
            ) from None
        return calibration


class Signal(Protocol):
    """How odd the moments of one episode are, a number each."""

    def __call__(self, moment: Instant) -> float:
        """Of the next moment; NaN where there is nothing to say."""


class ImaginedSignal:
    """How far what came is from what was imagined of it, beside how far it is from what was."""

    def __init__(self, calibration: SurpriseCalibration) -> None:
        self._seen: deque[Instant] = deque()
        self._expected: deque[tuple[float, float, Array]] = deque()

    def expect(self, begun: float, ahead: float, encoding: Array) -> None:
        """What was imagined from the moment of the stamp `begun`, of `ahead` [s] after it."""
        self._expected.append((begun, begun + ahead, encoding))

    def __call__(self, moment: Instant) -> float:
        self._seen.append(moment)
        while self._seen[0].stamp < moment.stamp - _KEPT:
            self._seen.popleft()
        value = math.nan
        while self._expected and self._expected[0][1] <= moment.stamp + NEAR:
            begun, due, imagined = self._expected.popleft()
            before, now = self._at(begun), self._at(due)
            if before and now:
                came = _rms(now.encoding - imagined)
                value = came / (_rms(now.encoding - before.encoding) + _STILL)
        return value

    def _at(self, stamp: float) -> Instant | None:
        near = min(self._seen, key=lambda moment: abs(moment.stamp - stamp))
        return near if abs(near.stamp - stamp) <= NEAR else None


class StateSignal:
    """How far the state is from the nearest one that was demonstrated."""

    def __init__(self, calibration: SurpriseCalibration) -> None:
        self._width = np.array(calibration.width)
        self._rows = np.array(calibration.rows) / self._width
        if self._rows.shape[1:] != self._width.shape:
            raise ValueError(
                f'expected rows of {len(self._width)} numbers, got {self._rows.shape[1:]}'
            )

    def __call__(self, moment: Instant) -> float:
        apart = self._rows - moment.state / self._width
        return float(np.sqrt(np.einsum('ns,ns->n', apart, apart).min() / len(self._width)))


class SeamsSignal:
    """How far a chunk is from the one before, at the times that they share."""

    def __init__(self, calibration: SurpriseCalibration) -> None:
        self._width, self._step = np.array(calibration.width), calibration.step
        self._before: Instant | None = None

    def __call__(self, moment: Instant) -> float:
        before, self._before = self._before, moment
        if before is None:
            return math.nan
        known = np.arange(len(before.targets))
        places = np.arange(len(moment.targets)) + (moment.stamp - before.stamp) / self._step
        shared = places <= known[-1] + 1e-6
        planned = [np.interp(places[shared], known, column) for column in before.targets.T]
        return _rms((moment.targets[shared].T - planned) / self._width[:, None])


class StillSignal:
    """How little the state has moved in the last second: 1 where it has not, 0.5 at `_SLOW`."""

    def __init__(self, calibration: SurpriseCalibration) -> None:
        self._width = np.array(calibration.width)
        self._seen: deque[Instant] = deque()

    def __call__(self, moment: Instant) -> float:
        self._seen.append(moment)
        if moment.stamp - self._seen[0].stamp < _SECOND:
            return math.nan
        while len(self._seen) > 1 and moment.stamp - self._seen[1].stamp >= _SECOND:
            self._seen.popleft()
        return _SLOW / (_SLOW + _rms((moment.state - self._seen[0].state) / self._width))


SIGNALS: dict[str, Callable[[SurpriseCalibration], Signal]] = {
    'imagined': ImaginedSignal,
    'state': StateSignal,
    'seams': SeamsSignal,
    'still': StillSignal,
}

#: What each of them says where it is high.
MEANINGS = {
    'imagined': 'what comes is not what it imagined',
    'state': 'the arms are where no demonstration had them',
    'seams': 'its chunks contradict each other',
    'still': 'it stands still: stuck, or done',
}


def signal_of(calibration: SurpriseCalibration) -> Signal:
    """The signal of a calibration, at the begin of an episode. ValueError names those there are."""
    if calibration.signal not in SIGNALS:
        raise ValueError(f"expected one of {', '.join(SIGNALS)}, got '{calibration.signal}'")
    return SIGNALS[calibration.signal](calibration)


class Surprise:
    """A signal in the mean of the last window, of one episode."""

    def __init__(self, calibration: SurpriseCalibration) -> None:
        self._signal = signal_of(calibration)
        self._window = calibration.window
        self._begun: float | None = None
        self._values: deque[tuple[float, float]] = deque()

    def expect(self, begun: float, ahead: float, encoding: Array) -> None:
        """What was imagined from the moment of the stamp `begun`, of `ahead` [s] after it."""
        if isinstance(self._signal, ImaginedSignal):
            self._signal.expect(begun, ahead, encoding)

    def __call__(self, moment: Instant) -> float:
        """With the next moment; NaN before a window is over, or where it has nothing to say."""
        stamp, value = moment.stamp, self._signal(moment)
        if self._begun is None:
            self._begun = stamp
        if not math.isnan(value):
            self._values.append((stamp, value))
        while self._values and self._values[0][0] < stamp - self._window:
            self._values.popleft()
        if stamp - self._begun < self._window or not self._values:
            return math.nan
        return float(np.mean([value for _, value in self._values]))


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
