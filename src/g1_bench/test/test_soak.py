"""`g1 bench soak`: which gaps it finds, and what it takes for their causes."""

import os
import threading

import pytest

from g1_bench.benchmarks.soak import Heard, gaps, grows
from g1_bench.benchmarks.thread_times import ThreadTimes, explained
from g1_ros.real_time import name_thread
from g1_test_support.waiting import wait_until

PERIOD = 0.004


def commands(*pauses, weight=1.0, lost=0):
    """Each so long after the one before [s]; `lost` numbers are left out before the last."""
    heard, sent, came = [Heard(50.0, 100.0, 1, weight)], 50.0, 100.0
    for pause in pauses:
        sent, came = sent + pause, came + pause
        heard.append(Heard(sent, came, heard[-1].number + 1, weight))
    last = heard.pop()
    return [*heard, Heard(last.sent, last.came, last.number + lost, weight)]


def looks(**during):
    """Thread times every 20 ms from 99 to 102 s, usual but for what happened from 100 to 100.06."""
    during = {'computed': 0.0, 'waited': 0.05, **during}
    found, sums = (
        [],
        dict.fromkeys(('computed', 'waited', 'others_computed', 'others_waited', 'stolen'), 0.0),
    )
    for k in range(151):
        found.append(ThreadTimes(99.0 + 0.02 * k, **sums))
        for name in sums:
            sums[name] += 0.002 if name.endswith('computed') else 0.0
            sums[name] += during.get(name, 0.0) if k == 51 else 0.0
    return found


def causes(heard, steps=(), late=()):
    return [gap.cause for gap in gaps(heard, list(steps), list(late), looks())]


def test_even_commands_have_no_gap_and_a_late_one_is_one():
    assert gaps(commands(PERIOD, PERIOD, 0.019), [], [], []) == []
    (gap,) = gaps(commands(PERIOD, 0.05), [], [], [])
    assert gap.seconds == pytest.approx(0.05)


def test_arms_that_nobody_has_been_given_have_no_gaps():
    assert gaps(commands(PERIOD, 5.0, weight=0.0), [], [], []) == []


def test_the_cause_is_the_first_that_fits():
    late = commands(PERIOD, 0.05)
    assert causes(late) == ['no processor']
    assert causes(late, late=[(100.03, 0.04)]) == ['computer']
    assert causes(late, steps=[100.01], late=[(100.03, 0.04)]) == ['clock step']
    assert causes(commands(PERIOD, 0.05, lost=11), steps=[100.01]) == ['not heard']
    assert causes(late, steps=[90.0], late=[(101.0, 0.04)]) == ['no processor']


@pytest.mark.parametrize('seconds', [-20.0, 20.0])
def test_a_step_of_the_clock_is_no_gap_by_itself(seconds):
    first, second = commands(PERIOD)
    assert gaps([first, Heard(second.sent + seconds, second.came, 2, 1.0)], [100.0], [], []) == []


def test_memory_is_flat_but_for_a_little():
    assert not grows(200.0, 204.9)
    assert not grows(400.0, 411.0)
    assert grows(200.0, 210.0)


@pytest.mark.parametrize(
    ('during', 'cause'),
    [
        ({'waited': 0.05}, 'no processor'),
        ({'stolen': 0.05}, 'no processor'),
        ({'others_waited': 0.05}, 'no processor'),
        ({'computed': 0.05}, 'computes'),
        ({'others_computed': 0.05}, 'its other threads compute'),
        ({'waited': 0.01, 'others_computed': 0.01}, 'sleeps'),
    ],
)
def test_what_the_threads_did_explains_a_gap(during, cause):
    assert explained(looks(**{'waited': 0.0, **during}), 100.004, 100.054)[0] == cause


def test_a_gap_that_nobody_looked_at_is_not_explained():
    assert explained(looks(), 98.0, 98.05)[0] == 'not looked at'
    assert explained([], 98.0, 98.05)[0] == 'not looked at'


def test_times_are_those_of_the_thread_of_that_name():
    stop = threading.Event()

    def count():
        name_thread('counts')
        while not stop.is_set():
            pass

    thread = threading.Thread(target=count)
    thread.start()
    try:
        wait_until(lambda: ThreadTimes.now(os.getpid(), 'counts').computed > 0.2, 'its time')
    finally:
        stop.set()
        thread.join()
    # The kernel may keep a thread for a moment after its end.
    wait_until(lambda: ThreadTimes.now(os.getpid(), 'counts').computed == 0.0, 'its end')
    assert ThreadTimes.now(os.getpid(), 'counts').others_computed > 0.0
    assert ThreadTimes.now(2**22, 'counts') is None
