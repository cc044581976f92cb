"""What a training shows while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console
from rich.progress import (
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

#: Wraps an iterable in a progress bar: (items, what they are, how many).
Track = Callable[[Iterable[Any], str, int], Iterable[Any]]


def progress_bar(log: Console) -> Progress:
    """A line with what is done, how far, and how long it takes."""
    columns = (
        SpinnerColumn(),
        TextColumn('{task.description}'),
        TextColumn('{task.completed}/{task.total}'),
    )
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=log)


def tracker(log: Console) -> Track:
    """A `Track` on that console."""

    def track(items: Iterable[Any], what: str, count: int) -> Iterable[Any]:
        with progress_bar(log) as bar:
            yield from bar.track(items, total=count, description=what)

    return track


def losses_line(losses: dict[str, float]) -> str:
    """The newest losses, for a progress bar."""
    return 'training  ' + '  '.join(f'{k} {v:.3f}' for k, v in losses.items())
