"""`dit4dit surprise`: what would have warned of failures, how early, and how often for nothing."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dit4dit_policy.evaluation.statistics import (
    auroc,
    auroc_interval,
    conformal_limit,
    wilson_interval,
)
from dit4dit_policy.evaluation.trace import Trace
from dit4dit_policy.inference.surprise import (
    FILE,
    NEAR,
    SIGNALS,
    Instant,
    Surprise,
    SurpriseCalibration,
    SurpriseLimit,
)

if TYPE_CHECKING:
    from rich.table import Table

    from dit4dit_policy.inference.processor import Processor

CLOCK = 'time since the start'  # no signal: what a failure is told by when nothing else tells it
Array = NDArray[np.float64]

_ROWS = 2000  # of demonstrations that are kept


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `dit4dit surprise`."""
    parser.add_argument(
        'evaluations', type=Path, nargs='+', metavar='EVAL',
        help='folders of `dit4dit eval --traces`; every other success and failure of each task '
        'is for calibration, the rest for the table',
    )  # fmt: skip
    parser.add_argument(
        '--unseen', type=Path, nargs='+', default=[], metavar='EVAL',
        help='folders of evaluations in other worlds, for a table of their own',
    )  # fmt: skip
    parser.add_argument(
        '--checkpoint', default='', metavar='DIR',
        help='that was evaluated: a folder, or the name of a shipped one (default: small)',
    )  # fmt: skip
    parser.add_argument(
        '--demonstrations', type=Path, nargs='+', default=[], metavar='DIR',
        help='LeRobot datasets of the same tasks, for the distance of the state to them',
    )  # fmt: skip
    parser.add_argument(
        '--window', type=float, default=2.0, metavar='S',
        help='over which signals are averaged (default: 2)',
    )  # fmt: skip
    parser.add_argument(
        '--false-alarms', type=float, default=0.01, metavar='SHARE',
        help='of the episodes that succeed, at most, where there are enough (default: 0.01)',
    )  # fmt: skip
    parser.add_argument(
        '--signal', choices=tuple(SIGNALS),
        help='to be written (default: that of the highest AUROC in the calibration half)',
    )  # fmt: skip
    parser.add_argument(
        '--out', type=Path, metavar='DIR',
        help='folder for surprise.json, which belongs beside the weights of the checkpoint, for '
        'report.json and surprise.png (default: runs/<time>-surprise)',
    )  # fmt: skip


def main(arguments: argparse.Namespace) -> int:
    """Compares the signals; ValueError or FileNotFoundError says what is wrong."""
    from rich.console import Console

    from dit4dit_policy.inference.processor import Processor
    from dit4dit_policy.inference.shipped import checkpoint_folder
    from dit4dit_policy.model.checkpoint import processor_file

    share = arguments.false_alarms
    if not (arguments.window > 0 and 0 < share < 1):
        raise ValueError(
            'expected a --window above 0 s and --false-alarms between 0 and 1, got '
            f'{arguments.window:g} and {share:g}'
        )
    processor = Processor.load(processor_file(checkpoint_folder(arguments.checkpoint)))
    known, unseen = _traces(arguments.evaluations), _traces(arguments.unseen)
    first, second = _halves(known)
    worlds = {'calibration': first, 'usual worlds': second, 'unseen worlds': unseen}
    if any(len({t.success for t in worlds[name]}) < 2 for name in list(worlds)[:2]):
        raise ValueError('expected episodes that succeed and that fail, in both halves')
    signals = _signals(processor, known, arguments)
    rows = compared(signals, worlds, share)
    console = Console()
    for name in list(worlds)[1:]:
        console.print(_table(name, [row for row in rows if row.world == name]))
    best = arguments.signal or _best(rows)
    judged = followed(signals[best], second)
    limits = limits_of([*followed(signals[best], first), *judged], share)
    out = arguments.out or Path('runs') / f'{datetime.now():%Y%m%d-%H%M%S}-surprise'
    out.mkdir(parents=True, exist_ok=True)
    sentences = {processor.tasks.get(task, task): limit for task, limit in limits.items()}
    replace(signals[best], limits=sentences).save(out / FILE)
    (out / 'report.json').write_text(json.dumps([asdict(row) for row in rows], indent=1) + '\n')
    _draw(best, judged, limits, out / 'surprise.png')
    for task, limit in limits.items():
        console.print(
            f'{task}: {best} above {limit.value:.3g} warns; in {limit.successes} successes it '
            f'stayed below, so at most {limit.false_alarms:.1%} of further ones go above'
        )
    console.print(f"{out / FILE}: belongs beside the checkpoint's weights", soft_wrap=True)
    return 0


@dataclass(frozen=True)
class Followed:
    """An episode, and what a signal made of it.

    times (N,): since it began [s]. values (N,): of `Surprise`; NaN where it says nothing. cost: of
    a value, in time of a CPU [s].
    """

    task: str
    success: bool
    times: Array
    values: Array
    cost: float = 0.0

    @property
    def end(self) -> float:
        """Of its last chunk [s]."""
        return float(self.times[-1])

    def highest(self, until: float = math.inf) -> float:
        """Of its values before a time [s]; -inf without any."""
        values = self.values[(self.times <= until) & ~np.isnan(self.values)]
        return float(values.max()) if len(values) else -math.inf

    def first_above(self, limit: float) -> float | None:
        """When it was above for the first time [s]; None where it never was."""
        above = self.times[np.nan_to_num(self.values, nan=-math.inf) > limit]
        return float(above[0]) if len(above) else None


