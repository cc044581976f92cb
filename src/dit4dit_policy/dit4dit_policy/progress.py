"""How far long work is: a bar on a terminal, elsewhere, as in a log file, a line a minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

#: Wraps an iterable in a progress bar: (items, what they are, how many).
Track = Callable[[Iterable[Any], str, int], Iterable[Any]]
_LINE_EVERY = 60.0  # seconds


class ProgressBar(Progress):
    """Rich's, and where it could not draw over its line it prints one a minute."""

    _printed: float

    def start(self) -> None:
        """Begins to show it."""
        self._printed = time.monotonic()
        super().start()

    def advance(self, *args: Any, **changes: Any) -> None:
        """As Rich's."""
        super().advance(*args, **changes)
        self._print_line()

    def update(self, *args: Any, **changes: Any) -> None:
        """As Rich's."""
        super().update(*args, **changes)
        self._print_line()

    def _print_line(self) -> None:
        now = time.monotonic()
        if not self.console.is_terminal and now - self._printed >= _LINE_EVERY:
            self._printed = now
            self.console.print(self.get_renderable())


def steps_bar(console: Console) -> ProgressBar:
    """What is done, how many of how many, how long that took and how long the rest takes."""
    return ProgressBar(
        SpinnerColumn(),
        TextColumn('{task.description}'),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def attempts_bar(console: Console, counted: str) -> ProgressBar:
    """Attempts, and in the task's field `done` how many of them ended as `counted` says."""
    return ProgressBar(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('{task.fields[done]} ' + counted),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def tracker(console: Console) -> Track:
    """A `Track` on that console."""

    def track(items: Iterable[Any], what: str, count: int) -> Iterable[Any]:
        with steps_bar(console) as bar:
            yield from bar.track(items, total=count, description=what)

    return track
