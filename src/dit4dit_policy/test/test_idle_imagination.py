"""What comes next is imagined between chunks, in pieces, and never beyond the time that is left."""

import numpy as np
import pytest

from dit4dit_policy.inference.chunk_policy import Future, Observation
from dit4dit_policy.nodes import idle_imagination
from dit4dit_policy.nodes.idle_imagination import IdleImagination
from dit4dit_policy.nodes.inference_thread import Seen

PIECES = 5
GAP = 0.1  # [s] between two chunks
FUTURE = Future(0.8, np.zeros((2, 2, 3), np.uint8), np.zeros(1, np.float32))


class Clock:
    """Time that passes only where somebody works."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


class Imaginative:
    imagines = True

    def __init__(self, clock, piece):
        self.clock, self.piece = clock, piece
        self.asked = []

    def imagination(self, observation, steps):
        self.asked.append(observation.stamp)
        for k in range(PIECES):
            self.clock.now += self.piece
            yield FUTURE if k == PIECES - 1 else None


class Between:
    """Calls `work` after one chunk after the other."""

    def __init__(self, monkeypatch, piece, policy=Imaginative):
        self.clock = Clock()
        monkeypatch.setattr(idle_imagination, 'time', self.clock)
        self.policy = policy(self.clock, piece)
        self.watched, self.count = True, 0
        self.shown: list[tuple[int, float]] = []
        self.said: list[str] = []
        self.imagination = IdleImagination(
            self.policy,
            lambda: self.watched,
            lambda seen, future: self.shown.append((seen.stamp, future.ahead)),
            self.said.append,
        )

    def chunks(self, count):
        for _ in range(count):
            self.count += 1
            seen = Seen(Observation({}, np.zeros(0), '', float(self.count)), self.count, 0.0)
            until = self.clock.now + GAP
            self.imagination.work(seen, until)
            assert self.clock.now <= until
            self.clock.now = until


@pytest.mark.parametrize('piece, each', [(0.01, 1), (0.03, 3), (0.05, 5)])
def test_an_imagination_takes_as_many_gaps_as_its_pieces_need(monkeypatch, piece, each):
    between = Between(monkeypatch, piece)
    between.chunks(200)
    stamps = [stamp for stamp, _ in between.shown]
    assert np.median(np.diff(stamps)) == each
    assert between.policy.asked[: len(stamps)] == stamps  # each of what was seen as it began


def test_pieces_that_never_fit_are_never_begun(monkeypatch):
    between = Between(monkeypatch, 0.2)
    between.imagination._piece = 0.2
    between.chunks(3)
    assert not between.policy.asked


def test_nothing_is_imagined_for_nobody_and_nothing_old_is_finished(monkeypatch):
    between = Between(monkeypatch, 0.03)
    between.watched = False
    between.chunks(5)
    assert not between.policy.asked
    between.watched = True
    between.chunks(1)
    while not between.policy.asked:  # until a piece is expected to fit
        between.chunks(1)
    between.watched = False
    between.chunks(1)
    between.watched = True
    between.chunks(20)
    assert between.shown[0][0] != between.policy.asked[0]


def test_chunks_go_on_without_an_imagination_that_fails(monkeypatch):
    class Failing(Imaginative):
        def imagination(self, observation, steps):
            raise RuntimeError('no memory')

    between = Between(monkeypatch, 0.01, Failing)
    between.chunks(100)
    assert between.said == ['imagines no more: RuntimeError: no memory']


def test_a_policy_that_does_not_imagine_is_not_asked(monkeypatch):
    between = Between(monkeypatch, 0.01)
    between.policy.imagines = False
    imagination = IdleImagination(
        between.policy, lambda: True, lambda seen, future: None, between.said.append
    )
    imagination.work(Seen(Observation({}, np.zeros(0), ''), 0, 0.0), between.clock.now + GAP)
    assert not between.policy.asked
