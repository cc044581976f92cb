"""`g1 record-demo`: demonstrations teleoperated in simulation, from headset poses to a dataset.

    g1 record-demo --task pick_and_place --episodes 5

starts teleop_record.launch.py with device:=scripted, whose stand-in for the operator moves the
robot as a person does and discards the second episode on purpose. Expect the operator's panel for
some 15 s an episode, then a checked dataset, its picture and log.txt in runs/<time>-record-<task>/,
and exit code 0 only if everything is as it should be.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from g1_bench.launched import DemoError, run_folder
from g1_bench.recording_session import recorded
from g1_bringup.arguments import check
from g1_bringup.systems import find
from g1_data.cli import main as dataset_command
from g1_sim.rendering import check_rendering

_SYSTEM = 'teleop_record.launch.py'


def main(arguments: list[str] | None = None) -> int:
    """Records and checks; returns 0 when all is well, 1 when it is not, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog='g1 record-demo',
        description='Let a scripted operator demonstrate a task in simulation, and record it.',
    )
    parser.add_argument('--task', default='pick_and_place', help='default: %(default)s')
    parser.add_argument('--episodes', type=int, default=5, help='to save, 2 or more; default: 5')
    parser.add_argument('--seed', default='0', help='of the first scene; default: %(default)s')
    parser.add_argument('--out', type=Path, default=Path('runs'), help='default: %(default)s')
    given = parser.parse_args(arguments)
    if given.episodes < 2:
        parser.error(f'--episodes: expected at least 2, got {given.episodes}')
    check_rendering()
    settings = {'task': given.task, 'seed': given.seed, 'episodes': str(given.episodes)}
    check(find(_SYSTEM), settings)

    console = Console()
    folder = run_folder(given.out, f'record-{given.task}')
    try:
        session = recorded(_SYSTEM, settings, folder, console, on_purpose=1)
    except DemoError as error:
        console.print(f'[bold red]error:[/] {escape(str(error))}', soft_wrap=True, highlight=False)
        console.print(f'All output of the nodes is in log.txt, in {folder}', soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print(f'interrupted; what was saved so far is in {folder}')
        return 130
    root = folder / 'dataset'
    valid = dataset_command(['validate', str(root)]) == 0
    shown = dataset_command(['info', str(root), '--picture', str(folder / 'contact_sheet.png')])
    console.print(session.table(folder))
    return 0 if session.disarmed and valid and shown == 0 else 1
