"""`g1 record-demo`: demonstrations teleoperated in simulation, from headset poses to a dataset.

    g1 record-demo --task pick_and_place --episodes 5

starts teleop_record.launch.py with device:=scripted, whose stand-in for the operator moves the
robot as a person does and discards the second episode on purpose. Expect the operator's panel for
some 15 s an episode, then a checked dataset, its picture and log.txt in runs/<time>-record-<task>/,
and exit code 0 only if everything is as it should be.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from dit4dit_msgs.msg import EpisodeStatus
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from g1_bench.launched import DemoError, launched, run_folder
from g1_bringup.arguments import check
from g1_bringup.systems import find
from g1_console.computer import shipped_checkpoint
from g1_console.listening import Listener, operator_node
from g1_console.recording_panel import cue, panel
from g1_console.services import command
from g1_console.snapshot import Snapshot
from g1_data.cli import main as dataset_command
from g1_ros.middleware import environment, free_domain
from g1_sim.rendering import check_rendering

_READY_SECONDS = 180.0  # until the first episode is recorded, on a slow machine
_EPISODE_SECONDS = 120.0  # until the next one has ended
_LOOK_SECONDS = 0.5


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
    settings = {
        'task': given.task,
        'seed': given.seed,
        'device': 'scripted',
        'episodes': str(given.episodes),
    }
    values = check(find('teleop_record.launch.py'), settings)

    console, began = Console(), time.monotonic()
    folder = run_folder(given.out, f'record-{given.task}')
    settings['dataset'] = str((folder / 'dataset').resolve())
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    os.environ.setdefault('ROS_DOMAIN_ID', str(free_domain()))
    os.environ.update(environment(values))
    words = [f'{name}:={value}' for name, value in settings.items()]
    try:
        with launched(['teleop_record.launch.py', *words], folder / 'log.txt') as alive:
            session = _watch(alive, console)
            disarmed = command('disarm') == 0
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
    console.print(session.table(folder, time.monotonic() - began))
    return 0 if disarmed and valid and shown == 0 and session.complete else 1


class _Session:
    """What became of the episodes, from one status of the recorder after the other."""

    def __init__(self) -> None:
        self._last: EpisodeStatus | None = None
        self._first = time.monotonic()
        self._deadline = self._first + _READY_SECONDS
        self._seconds = 0.0
        self._discarded = 0
        self._snapshot: Snapshot | None = None

    def look(self, snapshot: Snapshot) -> str:
        """Takes the newest state; what there is to say about it, once. Raises DemoError."""
        self._snapshot, status, now = snapshot, snapshot.recorder, time.monotonic()
        if now > self._deadline:
            text = 'recorder_node is not heard' if self._last is None else self._last.text
            raise DemoError(f'no episode began or ended for a long time: {text}')
        if status is None or status.state == EpisodeStatus.SAVING:
            return ''
        last, self._last = self._last or status, status
        if last.state != status.state:
            self._deadline = now + _EPISODE_SECONDS
            if status.state == EpisodeStatus.IDLE:
                self._discarded += status.episodes_saved == last.episodes_saved
                self._seconds = now - self._first
            elif self._seconds == 0.0:
                self._first = now
        return status.text if cue(last, status) else ''

    @property
    def complete(self) -> bool:
        """Whether as many are saved as were wanted, beside one discarded on purpose."""
        status = self._last
        return (
            status is not None
            and status.episodes_saved >= status.episodes_goal
            and self._discarded > 0
        )

    def table(self, folder: Path, seconds: float) -> Table:
        """seconds: that everything took, starting and checking included."""
        assert self._last is not None
        saved, discarded = self._last.episodes_saved, self._discarded
        rows = {
            'episodes': f'{saved} saved; {discarded} discarded, of these one on purpose',
            'an episode': f'{self._seconds / (saved + discarded):.1f} s with the way back',
            'in total': f'{seconds:.0f} s',
            'folder': str(folder),
        }
        if self._snapshot is not None and self._snapshot.safety is not None:
            safety = self._snapshot.safety
            rows['control'] = (
                f'{safety.chunks_accepted} messages of targets accepted, '
                f'{safety.chunks_rejected} rejected, {safety.clamped} targets clamped'
            )
        table = Table(title=self._last.task, show_header=False)
        for name, text in rows.items():
            table.add_row(name, text)
        return table


def _watch(alive: Callable[[], None], console: Console) -> _Session:
    """Shows the operator's panel until all episodes are saved. Raises DemoError."""
    session = _Session()
    with (
        operator_node('record_demo') as node,
        Live(console=console, auto_refresh=False, transient=True) as live,
    ):
        listener = Listener(
            node, robot='sim', machine='both', checkpoint=shipped_checkpoint(), images=False
        )
        while True:
            alive()
            listener.listen(_LOOK_SECONDS)
            snapshot = listener.snapshot()
            text = session.look(snapshot)
            if text:
                console.print(f'{datetime.now():%H:%M:%S} {text}', markup=False, highlight=False)
            if console.is_terminal and snapshot.recorder is not None:
                live.update(panel(snapshot), refresh=True)
            if session.complete:
                return session
