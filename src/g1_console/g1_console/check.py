"""`g1 check`: the pre-flight list against whatever is running, with the remedy of what is wrong."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from g1_console.computer import shipped_checkpoint
from g1_console.preflight import Finding, Level, findings, passed

_COLOURS = {Level.PASS: 'green', Level.WARN: 'yellow', Level.FAIL: 'bold red'}


def main(arguments: list[str] | None = None) -> int:
    """Prints the list; returns 0 when nothing in it failed, else 1."""
    parser = argparse.ArgumentParser(
        prog='g1 check', description='Look whether everything is ready for the arms to move.'
    )
    parser.add_argument(
        '--robot',
        choices=('auto', 'sim', 'g1'),
        default='auto',
        help='what to expect; auto: a simulation if one is running',
    )
    parser.add_argument(
        '--machine',
        choices=('both', 'robot', 'workstation'),
        default='both',
        help='what this computer runs, as given to g1 launch; default: both',
    )
    parser.add_argument(
        '--checkpoint', type=Path, help='folder of the policy; default: the shipped one'
    )
    parser.add_argument('--seconds', type=float, default=4.0, help='to listen; default: 4')
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    given = parser.parse_args(arguments)
    if not 1.0 <= given.seconds <= 60.0:
        parser.error(f'--seconds: expected 1 to 60, got {given.seconds:g}')

    from g1_console.listening import Listener, operator_node

    with operator_node('g1_check') as node:
        listener = Listener(
            node,
            robot=given.robot,
            machine=given.machine,
            checkpoint=given.checkpoint or shipped_checkpoint(),
            images=True,
        )
        listener.listen(given.seconds)
        snapshot = listener.snapshot()
    results = findings(snapshot)
    if given.json:
        print(json.dumps(as_json(snapshot.robot, results), indent=2))
    else:
        Console().print(
            table(snapshot.robot, results), *remedies(results), soft_wrap=True, sep='\n'
        )
    return 0 if passed(results) else 1


def as_json(robot: str, results: list[Finding]) -> dict[str, object]:
    """The list for programs."""
    return {
        'robot': robot,
        'passed': passed(results),
        'checks': [
            {'check': f.check, 'level': f.level.value, 'found': f.found, 'remedy': f.remedy}
            for f in results
        ],
    }


def table(robot: str, results: list[Finding]) -> Table:
    """The list for people."""
    counts = Counter(finding.level for finding in results)
    verdict = 'ready' if passed(results) else 'NOT READY'
    told = ', '.join(f'{counts[level]} {level.value}' for level in Level)
    result = Table(title=f'robot:={robot}: {verdict} ({told})', title_justify='left')
    result.add_column('check', no_wrap=True)
    result.add_column('result')
    result.add_column('found', overflow='fold')
    for finding in results:
        colour = _COLOURS[finding.level]
        result.add_row(finding.check, f'[{colour}]{finding.level.value}[/]', escape(finding.found))
    return result


def remedies(results: list[Finding]) -> list[str]:
    """What to do, each in a line of its own: a command in it is copied as a whole."""
    lines = [f'[bold]{f.check}[/]: {escape(f.remedy)}' for f in results if f.remedy]
    return ['', 'what to do', *lines] if lines else []
