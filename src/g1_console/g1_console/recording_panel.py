"""What the operator of a recording session looks at, and is told without looking."""

from __future__ import annotations

import shutil
import subprocess
from typing import Literal

from dit4dit_msgs.msg import EpisodeStatus, SafetyStatus
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table

from g1_console.snapshot import JOINT_STATES, RECORDER, Snapshot
from g1_description.control_source import ControlSource

MODE_COLOURS = {
    SafetyStatus.DISARMED: 'white',
    SafetyStatus.ARMING: 'yellow',
    SafetyStatus.ACTIVE: 'bold green',
    SafetyStatus.HOLD: 'yellow',
    SafetyStatus.DISARMING: 'yellow',
    SafetyStatus.ESTOP: 'bold red',
}
_STATES = {
    EpisodeStatus.IDLE: ('cyan', '○ IDLE'),
    EpisodeStatus.RECORDING: ('bold red', '● RECORDING'),
    EpisodeStatus.SAVING: ('bold yellow', '◐ SAVING'),
    EpisodeStatus.PAUSED: ('bold yellow', '‖ PAUSED'),
}
_SILENT = 1.5  # a recorder says how it is twice a second [s]
_SPEAKERS = ('spd-say', 'espeak-ng', 'espeak')


def panel(s: Snapshot) -> Panel:
    """How the recording goes. `s.recorder` must be there."""
    status = s.recorder
    assert status is not None
    colour, state = _STATES[status.state]
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style='dim')
    for name, what in _rows(s, status):
        rows.add_row(name, what)
    episode = f'episode {status.episode_index}'
    if status.state in (EpisodeStatus.RECORDING, EpisodeStatus.PAUSED):
        minutes, seconds = divmod(status.duration, 60.0)
        lost = (
            f'[bold red]{status.frames_dropped} dropped[/]'
            if status.frames_dropped
            else '0 dropped'
        )
        episode += f'   {minutes:.0f}:{seconds:04.1f}   {status.frames} frames, {lost}'
    return Panel(
        Group(f'[{colour}]{state}[/]   {episode}\n', rows),
        title=escape(status.task),
        border_style=colour,
    )


def _rows(s: Snapshot, status: EpisodeStatus) -> list[tuple[str, RenderableType]]:
    saved, goal = status.episodes_saved, status.episodes_goal
    done = Table.grid(padding=(0, 1))
    done.add_row(
        ProgressBar(total=goal, completed=min(saved, goal), width=40), f'{saved} of {goal}'
    )
    rows: list[tuple[str, RenderableType]] = [
        ('saved', done),
        ('recorder', f'[{"green" if status.healthy else "bold red"}]{escape(status.text)}[/]'),
    ]
    age = s.topic(RECORDER).age
    if age > _SILENT:
        rows.append(('', f'[yellow]recorder_node has said nothing for {age:.0f} s[/]'))
    robot = '[bold red]control_node is not heard[/]'
    if s.safety is not None:
        robot = f'[{MODE_COLOURS[s.safety.mode]}]{escape(s.safety.text)}[/]'
    teleop = s.diagnostics.get('teleop_node')
    operator = escape(teleop.text) if teleop else '[bold red]teleop_node is not heard[/]'
    rows += [('robot', robot), ('operator', operator), ('rates', _rates(s))]
    if teleop is not None:
        rows += [(name, escape(teleop.values.get(name, ''))) for name in ('buttons', 'answer')]
    return rows


def _rates(s: Snapshot) -> str:
    """Of everything that is recorded or goes to the robot, as the nodes themselves measure it."""
    rates = [f'{JOINT_STATES} {s.topic(JOINT_STATES).rate:.0f} Hz']
    for name in ('recorder_node', 'teleop_node'):
        values = s.diagnostics[name].values if name in s.diagnostics else {}
        for key, value in values.items():
            if key.endswith('_rate_hz'):
                what = key.removesuffix('_rate_hz').replace('_', ' ')
                rates.append(f'{what} {float(value):.0f} Hz')
    return ', '.join(rates)


def cue(before: EpisodeStatus, after: EpisodeStatus) -> str:
    """What the operator should hear of the way from one status to the next; empty for nothing."""
    looked_at = ('state', 'healthy', 'episodes_saved')
    same = all(getattr(before, name) == getattr(after, name) for name in looked_at)
    return '' if same else after.text.partition(':')[0]


class Cues:
    """Rings the terminal's bell, or speaks, when recording starts, ends, or has a fault, and when
    the arms go over to somebody else.

    Raises FileNotFoundError when it is to speak and nothing on this computer can.
    """

    def __init__(self, kind: Literal['bell', 'speech'], console: Console) -> None:
        self._console = console
        self._last: EpisodeStatus | None = None
        self._source: int | None = None
        self._speaker = None
        if kind == 'speech':
            self._speaker = next(filter(shutil.which, _SPEAKERS), None)
            if self._speaker is None:
                raise FileNotFoundError(
                    f'speech needs one of {", ".join(_SPEAKERS)}; install with: '
                    'sudo apt-get install speech-dispatcher'
                )

    def hear(self, status: EpisodeStatus | None) -> None:
        """Takes the newest status, however often; None while there is no recorder."""
        if status is None or status.state == EpisodeStatus.SAVING:
            return
        text = cue(self._last or status, status)
        self._last = status
        self._tell(text)

    def hear_control(self, status: SafetyStatus | None) -> None:
        """Takes the newest status of control, however often; None while it is silent."""
        if status is None:
            return
        before, self._source = self._source, status.control_source
        if before not in (None, self._source):
            self._tell(ControlSource(status.control_source).words)

    def _tell(self, text: str) -> None:
        if text and self._speaker:
            subprocess.Popen([self._speaker, text], stderr=subprocess.DEVNULL)
        elif text:
            self._console.bell()
