"""How far long work is, as a log file is told."""

import io
from itertools import count
from types import SimpleNamespace

import pytest
from rich.console import Console

from dit4dit_policy import progress


@pytest.fixture
def half_minutes(monkeypatch):
    """Whenever the clock is looked at, half a minute has passed."""
    clock = count(0, 30)
    monkeypatch.setattr(progress, 'time', SimpleNamespace(monotonic=lambda: next(clock)))


def shown():
    """What a log file gets of six attempts."""
    file = io.StringIO()
    with progress.attempts_bar(Console(file=file), 'succeeded') as bar:
        task = bar.add_task('attempts', total=6, done=0)
        for step in range(6):
            bar.update(task, advance=1, done=step // 2)
    return file.getvalue().splitlines()


def test_a_log_file_gets_a_line_a_minute_and_the_end(half_minutes):
    lines = shown()
    counts = [next(word for word in line.split() if '/' in word) for line in lines]
    assert counts == ['2/6', '4/6', '6/6', '6/6']
    assert all('succeeded' in line for line in lines)


def test_a_quick_thing_is_told_in_a_log_file_once():
    assert len(shown()) == 1


def test_items_are_tracked():
    file = io.StringIO()
    track = progress.tracker(Console(file=file))
    assert list(track(iter('abcd'), 'encoding', 4)) == list('abcd')
    assert 'encoding 4/4' in ' '.join(file.getvalue().split())
