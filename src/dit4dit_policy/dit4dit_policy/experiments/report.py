"""What an experiment has found: a table, and a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dit4dit_policy.evaluation.statistics import wilson_interval
from dit4dit_policy.experiments.experiment import Experiment, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table


@dataclass(frozen=True)
class Answer:
    """An arm, all seeds together. Lists have a number a seed, as far as there are some."""

    arm: str
    error: list[float]
    video: list[float]
    silhouette: list[float]
    attempts: int
    successes: int
    stages: Counter[str]

    @classmethod
    def of(cls, arm: str, results: Sequence[Result]) -> Answer:
        """Of the results of all arms, those of `arm`."""
        own = [result for result in results if result.arm == arm]
        return cls(
            arm,
            [result.error for result in own],
            [result.video for result in own if result.video is not None],
            [result.silhouette for result in own if result.silhouette is not None],
            sum(result.attempts for result in own),
            sum(result.successes for result in own),
            sum((Counter(result.stages) for result in own), Counter()),
        )

    def cells(self) -> list[str]:
        """Texts of a table: arm, and `COLUMNS`."""
        success = ''
        if self.attempts:
            low, high = wilson_interval(self.successes, self.attempts)
            success = f'{self.successes}/{self.attempts} ({low:.0%} to {high:.0%})'
        stages = ', '.join(f'{count} {stage}' for stage, count in self.stages.most_common())
        numbers = (_spread(self.error, 4), _spread(self.video, 3), success, stages)
        return [self.arm, str(len(self.error)), *numbers, _spread(self.silhouette, 3)]


COLUMNS = (
    'seeds',
    'held-out error [rad]',
    'held-out video loss',
    'success',
    'how far the others came',
    'silhouette',
)


def report_table(experiment: Experiment, rows: Sequence[Answer]) -> Table:
    """For people at a terminal; empty columns are left out."""
    from rich.markup import escape
    from rich.table import Table

    cells = [row.cells() for row in rows]
    shown = [i for i in range(len(COLUMNS)) if any(line[i + 1] for line in cells)]
    table = Table(title=experiment.question)
    table.add_column(experiment.x)
    for index in shown:
        table.add_column(escape(COLUMNS[index]), justify='right')
    for line in cells:
        table.add_row(line[0], *(line[i + 1] for i in shown))
    return table


def markdown(experiment: Experiment, rows: Sequence[Answer]) -> str:
    """The same table for a document."""
    cells = [row.cells() for row in rows]
    shown = [i for i in range(len(COLUMNS)) if any(line[i + 1] for line in cells)]
    lines = [[experiment.x, *(COLUMNS[i] for i in shown)], ['---'] * (len(shown) + 1)]
    lines += [[line[0], *(line[i + 1] for i in shown)] for line in cells]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def draw(experiment: Experiment, rows: Sequence[Answer], path: Path) -> None:
    """Error of each seed and its mean, and how far attempts came."""
    from matplotlib.figure import Figure

    panels = ['error'] + ['stages'] * any(r.attempts for r in rows)
    panels += ['silhouette'] * any(r.silhouette for r in rows)
    figure = Figure(figsize=(4.5 * len(panels), 3.5), layout='constrained')
    places = np.arange(len(rows))
    for axis, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        if panel == 'stages':
            _draw_stages(axis, rows)
        else:
            values = [getattr(row, panel) for row in rows]
            for place, found in zip(places, values, strict=True):
                axis.plot([place] * len(found), found, 'C0.', alpha=0.6)
            means = [np.mean(found) if found else np.nan for found in values]
            axis.plot(places, means, 'C0_', markersize=16)
            axis.set_ylabel('held-out error [rad]' if panel == 'error' else panel)
        axis.set_xticks(places, [row.arm for row in rows], rotation=30, ha='right')
        axis.set_xlabel(experiment.x)
    figure.suptitle(experiment.question, fontsize=10)
    figure.savefig(path, dpi=120)


def _draw_stages(axis: Axes, rows: Sequence[Answer]) -> None:
    """Successes, with their 95 % interval, below; above them the other stages.

    What fewer attempts reach is taken to be further.
    """
    tried = [(place, row) for place, row in enumerate(rows) if row.attempts]
    places = [place for place, _ in tried]
    rates = np.array([row.successes / row.attempts for _, row in tried])
    ends = np.array([wilson_interval(row.successes, row.attempts) for _, row in tried])
    axis.bar(places, rates, color='C2', label='success')
    axis.errorbar(places, rates, yerr=np.abs(ends.T - rates), fmt='none', color='k', capsize=3)
    failed: Counter[str] = sum((row.stages for _, row in tried), Counter())
    reached = rates.copy()
    for index, (stage, _) in enumerate(reversed(failed.most_common())):
        share = np.array([row.stages[stage] / row.attempts for _, row in tried])
        grey = str(0.45 + 0.5 * index / len(failed))
        axis.bar(places, share, bottom=reached, color=grey, label=stage)
        reached += share
    axis.set_ylim(0, 1)
    axis.set_ylabel('how far attempts came')
    axis.legend(fontsize=7, loc='upper right')


def draw_features(experiment: Experiment, results: Sequence[Result], path: Path) -> None:
    """The first seed's features of every arm, in the plane, coloured by the phase of the task."""
    from matplotlib.figure import Figure

    from dit4dit_policy.experiments.phases import flattened, read_phases
    from dit4dit_policy.inference.shipped import load_policy

    first = [result for result in results if result.seed == results[0].seed]
    roots = list(experiment.train['datasets'])
    figure = Figure(figsize=(3.2 * len(roots), 3.2 * len(first)), layout='constrained')
    axes = figure.subplots(len(first), len(roots), squeeze=False)
    for row, result in zip(axes, first, strict=True):
        policy = load_policy(result.checkpoint)
        for axis, root in zip(row, roots, strict=True):
            found = read_phases(policy, Path(root))
            x, y = flattened(found.features).T
            axis.scatter(x, y, c=found.phase, s=5, cmap='viridis')
            axis.set_title(f'{result.arm}, {found.task}: {found.silhouette:.2f}', fontsize=8)
            axis.set_xticks([])
            axis.set_yticks([])
    figure.savefig(path, dpi=120)


def _spread(values: Sequence[float], digits: int) -> str:
    """The mean, and the least and the largest where there are several."""
    if not values:
        return ''
    mean = f'{np.mean(values):.{digits}f}'
    if len(values) == 1:
        return mean
    return f'{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})'