@dataclass(frozen=True)
class SignalReport:
    """How well a signal tells failures from successes.

    auroc: of its highest value in an episode; auroc_begin: of that in the time that a success
    usually takes, as failures last longer and have more time to be high. warned: failures in which
    it was above its limit, `seconds` (median) before the end. false_alarms: successes in which it
    was. cost: of a chunk, in time of a CPU [s]. Intervals of 95 %.
    """

    signal: str
    world: str
    failures: int
    successes: int
    auroc: float
    auroc_95: tuple[float, float]
    auroc_begin: float
    auroc_begin_95: tuple[float, float]
    warned: int
    seconds: float
    false_alarms: int
    false_alarms_95: tuple[float, float]
    cost: float


def compared(
    signals: Mapping[str, SurpriseCalibration], worlds: Mapping[str, Sequence[Trace]], share: float
) -> list[SignalReport]:
    """A row a signal and world; limits are of the successes of the first world."""
    first = next(iter(worlds.values()))
    rows = []
    for name, signal in {**signals, CLOCK: None}.items():
        episodes = followed(signal, first)
        limits = limits_of(episodes, share)
        usual = {
            task: float(np.median([e.end for e in episodes if e.success and e.task == task]))
            for task in limits
        }
        rows += [
            _row(name, world, followed(signal, traces), limits, usual)
            for world, traces in worlds.items()
            if traces
        ]
    return rows


def followed(signal: SurpriseCalibration | None, traces: Sequence[Trace]) -> list[Followed]:
    """What a signal makes of episodes; without one, the time since their begin."""
    episodes = []
    for trace in traces:
        times, begun = trace.stamps - trace.stamps[0], time.thread_time()
        values = _values(signal, trace) if signal else times
        cost = (time.thread_time() - begun) / len(times)
        episodes.append(Followed(trace.task, trace.success, times, values, cost))
    return episodes


def limits_of(episodes: Sequence[Followed], share: float) -> dict[str, SurpriseLimit]:
    """By task, what no more than that share of successes goes above; of tasks with successes."""
    limits = {}
    for task in dict.fromkeys(e.task for e in episodes if e.success):
        highest = [e.highest() for e in episodes if e.success and e.task == task]
        value, chance = conformal_limit(highest, share)
        limits[task] = SurpriseLimit(value, len(highest), chance)
    return limits


def _values(signal: SurpriseCalibration, trace: Trace) -> Array:
    surprise = Surprise(signal)
    return np.array([surprise(moment) for moment in _moments(trace, surprise)])


def _moments(trace: Trace, surprise: Surprise) -> Iterator[Instant]:
    """Each moment, and after each what was imagined from it, as it would have been."""
    futures = {
        at: (due - at, encoding)
        for at, due, encoding in zip(
            trace.imagined_at, trace.imagined_for, trace.imagined, strict=True
        )
    }
    for stamp, *row in zip(trace.stamps, trace.states, trace.chunks, trace.seen, strict=True):
        yield Instant(stamp, *row)
        if stamp in futures:
            surprise.expect(stamp, *futures[stamp])


def _row(
    signal: str,
    world: str,
    episodes: Sequence[Followed],
    limits: Mapping[str, SurpriseLimit],
    usual: Mapping[str, float],
) -> SignalReport:
    """Of tasks that have a limit; their values are compared as multiples of it."""
    episodes = [e for e in episodes if e.task in limits]
    failures = [e for e in episodes if not e.success]
    successes = [e for e in episodes if e.success]

    def highest(group: Sequence[Followed], end: Mapping[str, float]) -> list[float]:
        return [e.highest(end.get(e.task, math.inf)) / limits[e.task].value for e in group]

    whole = highest(failures, {}), highest(successes, {})
    begin = highest(failures, usual), highest(successes, usual)
    warnings = [(e, e.first_above(limits[e.task].value)) for e in failures]
    ahead = [e.end - warning for e, warning in warnings if warning is not None]
    false_alarms = sum(e.first_above(limits[e.task].value) is not None for e in successes)
    return SignalReport(
        signal,
        world,
        len(failures),
        len(successes),
        auroc(*whole),
        auroc_interval(*whole),
        auroc(*begin),
        auroc_interval(*begin),
        len(ahead),
        float(np.median(ahead)) if ahead else math.nan,
        false_alarms,
        wilson_interval(false_alarms, len(successes)),
        float(np.median([e.cost for e in episodes])),
    )


def _best(rows: Sequence[SignalReport]) -> str:
    """By what each does in the half for calibration: the other half is to judge the choice."""
    candidates = [row for row in rows if row.world == rows[0].world and row.signal != CLOCK]
    return max(candidates, key=lambda row: row.auroc_begin).signal


