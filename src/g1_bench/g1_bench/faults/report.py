"""Outcomes for people."""

from __future__ import annotations

from rich.table import Table

from g1_bench.faults.fault import Outcome


def line(outcome: Outcome) -> str:
    """One outcome, as it comes."""
    mark = '[green]ok[/]' if outcome.holds else '[bold red]NO[/]'
    took = '–' if outcome.milliseconds is None else f'{outcome.milliseconds:.0f} ms'
    return f'{mark} {outcome.name}: {outcome.seen} ({took})'


def table(outcomes: list[Outcome]) -> Table:
    """All of them."""
    result = Table(title='faults and what the system makes of them')
    for name in ('fault', 'expected', 'seen'):
        result.add_column(name)
    for name in ('ms', 'allowed', 'rad/s', 'rad/s²', ''):
        result.add_column(name, justify='right')
    for o in outcomes:
        took = '–' if o.milliseconds is None else f'{o.milliseconds:.0f}'
        moved = (f'{o.velocity:.2f}', f'{o.acceleration:.1f}') if o.commands else ('–', '–')
        mark = '[green]ok' if o.holds else '[bold red]NO'
        result.add_row(
            o.name, o.expected, o.seen, took, f'{o.allowed_milliseconds:.0f}', *moved, mark
        )
    return result
