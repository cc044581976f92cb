"""An operator at the running demo: waits, arms, gives the task, disarms; keeps what is heard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
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
from std_srvs.srv import Trigger

from g1_bench.launched import DemoError
from g1_bench.monitor import Monitor
from g1_bench.report import DemoRun
from g1_ros.stamps import nanoseconds

#: How long each step may take [s], on a slow machine that is doing something else too.
READY_SECONDS, ARM_SECONDS = 180.0, 15.0
#: The weight ramps up within this [s], with time to spare.
ARMING_SECONDS = 4.0
_POLL_SECONDS = 0.05
_LINE_SECONDS = 5.0  # between two lines of a file or pipe
_MODES = {
    getattr(SafetyStatus, name): name
    for name in ('DISARMED', 'ARMING', 'ACTIVE', 'HOLD', 'DISARMING', 'ESTOP')
}


class Session:
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
        self._printed = time.monotonic()
        self._live = Live(
            console=console, get_renderable=self._line, auto_refresh=False, transient=True
        )

    def __enter__(self) -> Session:
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

    def run_task(self, task: str, seed: int, seconds: float) -> DemoRun:
        """Lets the policy work until the task is done, or so long; from when to when it did.

        It is told what the scene asks for, where that says so, else the task's own sentence.
        """
        self._enter('running')
        client = ActionClient(self._operator, RunTask, 'policy/run_task')
        self._wait(client.server_is_ready, 10.0, lambda: 'no action policy/run_task')
        told = self.record.instructions[-1][1] if self.record.instructions else task
        request = RunTask.Goal(task=told, time_limit=seconds, until_done=True)
        goal = client.send_goal_async(request)
        self._wait(goal.done, 10.0, lambda: 'policy/run_task did not answer')
        handle = goal.result()
        if handle is None or not handle.accepted:
            raise DemoError(f'policy/run_task refused the task {task}')
        start = time.time_ns()
        ended = handle.get_result_async()
        self._wait(ended.done, seconds + 10.0, lambda: 'the task did not end')
        run = DemoRun(task, seed, start, time.time_ns())
        result = ended.result().result
        client.destroy()
        if result.error_code != RunTask.Result.NONE:
            raise DemoError(
                f'the policy gave up with error {result.error_code}: {result.error_msg}'
            )
        if self._mode not in (SafetyStatus.ACTIVE, SafetyStatus.HOLD):
            raise DemoError(f'the robot was disarmed during the task: {self._safety_text}')
        return run

    def disarm(self) -> None:
        """Until the robot is disarmed."""
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
        self._show()
        time.sleep(seconds)

    def _enter(self, phase: str) -> None:
        """Begins a phase."""
        self._phase = phase
        self._printed -= _LINE_SECONDS
        self._show()

    def _show(self) -> None:
        """Renews the line; a file or pipe gets one for each phase and every few seconds."""
        if self._console.is_terminal:
            self._live.refresh()
        elif time.monotonic() - self._printed >= _LINE_SECONDS:
            self._printed = time.monotonic()
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
def demo_node() -> Iterator[Node]:
    """The operator's node, in a middleware of its own."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node('demo_operator')
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
