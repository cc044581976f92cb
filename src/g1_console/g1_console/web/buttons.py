"""What can be pressed, beside the emergency stop in the bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import viser

from g1_console.web.requests import Requests

_LONGEST = 3600.0  # [s] of a task


class ControlButtons:
    """Arm, disarm, reset, give back; made within viser's current folder."""

    def __init__(self, gui: viser.GuiApi, requests: Requests) -> None:
        _group(gui, 'Arms', ('arm', 'disarm', 'reset', 'give back'), requests)


class TaskButtons:
    """A task or a sentence, and run or stop."""

    def __init__(self, gui: viser.GuiApi, requests: Requests, tasks: Mapping[str, str]) -> None:
        self._task: Any = gui.add_dropdown('Task', tuple(tasks))
        self._running = ''
        self._sentence = gui.add_text(
            'or a sentence', '', hint='What the robot is to do, in words, in place of the task'
        )
        self._seconds = gui.add_number('for at most [s]', 60.0, min=1.0, max=_LONGEST, step=1.0)
        group = gui.add_button_group('Policy', ('run', 'stop'))

        @group.on_click
        def _(event: viser.GuiEvent[viser.GuiButtonGroupHandle]) -> None:
            if event.target.value == 'stop':
                requests.ask('stop')
            else:
                words = self._sentence.value.strip() or self._task.value
                requests.run(words, self._seconds.value)

    def running(self, task: str) -> None:
        """Chooses the task that the policy has just begun, for `run` to do it again."""
        if task != self._running and task in self._task.options:
            self._task.value = task
        self._running = task


class EpisodeButtons:
    """Start, save, discard, and how it went."""

    def __init__(self, gui: viser.GuiApi, requests: Requests) -> None:
        _group(gui, 'Episode', ('start', 'save', 'discard'), requests)
        _group(gui, '', ('pause', 'resume', 'keep last'), requests)
        _group(gui, 'Outcome', ('success', 'failure'), requests)


def _group(gui: viser.GuiApi, label: str, names: tuple[str, ...], requests: Requests) -> None:
    group = gui.add_button_group(label, names)

    @group.on_click
    def _(event: viser.GuiEvent[viser.GuiButtonGroupHandle]) -> None:
        requests.ask(event.target.value)
