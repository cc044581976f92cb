"""`g1 bench soak`: which gaps it finds, and what it takes for their causes."""

import pytest

from g1_bench.benchmarks.soak import Heard, gaps, grows

PERIOD = 0.004


def commands(*pauses, weight=1.0, lost=0):
    """Each so long after the one before [s]; `lost` numbers are left out before the last."""
    heard, sent, came = [Heard(50.0, 100.0, 1, weight)], 50.0, 100.0
    for pause in pauses:
        sent, came = sent + pause, came + pause
        heard.append(Heard(sent, came, heard[-1].number + 1, weight))
    last = heard.pop()
    return [*heard, Heard(last.sent, last.came, last.number + lost, weight)]


def causes(heard, steps=(), late=()):
    return [gap.cause for gap in gaps(heard, list(steps), list(late))]


def test_even_commands_have_no_gap_and_a_late_one_is_one():
    assert gaps(commands(PERIOD, PERIOD, 0.019), [], []) == []
    (gap,) = gaps(commands(PERIOD, 0.05), [], [])
    assert gap.seconds == pytest.approx(0.05)


def test_arms_that_nobody_has_been_given_have_no_gaps():
    assert gaps(commands(PERIOD, 5.0, weight=0.0), [], []) == []


def test_the_cause_is_the_first_that_fits():
    late = commands(PERIOD, 0.05)
    assert causes(late) == ['control']
    assert causes(late, late=[(100.03, 0.04)]) == ['computer']
    assert causes(late, steps=[100.01], late=[(100.03, 0.04)]) == ['clock step']
    assert causes(commands(PERIOD, 0.05, lost=11), steps=[100.01]) == ['not heard']
    assert causes(late, steps=[90.0], late=[(101.0, 0.04)]) == ['control']


@pytest.mark.parametrize('seconds', [-20.0, 20.0])
def test_a_step_of_the_clock_is_no_gap_by_itself(seconds):
    first, second = commands(PERIOD)
    assert gaps([first, Heard(second.sent + seconds, second.came, 2, 1.0)], [100.0], []) == []


def test_memory_is_flat_but_for_a_little():
    assert not grows(200.0, 204.9)
    assert not grows(400.0, 411.0)
    assert grows(200.0, 210.0)
