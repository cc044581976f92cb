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
    attempts: str = 'of',
) -> Table:
    """A row a task, a last one of all together where there are several.

    more: names of the further columns. attempts: name of the column of how many there were.
    """
    table = Table(title=title, padding=(0, 1, 0, 0))  # for a terminal of 80 columns
    longest = max((len(row.name) for row in rows), default=0)
    table.add_column('task', overflow='fold', no_wrap=longest <= 18)
    for name in ('done', attempts, 'rate', '95 %\nCI', 'time\n\\[s]', *more):
        table.add_column(name, justify='right', no_wrap='CI' not in name)
    shown = [*rows, total] if total and len(rows) > 1 else rows
    for index, row in enumerate(shown):
        low, high = wilson_interval(row.successes, row.attempts)
        table.add_row(
            row.name,
            str(row.successes),
            str(row.attempts),
            f'{100 * row.successes / row.attempts:.1f} %' if row.attempts else '',
            f'{100 * low:.0f} to {100 * high:.0f} %',
            '' if row.seconds is None else f'{row.seconds:.1f}',
            *row.more,
            end_section=index == len(rows) - 1,
        )
    return table
