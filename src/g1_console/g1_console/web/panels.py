"""What is told in words: policy, recorder, measures with their budgets, the time line, answers."""

from __future__ import annotations

import time
from collections.abc import Iterable
from html import escape

from dit4dit_msgs.msg import EpisodeStatus, PolicyStatus, SafetyStatus

from g1_console.web.budgets import Measure
from g1_console.web.event_log import Event, EventLog, surprises
from g1_description.control_source import ControlSource

_GREEN, _AMBER, _RED, _GREY = '#2f9e44', '#e67700', '#e03131', '#868e96'
_POLICY = {
    PolicyStatus.IDLE: ('IDLE', _GREY),
    PolicyStatus.RUNNING: ('RUNNING', _GREEN),
    PolicyStatus.WAITING: ('WAITING', _AMBER),
    PolicyStatus.ERROR: ('ERROR', _RED),
}
_RECORDER = {
    EpisodeStatus.IDLE: ('IDLE', _GREY),
    EpisodeStatus.RECORDING: ('RECORDING', _RED),
    EpisodeStatus.SAVING: ('SAVING', _AMBER),
    EpisodeStatus.PAUSED: ('PAUSED', _AMBER),
}
_SOURCES = {
    SafetyStatus.CONTROL_POLICY: _GREEN,
    SafetyStatus.CONTROL_OPERATOR: _AMBER,
    SafetyStatus.CONTROL_NOBODY: _GREY,
}
_WEIGHTS = {'info': _GREY, 'warning': _AMBER, 'error': _RED}
_FONT = 'font:12px/1.45 system-ui;padding:2px 10px'


def safety_html(status: SafetyStatus | None) -> str:
    """Who has the arms, and what control refused or limited; its mode is in the bar above."""
    if status is None:
        return _block('<b style="color:#e03131">control_node is not heard</b>')
    limiting = f', last at {escape(status.limiting_joint)}' if status.limiting_joint else ''
    source = ControlSource(status.control_source).words
    return _block(
        f'{_tag(source, _SOURCES[status.control_source])}<br>'
        f'weight {status.weight:.2f} · chunks {status.chunks_accepted} taken, '
        f'{status.chunks_rejected} rejected, {status.clamped} targets clamped{limiting} · '
        f'{status.holds} holds · {status.deadlines_missed} deadlines missed'
    )


def policy_html(status: PolicyStatus | None) -> str:
    """State, task and checkpoint."""
    if status is None:
        return _block(f'{_tag("POLICY", _GREY)} policy_node is not heard')
    state, colour = _POLICY[status.state]
    trained = '' if status.trained else ' <b style="color:#e67700">UNTRAINED</b>'
    task = f'task <b>{escape(status.task)}</b> · ' if status.task else ''
    surprise = ''
    if status.surprise >= 0.0 and status.surprise_limit >= 0.0:
        colour_now = _AMBER if surprises(status) else _GREEN
        surprise = (
            f' · surprise <b style="color:{colour_now}">{status.surprise:.2f}</b>, '
            f'usual up to {status.surprise_limit:.2f}'
        )
    return _block(
        f'{_tag(state, colour)} {escape(status.text)}<br>{task}'
        f'checkpoint <b>{escape(status.model_id) or "none"}</b>{trained}{surprise}'
    )


def recorder_html(status: EpisodeStatus | None) -> str:
    """State, episode, count against the goal and health."""
    if status is None:
        return _block(f'{_tag("RECORDER", _GREY)} recorder_node is not heard')
    state, colour = _RECORDER[status.state]
    goal = max(status.episodes_goal, 1)
    share = min(100.0, 100.0 * status.episodes_saved / goal)
    now = ''
    if status.state in (EpisodeStatus.RECORDING, EpisodeStatus.PAUSED):
        dropped = f', <b style="color:{_RED}">{status.frames_dropped} dropped</b>'
        now = (
            f' · {status.duration:.1f} s, {status.frames} frames'
            f'{dropped if status.frames_dropped else ""}'
            f'{f" · so far a {status.outcome}" if status.outcome else ""}'
        )
    return _block(
        f'{_tag(state, colour)} episode {status.episode_index}{now}'
        f'<div style="background:#e9ecef;height:6px;border-radius:3px;margin:3px 0">'
        f'<div style="background:{_GREEN};height:6px;border-radius:3px;width:{share:.0f}%"></div>'
        f'</div>{status.episodes_saved} of {status.episodes_goal} saved · '
        f'<span style="color:{_GREEN if status.healthy else _RED}">{escape(status.text)}</span>'
    )


def measures_html(measures: Iterable[Measure]) -> str:
    """A table: name, value, budget."""
    rows = ''.join(
        f'<tr><td>{escape(m.name).replace("  ", "&ensp;")}</td>'
        f'<td style="text-align:right;color:{_GREEN if m.good else _RED};font-weight:600">'
        f'{escape(m.value)}</td>'
        f'<td style="text-align:right;color:{_GREY}">{escape(m.budget)}</td></tr>'
        for m in measures
    )
    head = (
        f'<tr style="color:{_GREY}"><td></td><td style="text-align:right">now</td>'
        '<td style="text-align:right">budget</td></tr>'
    )
    return _block(f'<table style="width:100%;border-spacing:4px 0">{head}{rows}</table>')


def timeline_html(timeline: EventLog) -> str:
    """The newest events, newest first."""
    rows = ''.join(map(_event, timeline.newest(40)))
    return _block(f'<div style="max-height:300px;overflow-y:auto">{rows or "nothing yet"}</div>')


def answer_html(done: bool, text: str) -> str:
    """The answer to what was pressed last."""
    colour = _GREEN if done else _RED
    return _block(f'<b style="color:{colour}">{escape(text)}</b>') if text else _block('&nbsp;')


def _event(event: Event) -> str:
    clock = time.strftime('%H:%M:%S', time.localtime(event.time))
    tenth = int(event.time * 10) % 10
    return (
        f'<div style="border-left:3px solid {_WEIGHTS[event.weight]};'
        'padding-left:6px;margin:2px 0">'
        f'<span style="color:{_GREY}">{clock}.{tenth}</span> <b>{escape(event.source)}</b> '
        f'{escape(event.text)}</div>'
    )


def _block(content: str) -> str:
    return f'<div style="{_FONT}">{content}</div>'


def _tag(text: str, colour: str) -> str:
    return (
        f'<span style="background:{colour};color:#fff;border-radius:3px;padding:0 5px;'
        f'font-weight:700">{text}</span>'
    )
