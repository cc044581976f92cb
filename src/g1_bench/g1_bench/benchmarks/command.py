"""`g1 bench`: measures the suite on this computer; each part prints a table and writes its numbers.

g1 bench                          every default part; writes runs/bench/PART.json
g1 bench control --seconds 10     one part, shorter
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from pathlib import Path

from rich.console import Console

from g1_console.services import NoAnswer
from g1_ros.middleware import environment, free_domain

#: Each a module here: SECONDS it measures for, `measure(seconds)` for its numbers, fit for JSON,
#: and `table(numbers)`.
PARTS = ('control', 'teleop', 'takeover', 'imagination', 'recording', 'server', 'soak')
DEFAULT_PARTS = ('control', 'teleop')


def main(arguments: list[str] | None = None) -> int:
    """Measures, prints and writes; returns 0, or 1 when what is measured did not run."""
    parser = argparse.ArgumentParser(prog='g1 bench', description='Measure on this computer.')
    parser.add_argument(
        'parts',
        nargs='*',
        metavar='PART',
        help=f'of {", ".join(PARTS)}; default: {" ".join(DEFAULT_PARTS)}',
    )
    parser.add_argument('--seconds', type=float, help='for each part; default: its own')
    parser.add_argument('--out', type=Path, default=Path('runs/bench'), help='default: %(default)s')
    given = parser.parse_args(arguments)
    unknown = [part for part in given.parts if part not in PARTS]
    if unknown:
        parser.error(f'no part {", ".join(unknown)}; choose from {", ".join(PARTS)}')
    if given.seconds is not None and not 5.0 <= given.seconds <= 7200.0:
        parser.error(f'--seconds: expected 5 to 7200, got {given.seconds:g}')
    os.environ['ROS_DOMAIN_ID'] = str(free_domain())
    os.environ.update(environment({'robot': 'sim'}))
    given.out.mkdir(parents=True, exist_ok=True)
    try:
        for part in given.parts or DEFAULT_PARTS:
            module = importlib.import_module(f'g1_bench.benchmarks.{part}')
            content = module.measure(given.seconds or module.SECONDS)
            (given.out / f'{part}.json').write_text(json.dumps(content, indent=2) + '\n')
            Console().print(module.table(content))
    except NoAnswer as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0
