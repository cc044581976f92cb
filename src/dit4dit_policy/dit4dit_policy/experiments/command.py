"""`dit4dit experiment FILE`: asks a small model a question, see config/experiments."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `dit4dit experiment`."""
    parser.add_argument('file', type=Path, metavar='FILE', help='as config/experiments/*.yaml')
    parser.add_argument(
        '--out', type=Path, default=Path('runs/experiments'), metavar='DIR',
        help='gets NAME/ with results.json, table.md and the pictures, and trainings/, which all '
        'experiments there share; what was interrupted goes on (default: runs/experiments)',
    )  # fmt: skip
    parser.add_argument(
        '--share', type=float, default=1.0, metavar='S',
        help='of the steps of each training and the episodes of each trial: 0.1 for a first look '
        '(default: 1)',
    )  # fmt: skip
    parser.add_argument(
        '--seeds', type=int, metavar='N', help='only the first N seeds (default: all in the file)'
    )
    parser.add_argument(
        '--workers', type=int, default=os.cpu_count() or 1, metavar='N',
        help='processes that try a policy (default: one a core)',
    )  # fmt: skip


def main(arguments: argparse.Namespace) -> int:
    """Runs it; ValueError or FileNotFoundError says what is wrong with file or arguments."""
    from dataclasses import replace

    from rich.console import Console

    from dit4dit_policy.experiments import report
    from dit4dit_policy.experiments.experiment import Experiment
    from dit4dit_policy.experiments.runner import run

    seeds = arguments.seeds
    if not 0 < arguments.share <= 1 or arguments.workers < 1 or (seeds is not None and seeds < 1):
        raise ValueError(
            'expected a --share above 0 to 1 and at least 1 of --workers and of --seeds, got '
            f'{arguments.share:g}, {arguments.workers} and {seeds}'
        )
    experiment = Experiment.read(arguments.file).scaled(arguments.share)
    if seeds is not None:
        experiment = replace(experiment, seeds=experiment.seeds[:seeds])
    out = arguments.out / experiment.name
    out.mkdir(parents=True, exist_ok=True)
    console, results = Console(), []
    for result in run(experiment, arguments.out / 'trainings', arguments.workers):
        results.append(result)
        rows = [report.Answer.of(arm, results) for arm in experiment.arms]
        rows = [row for row in rows if row.error]
        lines = [r.to_dict() for r in results]
        (out / 'results.json').write_text(json.dumps(lines, indent=2) + '\n')
        (out / 'table.md').write_text(report.markdown(experiment, rows))
        report.draw(experiment, rows, out / 'result.png')
        console.print(f'{result.arm}, seed {result.seed}: error {result.error:.4f} rad')
    console.print(report.report_table(experiment, rows))
    if experiment.features:
        report.draw_features(experiment, results, out / 'features.png')
    console.print(f'{out / "table.md"}', soft_wrap=True)
    return 0
