"""How often tasks were done and with what certainty, as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from dit4dit_policy.evaluation.statistics import wilson_interval


@dataclass(frozen=True)
class Successes:
    """A row: attempts at what `name` says, and how many succeeded.

    seconds: mean time of those, if any [s]. more: texts of the further columns.
    """

    name: str
    attempts: int
    successes: int
    seconds: float | None = None
    more: tuple[str, ...] = ()


def success_table(
    title: str,
    rows: Sequence[Successes],
    more: Sequence[str] = (),
    total: Successes | None = None,
    attempts: str = 'episodes',
) -> Table:
    """A row a task, a last one of all together where there are several.

    more: names of the further columns. attempts: what the attempts are called.
    """
    table = Table(title=title, padding=(0, 1, 0, 0))  # for a terminal of 80 columns
    longest = max((len(row.name) for row in rows), default=0)
    table.add_column('task', overflow='fold', no_wrap=longest <= 18)
    columns = (attempts, 'succeeded', 'success\nrate', '95 %\ninterval', 'time\n\\[s]', *more)
    for name in columns:
        table.add_column(name, justify='right')
    shown = [*rows, total] if total and len(rows) > 1 else rows
    for index, row in enumerate(shown):
        low, high = wilson_interval(row.successes, row.attempts)
        table.add_row(
            row.name,
            str(row.attempts),
            str(row.successes),
            f'{row.successes / row.attempts:.1%}' if row.attempts else '',
            f'{low:.1%} to {high:.1%}',
            '' if row.seconds is None else f'{row.seconds:.1f}',
            *row.more,
            end_section=index == len(rows) - 1,
        )
    return table
