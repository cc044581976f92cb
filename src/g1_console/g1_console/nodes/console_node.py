"""The console in the browser: reads a running system, asks services, commands no motor."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass

from rclpy.node import Node

from g1_console.plan_view import mode_colour
from g1_console.web.access import TOKEN_VARIABLE, Access
from g1_console.web.budgets import Budgets
from g1_console.web.buttons import ControlButtons, EpisodeButtons, TaskButtons
from g1_console.web.cameras import CameraViews
from g1_console.web.console_page import Told, console_page
from g1_console.web.event_log import EventLog
from g1_console.web.imagined_view import ImaginedView
from g1_console.web.joint_plots import JointPlots
from g1_console.web.panels import (
    answer_html,
    measures_html,
    policy_html,
    recorder_html,
    safety_html,
    timeline_html,
)
from g1_console.web.requests import Requests
from g1_console.web.robot_scene import RobotScene
from g1_console.web.running_system import RunningSystem
from g1_console.web.server import serve
from g1_control.safety import Mode
from g1_description import load_robot
from g1_description.control_source import ControlSource
from g1_ros.config import load_tasks
from g1_ros.main import run
from g1_ros.parameters import declare, parameter
from g1_ros.timers import steady_timer

_WATCHED, _UNWATCHED = 1 / 30, 0.5  # [s] between looks at what came
_EVERY_SCENE, _EVERY_PLOT, _EVERY_TEXT = 2, 6, 8  # looks between two pictures of each
_NO_CONTROL = {'mode': 'NO CONTROL', 'text': 'control_node is not heard', 'colour': '#343a40'}


@dataclass(frozen=True)
class ConsoleParameters:
    """Where the page is."""

    address: str = parameter(
        '127.0.0.1',
        description='Address that is listened on. One that others reach, as 0.0.0.0, needs '
        f'a token of 16 characters or more in the environment variable {TOKEN_VARIABLE}.',
    )
    port: int = parameter(8088, minimum=1024, maximum=65535, description='Port of the page.')


class ConsoleNode(Node):
    """Connects the rooms of `g1_console.web`; nothing is heard, drawn or encoded for nobody."""

    def __init__(self) -> None:
        super().__init__('console_node')
        given = declare(self, ConsoleParameters)
        access = Access(given.address, os.environ.get(TOKEN_VARIABLE, ''))
        robot = load_robot()
        self._timeline = EventLog()
        self._system = RunningSystem(self, robot, self._timeline)
        self._requests = Requests(self, self._wait, self._answered)
        page = console_page(access, self._bar, self._emergency_stop)
        self._server = serve(page, given.address, given.port)
        self._scene = RobotScene(self._server, robot)
        self._plots = JointPlots(robot, 1 / (_WATCHED * _EVERY_PLOT))
        self._budgets = Budgets()
        self._looks = 0
        self._build_panels()
        self._timer = steady_timer(self, _UNWATCHED, self._look)
        address = f'http://{given.address}:{given.port}'
        token = f'/?token=${TOKEN_VARIABLE}' if access.token else ''
        self.get_logger().info(f'the console is at {address}{token}')

    def destroy_node(self) -> None:
        """Ends the page."""
        self._server.stop()
        super().destroy_node()

    def _build_panels(self) -> None:
        gui = self._server.gui
        gui.configure_theme(show_logo=False, show_share_button=False, control_width='large')
        gui.set_panel_label('G1')
        self._answer = gui.add_html(answer_html(True, ''))
        ControlButtons(gui, self._requests)
        self._safety = gui.add_html('')
        self._policy = gui.add_html('')
        self._tasks = TaskButtons(gui, self._requests, load_tasks())
        self._recorder = gui.add_html('')
        EpisodeButtons(gui, self._requests)
        with gui.add_folder('Rates, ages, latencies'):
            self._measures = gui.add_html('')
        with gui.add_folder('What happened'):
            self._events = gui.add_html('')
        gui.main_panel.dock_right()
        gui.main_panel.set_width(400)
        views = gui.add_panel()
        with views.add_tab('Cameras'):
            self._cameras = CameraViews(gui, load_robot().embodiment.cameras)
        with views.add_tab('Imagined'):
            self._imagined = ImaginedView(gui)
        views.dock_left()
        views.set_width(500)
        joints = gui.add_panel()
        with joints.add_tab('Joints'):
            self._joints = gui.add_html(self._plots.html())
        joints.dock_below(views)

    # What is shown.

    def _look(self) -> None:
        """Takes what came; shows it, each kind as often as it is worth."""
        watched = bool(self._server.get_clients())
        if watched != self._system.watching:
            self._begin(watched)
        self._system.poll()
        if not watched:
            return
        now = self.get_clock().now().nanoseconds
        self._cameras.show(self._system.pictures, now)
        self._show_imagined()
        if self._looks % _EVERY_SCENE == 0 and self._system.state is not None:
            self._scene.show(self._system.state, self._system.plan, now * 1e-9)
        if self._looks % _EVERY_PLOT == 0:
            self._plots.add(self._system.measured, self._system.commanded)
            self._joints.content = self._plots.html()
        if self._looks % _EVERY_TEXT == 0:
            self._show_texts(now * 1e-9)
        self._looks += 1

    def _begin(self, watched: bool) -> None:
        self._system.watch(watched)
        self._timer.timer_period_ns = int(1e9 * (_WATCHED if watched else _UNWATCHED))
        self._cameras.clear()
        self._imagined.clear()
        self._plots.clear()
        self._looks = 0

    def _show_imagined(self) -> None:
        """Beside what the first of the robot's cameras that is heard saw at the same moment."""
        foresight = self._imagined.foresight
        while self._system.imagined:
            foresight.imagined(*self._system.imagined.popleft())
        pictures = self._system.pictures
        for picture in [pictures[n] for n in load_robot().embodiment.cameras if n in pictures][:1]:
            foresight.came(picture.stamp, picture.pixels)
        self._imagined.show()

    def _show_texts(self, now: float) -> None:
        system = self._system
        measures = self._budgets.measures(system, self._cameras.delays, now)
        for element, content in (
            (self._safety, safety_html(system.safety)),
            (self._policy, policy_html(system.policy)),
            (self._recorder, recorder_html(system.recorder)),
            (self._measures, measures_html(measures)),
            (self._events, timeline_html(self._timeline)),
        ):
            if element.content != content:
                element.content = content
        if system.policy is not None:
            self._tasks.running(system.policy.task)

    def _bar(self) -> dict[str, str]:
        """Mode, reason and who has the arms; asked by the server's thread."""
        status = self._system.safety
        if status is None:
            return _NO_CONTROL
        red, green, blue = (round(200 * value) for value in mode_colour(status.mode))
        name = Mode(status.mode).name
        return {
            'mode': name,
            'text': status.text.removeprefix(f'{name}: '),
            'colour': f'rgb({red},{green},{blue})',
            'source': ControlSource(status.control_source).words,
        }

    # What is asked.

    def _emergency_stop(self, told: Told) -> None:
        self._requests.ask('e-stop', told)

    def _wait(self, name: str) -> None:
        self._answer.content = answer_html(True, f'{name}: no answer yet')

    def _answered(self, name: str, done: bool, text: str) -> None:
        self._timeline.add(time.time(), 'info' if done else 'error', f'console: {name}', text)
        self._answer.content = answer_html(done, text)


def main(args: list[str] | None = None) -> int:
    """Runs the node. Returns the exit code."""
    return run(ConsoleNode, args)


if __name__ == '__main__':
    sys.exit(main())
