"""`dit4dit eval --compare A B`: two evaluations of the same scenes, scene by scene."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dit4dit_policy.evaluation.statistics import sign_test, wilson_interval

if TYPE_CHECKING:
    from rich.table import Table

Scene = tuple[str, str, int]  # variant, task, seed


@dataclass(frozen=True)
class Pairs:
    """Attempts of the same scenes by A and by B: how many each did, and which only one did."""

    name: str
    scenes: int
    a: int
    b: int
    only_a: int
    only_b: int

    @property
    def p_value(self) -> float:
        """Of the sign test: see `sign_test`."""
        return sign_test(self.only_b, self.only_a)


def read_results(place: Path) -> dict[str, Any]:
    """Results of an evaluation: its folder, or the file. ValueError says what it is not."""
    file = place / 'results.json' if place.is_dir() else place
    if not file.is_file():
        raise FileNotFoundError(f'--compare: expected results.json of an evaluation, {file}')
    result = json.loads(file.read_text())
    if not isinstance(result, dict) or 'results' not in result:
        raise ValueError(f'--compare: {file} is no result of dit4dit eval')
    return result


def paired(a: dict[str, Any], b: dict[str, Any]) -> list[Pairs]:
    """A row a task of the scenes that both attempted, all together last where there are several.

    ValueError where there are none.
    """
    done_a, done_b = _by_scene(a), _by_scene(b)
    scenes = sorted(done_a.keys() & done_b.keys())
    if not scenes:
        raise ValueError('--compare: expected attempts at the same scenes, there are none')
    names = list(dict.fromkeys(task for _, task, _ in scenes))
    rows = [
        _count(name, [(done_a[s], done_b[s]) for s in scenes if s[1] == name]) for name in names
    ]
    if len(rows) > 1:
        rows.append(_count('all', [(done_a[s], done_b[s]) for s in scenes]))
    return rows


def comparison_table(titles: tuple[str, str], rows: Sequence[Pairs]) -> Table:
    """For people: rates with their 95 % intervals, and how likely chance alone is."""
    from rich.table import Table

    table = Table(title=f'A: {titles[0]}\nB: {titles[1]}')
    table.add_column('task')
    for name in ('scenes', 'A', 'B', 'only A', 'only B', 'p'):
        table.add_column(name, justify='right')
    for row in rows:
        cells = [_rate(done, row.scenes) for done in (row.a, row.b)]
        counts = (str(row.only_a), str(row.only_b), f'{row.p_value:.3f}')
        table.add_row(row.name, str(row.scenes), *cells, *counts)
    table.caption = 'p: chance of such unequal pairs were both alike (sign test, two-sided)'
    return table


def _by_scene(result: dict[str, Any]) -> dict[Scene, bool]:
    return {
        (result.get('variant') or '', row['task'], row['seed']): bool(row['success'])
        for row in result['results']
    }


def _count(name: str, pairs: Sequence[tuple[bool, bool]]) -> Pairs:
    return Pairs(
        name,
        len(pairs),
        sum(a for a, _ in pairs),
        sum(b for _, b in pairs),
        sum(a and not b for a, b in pairs),
        sum(b and not a for a, b in pairs),
    )


def _rate(done: int, scenes: int) -> str:
    low, high = wilson_interval(done, scenes)
    return f'{done} ({low:.0%} to {high:.0%})'
