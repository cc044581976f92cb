"""Watching a recorder until it has all episodes, for commands that let a scripted operator work."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from dit4dit_msgs.msg import EpisodeStatus
from rich.console import Console
from rich.live import Live
from rich.table import Table

from g1_bench.launched import DemoError, launched, take_domain
from g1_bringup.arguments import check
from g1_bringup.systems import find
from g1_console.computer import shipped_checkpoint
from g1_console.listening import Listener, operator_node
from g1_console.recording_panel import cue, panel
from g1_console.services import command
from g1_console.snapshot import Snapshot

_READY_SECONDS = 180.0  # until the first episode is recorded, on a slow machine
_EPISODE_SECONDS = 300.0  # until the next one has ended: policy and operator may take turns
_LOOK_SECONDS = 0.5


class RecordingSession:
    """What became of the episodes, from one status of the recorder after the other.

    on_purpose: how many the operator discards of himself, or it is not complete.
    """

    def __init__(self, on_purpose: int) -> None:
        self.disarmed = False  # in the end
        self._on_purpose = on_purpose
        self._last: EpisodeStatus | None = None
        self._begun = self._first = time.monotonic()
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
        """Whether as many are saved as were wanted, beside those discarded on purpose."""
        status = self._last
        return (
            status is not None
            and status.episodes_saved >= status.episodes_goal
            and self._discarded >= self._on_purpose
        )

    def table(self, folder: Path) -> Table:
        """How much there is, how long it took and what control did."""
        assert self._last is not None
        saved, discarded = self._last.episodes_saved, self._discarded
        rows = {
            'episodes': f'{saved} saved; {discarded} discarded, {self._on_purpose} on purpose',
            'an episode': f'{self._seconds / (saved + discarded):.1f} s with the way back',
            'in total': f'{time.monotonic() - self._begun:.0f} s',
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


def recorded(
    file: str, settings: Mapping[str, str], folder: Path, console: Console, on_purpose: int = 0
) -> RecordingSession:
    """Lets a system with a scripted operator record all episodes, then disarms it.

    file, settings: as `g1 launch` takes them. folder: gets `dataset`, or more of it where there are
    episodes already, and log.txt. on_purpose: see RecordingSession. Raises DemoError where the
    system does not get there, and ArgumentError before anything starts.
    """
    settings = {**settings, 'device': 'scripted', 'dataset': str((folder / 'dataset').resolve())}
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    take_domain(check(find(file), settings))
    words = [f'{name}:={value}' for name, value in settings.items()]
    with launched([file, *words], folder / 'log.txt') as alive:
        session = _watch(alive, console, on_purpose)
        session.disarmed = command('disarm') == 0
    return session


def _watch(alive: Callable[[], None], console: Console, on_purpose: int) -> RecordingSession:
    """Shows the operator's panel until all episodes are saved. Raises DemoError."""
    session = RecordingSession(on_purpose)
    with (
        operator_node('recording') as node,
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
