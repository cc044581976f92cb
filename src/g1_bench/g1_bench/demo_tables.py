"""What became of a demo, for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from dit4dit_policy.evaluation.statistics import wilson_interval


def run_table(content: dict[str, Any], folder: Path) -> Table:
    """One run, from the content of its report.json."""
    chunks, commands = content['chunks'], content['commands']
    trained = 'trained' if content['trained'] else 'UNTRAINED'
    table = Table(title=f'{content["task"]}, seed {content["seed"]}', show_header=False)
    rows = {
        'success': 'yes' if content['success'] else 'no',
        'checkpoint': f'{content["checkpoint"]} ({trained})',
        'real-time factor': content['real_time_factor'],
        'chunks': f'{chunks["count"]}, {chunks["rate_hz"]} Hz, {chunks["rejected"]} rejected',
        'observation age': f'p50 {_ms(chunks["observation_age_p50_s"])}, '
        f'p95 {_ms(chunks["observation_age_p95_s"])}',
        'commands': f'{commands["rate_hz"]} Hz, jitter p50 {_ms(commands["jitter_p50_s"])}, '
        f'p99 {_ms(commands["jitter_p99_s"])}',
        'largest gap': f'{_ms(commands["largest_gap_s"])}, '
        f'{commands["deadlines_missed"]} deadlines missed',
        'clamps, holds': f'{commands["clamps"]}, {commands["holds"]}',
        'largest step': '{value} rad, {joint}'.format(**commands['largest_step_rad']),
        'largest velocity': '{value} rad/s, {joint}'.format(**commands['largest_velocity_rad_s']),
        **{topic: f'{rate} Hz' for topic, rate in content['rates_hz'].items()},
        'folder': str(folder),
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


def success_table(contents: list[dict[str, Any]]) -> Table:
    """Several runs, and how many succeeded."""
    done = [content for content in contents if content['success']]
    low, high = wilson_interval(len(done), len(contents))
    table = Table(title=f'{contents[0]["checkpoint"]}: {contents[0]["task"]}, over ROS')
    columns = ('seed', 'success', 'time \\[s]', 'real-time factor', 'chunks', 'observation age')
    for name in (*columns, 'rejected', 'holds'):
        table.add_column(name, justify='right')
    for content in contents:
        chunks = content['chunks']
        table.add_row(
            str(content['seed']),
            'yes' if content['success'] else 'no',
            '' if content['success_time_s'] is None else f'{content["success_time_s"]:.1f}',
            str(content['real_time_factor']),
            f'{chunks["rate_hz"]} Hz',
            f'{_ms(chunks["observation_age_p50_s"])}, {_ms(chunks["observation_age_p95_s"])}',
            str(chunks['rejected']),
            str(content['commands']['holds']),
        )
    table.caption = (
        f'{len(done)} of {len(contents)} succeeded: {len(done) / len(contents):.0%}, '
        f'95 % interval {low:.0%} to {high:.0%}; age: p50, p95'
    )
    return table


def _ms(seconds: float | None) -> str:
    return '–' if seconds is None else f'{seconds * 1e3:.3g} ms'
