"""`g1 demo`: one run of the policy system in simulation, and a folder that tells what happened.

    g1 demo --task arrange_flower --duration 20 --seed 0

Expect a report, a plot and two videos in runs/<time>-<task>/ after about a minute. The exit code
is 0 when the system worked, whether or not the task succeeded.

    g1 demo --task arrange_flower --duration 15 --seed 10000 --episodes 10

starts everything anew for each of ten seeds, ends each attempt when the task is done, and prints
how often it was: what `dit4dit eval` counts, but over ROS and in real time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import rclpy
from dit4dit_msgs.action import RunTask
from dit4dit_msgs.msg import PolicyStatus, SafetyStatus
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from std_srvs.srv import Trigger

from dit4dit_policy.evaluation.statistics import wilson_interval
from g1_bench.launched import DemoError, free_domain, launched
from g1_bench.monitor import Monitor
from g1_bench.report import LINGER, Run, nanoseconds, report
from g1_bench.run_plots import FPS, camera_frames, plot_joints, write_video
from g1_bringup.arguments import check
from g1_bringup.system import Value
from g1_bringup.systems import find
from g1_ros.middleware import environment
from g1_sim.replay import render

#: How long each step may take [s], on a slow machine that is doing something else too.
READY_SECONDS, ARM_SECONDS = 180.0, 15.0
#: The weight ramps up within this [s], with time to spare.
ARMING_SECONDS = 4.0
_POLL_SECONDS = 0.05
_MODES = {
    getattr(SafetyStatus, name): name
    for name in ('DISARMED', 'ARMING', 'ACTIVE', 'HOLD', 'DISARMING', 'ESTOP')
}


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo; returns 0 when the system worked, 1 when it did not, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog='g1 demo', description='Run a task in simulation and write a report about it.'
    )
    parser.add_argument('--task', default='arrange_flower', help='default: %(default)s')
    parser.add_argument('--duration', type=float, default=20.0, help='seconds; default: 20')
    parser.add_argument('--seed', default='0', help='of the scene; default: %(default)s')
    parser.add_argument(
        '--episodes', type=int, default=1, help='attempts, each with the next seed; default: 1'
    )
    parser.add_argument('--out', type=Path, default=Path('runs'), help='default: %(default)s')
    given = parser.parse_args(arguments)
    if not 0.0 < given.duration <= 3600.0:
        parser.error(f'--duration: expected seconds from 0 to 3600, got {given.duration:g}')
    if given.episodes < 1:
        parser.error(f'--episodes: expected at least 1, got {given.episodes}')
    values = check(find('policy.launch.py'), {'task': given.task, 'seed': given.seed})

    console = Console()
    folder = given.out / f'{datetime.now():%Y%m%d-%H%M%S}-{given.task}'
    folder.mkdir(parents=True)
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    try:
        if given.episodes == 1:
            console.print(_table(_demo(folder, values, given.duration, console), folder))
        else:
            _episodes(folder, values, given.duration, given.episodes, console)
    except DemoError as error:
        console.print(f'[bold red]error:[/] {escape(str(error))}', soft_wrap=True, highlight=False)
        console.print(f'All output of the nodes is in log.txt, in {folder}', soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print(f'interrupted; the log so far is in {folder}')
        return 130
    return 0


def _episodes(
    folder: Path, values: dict[str, Value], seconds: float, count: int, console: Console
) -> None:
    """Attempts one after the other, each in a system of its own; then how they went."""
    contents: list[dict[str, Any]] = []
    first = int(str(values['seed']))
    for seed in range(first, first + count):
        attempt = folder / f'seed-{seed}'
        attempt.mkdir()
        contents.append(_demo(attempt, {**values, 'seed': seed}, seconds, console, until_done=True))
        console.print(_success_table(contents))
        (folder / 'results.json').write_text(json.dumps(contents, indent=2) + '\n')
    console.print(f'{folder / "results.json"}', soft_wrap=True)


def _demo(
    folder: Path,
    values: dict[str, Value],
    seconds: float,
    console: Console,
    until_done: bool = False,
) -> dict[str, Any]:
    """Runs everything and fills the folder; returns the report.

    With `until_done` a run ends when the task is, and is not rendered from outside.
    """
    with TemporaryDirectory(prefix='scratch-', dir=folder) as scratch:
        return _run(folder, Path(scratch), values, seconds, console, until_done)


def _run(
    folder: Path,
    scratch: Path,
    values: dict[str, Value],
    seconds: float,
    console: Console,
    until_done: bool,
) -> dict[str, Any]:
    task, seed = str(values['task']), int(str(values['seed']))
    os.environ.setdefault('ROS_DOMAIN_ID', str(free_domain()))
    os.environ.update(environment(values))
    console.print(
        f'{task} for {seconds:g} s, seed {seed}; to look in from another shell: '
        f'export ROS_DOMAIN_ID={os.environ["ROS_DOMAIN_ID"]}',
        soft_wrap=True,
    )
    log, images = scratch / 'simulation.npz', scratch / 'images.cdr'
    words = ['policy.launch.py', f'task:={task}', f'seed:={seed}', f'sim_log:={log.resolve()}']
    with (
        launched([*words, 'run:=false'], folder / 'log.txt') as alive,
        _node() as node,
        _Session(node, images, alive, console) as session,
    ):
        session.wait_until_ready()
        session.arm()
        run = session.run_task(task, seed, seconds, until_done)
        session.disarm()
    record = session.record
    content = report(record, run)
    (folder / 'report.json').write_text(json.dumps(content, indent=2) + '\n')
    plot_joints(record, run, folder / 'joints.png')
    write_video(camera_frames(record, run, images), folder / 'ego.mp4')
    if until_done:
        return content
    total = int(run.seconds * FPS)
    frames = render(log, 'overview', FPS, start=run.start, end=run.end)
    write_video(
        track(frames, 'rendering overview.mp4', total, console=console), folder / 'overview.mp4'
    )
    return content


class _Session:
    """An operator at the running system, with a line on the terminal that says what is going on."""

    def __init__(
        self, node: Node, images: Path, alive: Callable[[], None], console: Console
    ) -> None:
        self._operator = node
        self._alive = alive
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._listener = Node('demo_monitor')
        self._monitor = Monitor(self._listener, images)
        self.record = self._monitor.record
        self._console, self._phase = console, 'starting'
        self._live = Live(
            console=console, get_renderable=self._line, auto_refresh=False, transient=True
        )

    def __enter__(self) -> _Session:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        self._monitor.close()
        self._executor.shutdown()
        self._listener.destroy_node()

    def wait_until_ready(self) -> None:
        """Until the robot is heard and the policy has what it needs."""
        record = self.record
        needed = {
            '/lowstate': lambda: record.lowstate,
            '/joint_states': lambda: record.joint_states,
            '/camera/camera/color/image_raw': lambda: record.images,
            'control/safety_status': lambda: record.safety,
            'policy/status IDLE with fresh observations': self._policy_is_ready,
        }
        self._wait(
            lambda: all(ready() for ready in needed.values()),
            READY_SECONDS,
            lambda: (
                'the system was not ready: nothing on '
                + ', '.join(name for name, ready in needed.items() if not ready())
            ),
        )

    def _check_policy(self) -> None:
        if self.record.policy and self.record.policy[-1][1].state == PolicyStatus.ERROR:
            raise DemoError(self.record.policy[-1][1].text)

    def arm(self) -> None:
        """Arms the robot; tries again where a moment's load of the computer was in the way."""
        self._enter('arming')
        self._monitor.keep_images = True
        armed = (SafetyStatus.ACTIVE, SafetyStatus.HOLD)
        deadline = time.monotonic() + ARM_SECONDS
        while self._mode not in armed:
            answer = self._call('control/arm')
            attempt = time.monotonic() + (ARMING_SECONDS if answer.success else 0.5)
            while self._mode not in armed and time.monotonic() < attempt:
                self._listen(_POLL_SECONDS)
            if self._mode not in armed and time.monotonic() > deadline:
                raise DemoError(f'the robot does not arm: {self._safety_text}')

    def run_task(self, task: str, seed: int, seconds: float, until_done: bool) -> Run:
        """Lets the policy run the task, or `until_done`; from when to when it did."""
        self._enter('running')
        client = ActionClient(self._operator, RunTask, 'policy/run_task')
        self._wait(client.server_is_ready, 10.0, lambda: 'no action policy/run_task')
        goal = client.send_goal_async(RunTask.Goal(task=task, time_limit=seconds))
        self._wait(goal.done, 10.0, lambda: 'policy/run_task did not answer')
        handle = goal.result()
        if handle is None or not handle.accepted:
            raise DemoError(f'policy/run_task refused the task {task}')
        start = time.time_ns()
        ended = handle.get_result_async()
        self._wait(
            lambda: ended.done() or (until_done and self._done_since(start)),
            seconds + 10.0,
            lambda: 'the task did not end',
        )
        if not ended.done():
            handle.cancel_goal_async()
            self._wait(ended.done, 10.0, lambda: 'the task was not cancelled')
        run = Run(task, seed, start, time.time_ns())
        result = ended.result().result
        client.destroy()
        if result.error_code not in (RunTask.Result.NONE, RunTask.Result.CANCELED):
            raise DemoError(
                f'the policy gave up with error {result.error_code}: {result.error_msg}'
            )
        if self._mode not in (SafetyStatus.ACTIVE, SafetyStatus.HOLD):
            raise DemoError(f'the robot was disarmed during the task: {self._safety_text}')
        return run

    def _done_since(self, start: int) -> bool:
        """Whether the task has been done for good: for `LINGER` [s]."""
        if not self.record.success or not self.record.success[-1][1]:
            return False
        return time.time_ns() - max(self.record.success[-1][0], start) > LINGER * 1e9

    def disarm(self) -> None:
        self._enter('disarming')
        answer = self._call('control/disarm')
        if not answer.success:
            raise DemoError(f'the robot refused to disarm: {answer.message}')
        self._reach((SafetyStatus.DISARMED,), 'disarm')
        self._enter('stopping')

    def _reach(self, modes: tuple[int, ...], what: str) -> None:
        self._wait(
            lambda: self._mode in modes,
            ARM_SECONDS,
            lambda: f'the robot did not {what} ({self._safety_text})',
        )

    def _call(self, service: str) -> Trigger.Response:
        client = self._operator.create_client(Trigger, service)
        self._wait(client.service_is_ready, 10.0, lambda: f'no service {service}')
        future = client.call_async(Trigger.Request())
        self._wait(future.done, 10.0, lambda: f'{service} did not answer')
        answer = future.result()
        self._operator.destroy_client(client)
        if answer is None:
            raise DemoError(f'{service} did not answer')
        return answer

    def _wait(self, done: Callable[[], Any], seconds: float, problem: Callable[[], str]) -> None:
        """Goes on listening until `done`; DemoError with `problem` when that takes too long."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise DemoError(f'{problem()} after {seconds:g} s')
            self._listen(_POLL_SECONDS)

    def _listen(self, seconds: float) -> None:
        """Takes what has come, then waits."""
        self._alive()
        self._monitor.poll()
        self._check_policy()
        for _ in range(3):  # the answers of services and action, and the action's feedback
            self._executor.spin_once(timeout_sec=0.0)
        self._live.refresh()
        time.sleep(seconds)

    def _enter(self, phase: str) -> None:
        """Begins a phase; a file or pipe, where no line can be renewed, gets one for each."""
        self._phase = phase
        if not self._console.is_terminal:
            self._console.print(self._line(), soft_wrap=True)

    def _policy_is_ready(self) -> bool:
        if not self.record.policy:
            return False
        status = self.record.policy[-1][1]
        heard = status.image_age >= 0.0 and status.joint_state_age >= 0.0
        return heard and status.state in (PolicyStatus.IDLE, PolicyStatus.RUNNING)

    @property
    def _mode(self) -> int:
        return self.record.safety[-1][1].mode if self.record.safety else SafetyStatus.DISARMED

    @property
    def _safety_text(self) -> str:
        return self.record.safety[-1][1].text if self.record.safety else 'nothing heard'

    def _line(self) -> str:
        record = self.record
        parts = [f'[bold]{self._phase}[/]', _MODES.get(self._mode, '?')]
        if record.policy:
            parts.append(f'{record.policy[-1][1].rate:.1f} chunks/s')
        if record.real_time_factors:
            parts.append(f'real-time factor {record.real_time_factors[-1][1]:.2f}')
        if record.chunks:
            arrival, chunk = record.chunks[-1]
            parts.append(f'age {(arrival - nanoseconds(chunk.header.stamp)) * 1e-6:.0f} ms')
        if record.success:
            parts.append('success' if record.success[-1][1] else 'no success yet')
        return ' · '.join(parts)


@contextmanager
def _node() -> Iterator[Node]:
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node('demo_operator')
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def _table(content: dict[str, Any], folder: Path) -> Table:
    chunks, commands = content['chunks'], content['commands']
    trained = 'trained' if content['trained'] else 'UNTRAINED'
    table = Table(title=f'{content["task"]}, seed {content["seed"]}', show_header=False)
    rows = {
        'success': 'yes' if content['success'] else 'no',
        'checkpoint': f'{content["checkpoint"]} ({trained})',
        'real-time factor': content['real_time_factor'],
        'chunks': f'{chunks["count"]}, {chunks["rate_hz"]} Hz, {chunks["rejected"]} rejected',
        'observation age': f'p50 {_ms(chunks["observation_age_p50_s"])}, '
        f'p95 {_ms(chunks["observation_age_p95_s"])}',
        'commands': f'{commands["rate_hz"]} Hz, jitter p50 {_ms(commands["jitter_p50_s"])}, '
        f'p99 {_ms(commands["jitter_p99_s"])}',
        'largest gap': f'{_ms(commands["largest_gap_s"])}, '
        f'{commands["deadlines_missed"]} deadlines missed',
        'clamps, holds': f'{commands["clamps"]}, {commands["holds"]}',
        'largest step': '{value} rad, {joint}'.format(**commands['largest_step_rad']),
        'largest velocity': '{value} rad/s, {joint}'.format(**commands['largest_velocity_rad_s']),
        **{topic: f'{rate} Hz' for topic, rate in content['rates_hz'].items()},
        'folder': str(folder),
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


def _success_table(contents: list[dict[str, Any]]) -> Table:
    done = [content for content in contents if content['success']]
    low, high = wilson_interval(len(done), len(contents))
    table = Table(title=f'{contents[0]["checkpoint"]}: {contents[0]["task"]}, over ROS')
    columns = ('seed', 'success', 'time \\[s]', 'real-time factor', 'chunks', 'observation age')
    for name in (*columns, 'rejected', 'holds'):
        table.add_column(name, justify='right')
    for content in contents:
        chunks = content['chunks']
        table.add_row(
            str(content['seed']),
            'yes' if content['success'] else 'no',
            '' if content['success_time_s'] is None else f'{content["success_time_s"]:.1f}',
            str(content['real_time_factor']),
            f'{chunks["rate_hz"]} Hz',
            f'{_ms(chunks["observation_age_p50_s"])}, {_ms(chunks["observation_age_p95_s"])}',
            str(chunks['rejected']),
            str(content['commands']['holds']),
        )
    table.caption = (
        f'{len(done)} of {len(contents)} succeeded: {len(done) / len(contents):.0%}, '
        f'95 % interval {low:.0%} to {high:.0%}; age: p50, p95'
    )
    return table


def _ms(seconds: float | None) -> str:
    return '–' if seconds is None else f'{seconds * 1e3:.3g} ms'
