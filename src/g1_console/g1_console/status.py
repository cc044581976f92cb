"""`g1 status`: how the system is, live, or once for scripts."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from dit4dit_msgs.msg import PolicyStatus, SafetyStatus
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from g1_console.computer import shipped_checkpoint
from g1_console.recording_panel import MODE_COLOURS, Cues, panel
from g1_console.snapshot import (
    ARM_SDK,
    CAMERA_INFO,
    CHUNKS,
    JOINT_STATES,
    LOWSTATE,
    SIDES,
    Snapshot,
    Topic,
)
from g1_description.control_source import ControlSource

if TYPE_CHECKING:
    from g1_console.listening import Listener

_POLICY_COLOURS = {
    PolicyStatus.IDLE: 'white',
    PolicyStatus.RUNNING: 'green',
    PolicyStatus.WAITING: 'yellow',
    PolicyStatus.ERROR: 'bold red',
}


def main(arguments: list[str] | None = None) -> int:
    """Shows the state until Ctrl-C; returns 0, or 1 when control_node was not heard at the end."""
    parser = argparse.ArgumentParser(prog='g1 status', description='Show how the system is.')
    parser.add_argument('--once', action='store_true', help='listen for 2 s and print it once')
    parser.add_argument(
        '--cues',
        choices=('bell', 'speech'),
        help='ring or say how recording goes, and who gets the arms',
    )
    given = parser.parse_args(arguments)

    from g1_console.listening import Listener, operator_node

    console = Console()
    cues = Cues(given.cues, console) if given.cues else None
    with operator_node('g1_status') as node:
        listener = Listener(
            node, robot='auto', machine='both', checkpoint=shipped_checkpoint(), images=False
        )
        if given.once:
            listener.listen(2.0)
            console.print(view(listener.snapshot()))
        else:
            _live(listener, console, cues)
        return 0 if listener.snapshot().safety is not None else 1


def _live(listener: Listener, console: Console, cues: Cues | None) -> None:
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        try:
            while True:
                listener.listen(0.25)
                snapshot = listener.snapshot()
                live.update(view(snapshot), refresh=True)
                if cues is not None:
                    cues.hear(snapshot.recorder)
                    cues.hear_control(snapshot.safety)
        except KeyboardInterrupt:
            return


def view(s: Snapshot) -> Group:
    """The recording, if there is one, and one row for each thing an operator looks at."""
    result = Table(title=f'{time.strftime("%H:%M:%S")}  robot:={s.robot}', show_header=False)
    for name, text in _rows(s):
        result.add_row(name, text)
    return Group(result) if s.recorder is None else Group(panel(s), result)


def _rows(s: Snapshot) -> list[tuple[str, str]]:
    rows = [('control', '[bold red]control_node is not heard[/]')]
    if s.safety is not None:
        rows = _control_rows(s.safety)
    said = s.diagnostics.get('control_node: control')
    if said is not None:
        values = said.values
        rows.append(
            (
                'control loop',
                f'{float(values["rate"]):.0f} Hz, 99 % less than '
                f'{float(values["jitter_p99_ms"]):.2g} ms late, '
                f'{float(values["cpu_share"]):.0%} of a core',
            )
        )
    rows.append(('policy', _policy_text(s.policy)))
    for name in (LOWSTATE, JOINT_STATES, CAMERA_INFO, CHUNKS):
        rows.append((name, _topic_text(s.topic(name))))
    for side in SIDES:
        fault = s.gripper_faults.get(side, '')
        state = _topic_text(s.topic(f'{side}_gripper/state'))
        rows.append((f'{side} gripper', f'[bold red]{escape(fault)}[/]' if fault else state))
    rows.append(('on arm_sdk', ', '.join(s.topic(ARM_SDK).publishers) or 'nobody'))
    return rows


def _control_rows(status: SafetyStatus) -> list[tuple[str, str]]:
    limiting = f', last at {status.limiting_joint}' if status.limiting_joint else ''
    return [
        ('control', f'[{MODE_COLOURS[status.mode]}]{escape(status.text)}[/]'),
        ('weight', f'{status.weight:.2f}; {ControlSource(status.control_source).words}'),
        ('watchdog', _watchdog_text(status.watchdog_age)),
        (
            'ages',
            f'/lowstate {_milliseconds(status.lowstate_age)}, '
            f'image of the chunk {_milliseconds(status.chunk_age)}',
        ),
        (
            'chunks',
            f'{status.chunks_accepted} accepted, {status.chunks_rejected} rejected, '
            f'{status.clamped} targets clamped{escape(limiting)}',
        ),
        ('newest rejection', escape(status.rejection_text) or '–'),
        ('so far', f'{status.holds} holds, {status.deadlines_missed} deadlines missed'),
    ]


def _watchdog_text(age: float) -> str:
    if not 0.0 <= age < 0.5:
        return '[bold red]is not there: control does not arm without it[/]'
    return f'watches, heard {_milliseconds(age)} ago'


def _policy_text(status: PolicyStatus | None) -> str:
    if status is None:
        return 'policy_node is not heard'
    trained = '' if status.trained else ' [yellow]UNTRAINED[/]'
    return (
        f'[{_POLICY_COLOURS[status.state]}]{escape(status.text)}[/]\n'
        f'{escape(status.model_id)}{trained}, {status.rate:.1f} chunks/s, inference '
        f'{_milliseconds(status.inference_time)}, image {_milliseconds(status.image_age)} old'
    )


def _topic_text(topic: Topic) -> str:
    if not topic.heard:
        return '[yellow]nothing heard[/]'
    return f'{topic.rate:.0f} Hz, the newest {_milliseconds(topic.age)} old'


def _milliseconds(seconds: float) -> str:
    return '–' if seconds < 0.0 else f'{seconds * 1e3:.0f} ms'
