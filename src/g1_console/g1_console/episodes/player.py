"""Plays an episode in viser: its pictures, its curves, the robot; takes what is to change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pinocchio
import viser

from g1_console.episodes.catalogue import Catalogue, fault_of
from g1_console.episodes.opened import OpenedEpisode
from g1_console.web.joint_plots import episode_plots_html
from g1_console.web.meshes import joint_meshes
from g1_console.web.mosaic import Pixels
from g1_console.web.robot_figure import RobotFigure, furnish
from g1_data.disk import explained
from g1_description import load_robot
from g1_description.urdf import urdf

_NOTHING: Pixels = np.full((6, 8, 3), 235, np.uint8)
_QUALITY = 80  # of JPEG
_SPEEDS = ('0.5', '1', '2', '4')
_LOOK = 0.2  # [s] between looks whether to end


class EpisodePlayer:
    """One thread decodes and shows; what is pressed only says what it is to do.

    shown: the episode and the row that are on the page; -1 before any are.
    """

    def __init__(self, server: viser.ViserServer, catalogue: Catalogue) -> None:
        self._server, self._catalogue = server, catalogue
        self._told = threading.Condition()
        self._wanted: int | None = None  # an episode to open
        self._index, self._row, self._playing, self._speed = 0, 0, False, 1.0
        self.shown = (-1, -1)
        self._opened: OpenedEpisode | None = None
        self._figure: RobotFigure | None = None
        self._build_panels()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name='player', daemon=True)
        self._thread.start()

    def open(self, index: int) -> None:
        """Plays this episode from its beginning, soon. LookupError where there is none."""
        count = len(self._catalogue.dataset.episodes)
        if not 0 <= index < count:
            raise LookupError(f'expected an episode from 0 to {count - 1}, got {index}')
        with self._told:
            self._wanted = index
            self._told.notify()

    def seek(self, row: int) -> None:
        """Shows this row, or the last where there are fewer, and stands still."""
        with self._told:
            if self._opened is not None:
                self._row, self._playing = min(row, self._opened.length - 1), False
                self._told.notify()

    def close(self) -> None:
        """Ends the thread."""
        with self._told:
            self._ended = True
            self._told.notify()
        self._thread.join()

    def _build_panels(self) -> None:
        gui, catalogue = self._server.gui, self._catalogue
        gui.configure_theme(show_logo=False, show_share_button=False, control_width='large')
        gui.set_panel_label('Episode')
        furnish(self._server)
        self._about = gui.add_html('')
        self._place: Any = gui.add_slider('Row', 0, 1, 1, 0)
        self._on_edit(self._place, lambda: self.seek(self._place.value))
        self._buttons('Play', ('play', 'pause', 'again'), self._play)
        speed = gui.add_dropdown('Speed', _SPEEDS, initial_value='1')
        speed.on_update(lambda _: setattr(self, '_speed', float(speed.value)))
        with gui.add_folder('Judge'):
            self._buttons(
                'Outcome',
                ('success', 'failure', 'unsaid'),
                lambda said: self._change(outcome='' if said == 'unsaid' else said),
            )
            self._task: Any = gui.add_text('Task', '')
            self._on_edit(self._task, self._retask)
            self._flag: Any = gui.add_text('Flag', '', hint='a note to find the episode by')
            self._on_edit(self._flag, self._reflag)
            self._buttons('Cut here', ('begin', 'end', 'split', 'uncut'), self._cut)
            self._buttons(
                'Episode', ('drop', 'keep'), lambda said: self._change(dropped=said == 'drop')
            )
            self._changed = gui.add_html('')
        with gui.add_folder('Write all changes as a new dataset'):
            root = catalogue.dataset.root
            self._out = gui.add_text('Folder', str(root.with_name(f'{root.resolve().name}-judged')))
            write = gui.add_button('write')
            write.on_click(lambda _: self._write())
            self._written = gui.add_html(_words('The dataset that is looked at stays as it is.'))
        gui.main_panel.dock_right()
        gui.main_panel.set_width(380)
        views = gui.add_panel()
        with views.add_tab('Pictures'):
            self._picture = gui.add_image(_NOTHING, label='', jpeg_quality=_QUALITY)
        views.dock_left()
        views.set_width(500)
        joints = gui.add_panel()
        with joints.add_tab('Joints'):
            self._cursor = gui.add_html('')
            self._plots = gui.add_html('')
        joints.dock_below(views)

    def _buttons(self, label: str, names: tuple[str, ...], pressed: Callable[[str], None]) -> None:
        group = self._server.gui.add_button_group(label, names)
        group.on_click(lambda event: pressed(event.target.value))

    def _on_edit(self, handle: Any, act: Callable[[], None]) -> None:
        """Whenever a person changes it; the player's own changes come from no client."""
        handle.on_update(lambda event: act() if event.client else None)

    # What is pressed.

    def _play(self, what: str) -> None:
        with self._told:
            if what == 'again' or (what == 'play' and self._at_end):
                self._row = 0
            self._playing = what != 'pause'
            self._told.notify()

    def _retask(self) -> None:
        own = self._catalogue.dataset.episodes[self._index].task
        given = self._task.value.strip()
        self._change(task='' if given == own else given)

    def _reflag(self) -> None:
        own = (self._catalogue.dataset.episodes[self._index].health or {}).get('flag') or ''
        given = self._flag.value.strip()
        self._change(flag=None if given == own else given)

    def _cut(self, what: str) -> None:
        try:
            if what == 'uncut':
                self._change(parts=())
            else:
                self._catalogue.cut(self._index, self._row, what)
                self._show_change()
        except (ValueError, OSError) as error:
            self._changed.content = _words(str(error), '#e03131')

    def _change(self, **what: object) -> None:
        try:
            self._catalogue.change(self._index, **what)
        except OSError as error:
            self._changed.content = _words(f'not kept: {explained(error)}', '#e03131')
        else:
            self._show_change()

    def _write(self) -> None:
        def told(text: str) -> None:
            self._written.content = _words(text)

        try:
            new = self._catalogue.write(Path(self._out.value).expanduser(), told)
            told(f'{new.root}: written, {len(new.episodes)} episodes')
        except ValueError as error:
            self._written.content = _words(str(error), '#e03131')
        except OSError as error:
            self._written.content = _words(explained(error), '#e03131')
        self._show_change()

    # What is shown.

    @property
    def _at_end(self) -> bool:
        return self._opened is not None and self._row >= self._opened.length - 1

    def _work(self) -> None:
        due = 0.0
        while True:
            with self._told:
                while not (self._ended or self._wanted is not None or self._is_due()):
                    self._told.wait(_LOOK)
                    due = time.monotonic()
                if self._ended:
                    return
                wanted, self._wanted = self._wanted, None
            if wanted is not None:
                self._load(wanted)
                due = time.monotonic()
            elif self._opened is not None:
                self._show(self._opened, self._row)
                due = max(due + 1.0 / (self._catalogue.dataset.fps * self._speed), time.monotonic())
                with self._told:
                    shown = self.shown == (self._index, self._row)
                    self._playing = self._playing and not self._at_end
                    self._told.wait(due - time.monotonic())
                    if shown and self._playing and self.shown == (self._index, self._row):
                        self._row += 1

    def _is_due(self) -> bool:
        return self._opened is not None and (
            self._playing or self.shown != (self._index, self._row)
        )

    def _load(self, index: int) -> None:
        catalogue = self._catalogue
        episode = catalogue.dataset.episodes[index]
        self._opened = None
        self._index, self._row, self._playing = index, 0, True
        change = catalogue.changes.get(index)
        said = dict(episode.health or {})
        self._about.content = _about(index, len(catalogue.dataset.episodes), episode.length, said)
        self._task.value = change.task if change and change.task else episode.task
        flag = change.flag if change and change.flag is not None else said.get('flag')
        self._flag.value = str(flag or '')
        self._picture.label = ' · '.join(catalogue.dataset.cameras) or 'no camera'
        self._picture.image, self._plots.content = _NOTHING, ''
        self._show_change()
        try:
            opened = OpenedEpisode(catalogue.dataset, index)
        except (ValueError, OSError) as error:
            self._about.content = _words(f'episode {index} cannot be read: {error}', '#e03131')
            return
        self._place.value = 0
        self._place.max = max(opened.length - 1, 1)
        self._plots.content = episode_plots_html(opened.names, opened.measured, opened.commanded)
        self._opened = opened

    def _show(self, opened: OpenedEpisode, row: int) -> None:
        self.shown = self._index, row
        try:
            picture = opened.picture(row)
        except (ValueError, OSError) as error:
            self._about.content, picture = _words(str(error), '#e03131'), None
        if picture is not None:
            self._picture.image = picture
        self._place.value = row
        share = 100.0 * row / max(opened.length - 1, 1)
        self._cursor.content = f'<style>:root{{--at:{share:.1f}%}}</style>'
        self._move(opened.posture(row))

    def _move(self, posture: dict[str, float]) -> None:
        """The robot is built when it is first needed; other robots have no meshes here."""
        if self._figure is None:
            robot = load_robot()
            if not set(robot.action_joints) <= posture.keys():
                return
            model = pinocchio.buildModelFromXML(urdf())
            self._figure = RobotFigure(self._server, '/robot', model, joint_meshes(model), robot)
        self._figure.move(posture)

    def _show_change(self) -> None:
        changes = self._catalogue.changes
        own = changes.get(self._index)
        others = len(changes) - (own is not None)
        this = escape(own.words) if own else 'nothing'
        self._changed.content = _words(f'changed here: <b>{this}</b>; in {others} other episodes')


def _about(index: int, count: int, rows: int, health: dict[str, object]) -> str:
    return _words(
        f'<b>episode {index}</b> of {count} · {rows} rows · '
        f'outcome {escape(str(health.get("outcome") or "unsaid"))}'
        f'<br><span style="color:#e03131">{escape(fault_of(health))}</span>'
    )


def _words(text: str, colour: str = '#222') -> str:
    return f'<div style="font:12px/1.45 system-ui;padding:2px 10px;color:{colour}">{text}</div>'