def _signals(
    processor: Processor, traces: Sequence[Trace], arguments: argparse.Namespace
) -> dict[str, SurpriseCalibration]:
    """Those that can be looked at, as yet without limits; ValueError without the one asked for."""
    step = traces[0].step

    def width(low: Sequence[float], high: Sequence[float]) -> tuple[float, ...]:
        return tuple(round((b - a) / 2, 5) or 1.0 for a, b in zip(low, high, strict=True))

    states = width(processor.state_lower, processor.state_upper)
    actions = width(processor.action_lower, processor.action_upper)
    signals = {
        'seams': SurpriseCalibration('seams', arguments.window, step, actions, {}),
        'still': SurpriseCalibration('still', arguments.window, step, states, {}),
    }
    spacing = float(np.median(np.concatenate([np.diff(trace.stamps) for trace in traces])))
    if spacing <= 2 * NEAR:  # else nothing is seen when what was imagined is due
        signals['imagined'] = SurpriseCalibration('imagined', arguments.window, step, (), {})
    elif arguments.signal == 'imagined':
        raise ValueError(
            f'--signal: imagined needs a chunk every {2 * NEAR:g} s, there is one every '
            f'{spacing:.2g} s; evaluate with --follow 2, and let the policy follow as many'
        )
    if arguments.demonstrations:
        rows = _states(arguments.demonstrations)
        signals['state'] = SurpriseCalibration('state', arguments.window, step, states, {}, rows)
    return signals


def _states(roots: Sequence[Path]) -> tuple[tuple[float, ...], ...]:
    """Some of the states in datasets, spread evenly."""
    from g1_data import Dataset
    from g1_data.schema import STATE_KEY

    found = np.concatenate(
        [
            data.read_finite(episode.index, [STATE_KEY])[STATE_KEY]
            for data in map(Dataset, roots)
            for episode in data.episodes
        ]
    )
    some = found[np.linspace(0, len(found) - 1, min(_ROWS, len(found))).round().astype(int)]
    return tuple(tuple(row) for row in some.round(3).tolist())


def _halves(traces: Sequence[Trace]) -> tuple[list[Trace], list[Trace]]:
    """Every other success and every other failure of each task, and the rest."""
    kinds: dict[tuple[str, bool], list[Trace]] = {}
    for trace in traces:
        kinds.setdefault((trace.task, trace.success), []).append(trace)
    first = [trace for kind in kinds.values() for trace in kind[::2]]
    return first, [trace for kind in kinds.values() for trace in kind[1::2]]


def _traces(folders: Sequence[Path]) -> list[Trace]:
    """Of evaluations, by task and scene."""
    traces = []
    for folder in folders:
        paths = sorted((folder / 'traces').glob('*.npz'))
        if not paths:
            raise FileNotFoundError(
                f'{folder / "traces"}: expected traces, there are none; evaluate with --traces'
            )
        traces += [Trace.load(path) for path in paths]
    return traces


def _table(title: str, rows: Sequence[SignalReport]) -> Table:
    from rich.table import Table

    counts = f'{rows[0].failures} failures, {rows[0].successes} successes' if rows else 'none'
    table = Table(title=f'{title}: {counts}')
    table.add_column('signal')
    columns = (
        'AUROC',
        'in the usual time',
        'warned',
        'before the\nend \\[s]',
        'false alarms',
        'µs a\nchunk',
    )
    for name in columns:
        table.add_column(name, justify='right')
    for row in rows:
        table.add_row(
            row.signal,
            f'{row.auroc:.2f} ({_span(row.auroc_95)})',
            f'{row.auroc_begin:.2f} ({_span(row.auroc_begin_95)})',
            f'{row.warned} of {row.failures}',
            f'{row.seconds:.1f}',
            f'{row.false_alarms} of {row.successes} ({_span(row.false_alarms_95)})',
            '' if row.signal == CLOCK else f'{row.cost * 1e6:.0f}',
        )
    return table


def _span(interval: tuple[float, float]) -> str:
    return f'{interval[0]:.2f} to {interval[1]:.2f}'


def _draw(
    signal: str, episodes: Sequence[Followed], limits: Mapping[str, SurpriseLimit], path: Path
) -> None:
    """By task, all episodes of the test half over their time, and the limit."""
    from matplotlib.figure import Figure

    columns = min(4, len(limits))
    rows = math.ceil(len(limits) / columns)
    figure = Figure(figsize=(3.5 * columns, 2.6 * rows), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axis in axes[len(limits) :]:
        axis.set_visible(False)
    for axis, (task, limit) in zip(axes, limits.items(), strict=False):
        for success, colour in ((True, 'C0'), (False, 'C3')):
            label: str | None = 'succeeds' if success else 'fails'
            for episode in episodes:
                if (episode.task, episode.success) == (task, success):
                    axis.plot(episode.times, episode.values, colour, lw=0.8, label=label)
                    label = None
        axis.axhline(limit.value, color='black', ls='--', lw=1, label='limit')
        axis.set_title(task)
        axis.set_xlabel('time [s]')
        axis.legend(fontsize='x-small')
    figure.supylabel(f'surprise: {signal}')
    figure.savefig(path, dpi=90)
