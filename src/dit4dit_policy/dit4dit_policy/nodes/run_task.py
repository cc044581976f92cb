"""The action policy/run_task: the policy works on one task, for some time."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dit4dit_msgs.action import RunTask
from dit4dit_msgs.msg import PolicyStatus
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.lifecycle import LifecycleNode
from rclpy.task import Future
from std_msgs.msg import Bool

from dit4dit_policy.nodes.inference_thread import TaskRun
from g1_ros import qos

_DEADLINE = 5.0  # [s] a goal that gets no chunk at all from input or policy ends after this
_TOLD = 10.0  # [s] how long the status tells of a goal that was rejected
_DONE_FOR = 1.0  # [s] that a task stays done before its goal ends
_TASK_NAME = re.compile(r'[a-z0-9_]+')


def instruction_of(task: str, tasks: Mapping[str, str]) -> str:
    """What the policy is told: the instruction of a task's name, or `task` itself, in words.

    What looks like a name has to be one of `tasks`. ValueError says which there are.
    """
    if task in tasks:
        return tasks[task]
    if not task or _TASK_NAME.fullmatch(task):
        raise ValueError(
            f"task: expected one of {', '.join(tasks)}, or an instruction in words, got '{task}'"
        )
    return task


@dataclass
class _Goal:
    """A goal that is being carried out; `ended` gets error code and text."""

    handle: ServerGoalHandle
    run: TaskRun
    start: float  # node time [s]
    ended: Future


class RunTaskServer:
    """Carries out goals, one at a time: a newer one takes over."""

    def __init__(
        self,
        node: LifecycleNode,
        *,
        instruction_of: Callable[[str], str],
        not_ready: Callable[[], str],
        start: Callable[[TaskRun | None], None],
    ) -> None:
        """Args:
        node: whose action it is.
        instruction_of: what the policy is told for a task; ValueError says what a task is.
        not_ready: why no goal can be taken now; '' when it can.
        start: lets the policy work on a task, or on none.
        """
        self._node = node
        self._instruction_of = instruction_of
        self._not_ready = not_ready
        self._start = start
        self._goal: _Goal | None = None
        self._rejection = ''  # of the newest goal; '' when it was accepted
        self._rejected_at = -math.inf
        self._done_since: float | None = None  # node time [s]; None while the task is not done
        node.create_subscription(Bool, 'sim/success', self._take_success, qos.STATUS)
        self._server = ActionServer(
            node,
            RunTask,
            'policy/run_task',
            self._carry_out,
            goal_callback=self._answer,
            cancel_callback=lambda _goal: CancelResponse.ACCEPT,
        )

    @property
    def busy(self) -> bool:
        """Whether a goal is being carried out."""
        return self._goal is not None

    @property
    def rejection(self) -> str:
        """Why the newest goal was rejected; '' when it was not, or some time ago."""
        return self._rejection if time.monotonic() - self._rejected_at < _TOLD else ''

    def end(self, error_code: int, text: str = '') -> None:
        """Ends the goal there is, if any."""
        if self._goal is not None:
            self._goal.ended.set_result((error_code, text))
            self._goal = None
            self._start(None)

    def watch(self, state: int, text: str) -> None:
        """Ends the goal when it is time; else tells the client how it goes. Of PolicyStatus."""
        goal = self._goal
        if goal is None:
            return
        elapsed, limit = self._now() - goal.start, goal.handle.request.time_limit
        fruitless = goal.run.chunks == 0 and elapsed >= min(limit, _DEADLINE)
        if goal.handle.is_cancel_requested:
            self.end(RunTask.Result.CANCELED, 'canceled by the client')
        elif goal.run.failure and (fruitless or not goal.run.passing):
            self.end(RunTask.Result.INFERENCE_FAILED, goal.run.failure)
        elif fruitless and state == PolicyStatus.WAITING:
            self.end(RunTask.Result.NO_OBSERVATION, text)
        elif elapsed >= limit or (goal.handle.request.until_done and self._done_for(goal)):
            self.end(RunTask.Result.NONE)
        else:
            goal.handle.publish_feedback(
                RunTask.Feedback(
                    progress=max(0.0, elapsed / limit),
                    chunks=goal.run.chunks,
                    latency=goal.run.latency,
                )
            )

    def _take_success(self, message: Bool) -> None:
        if not message.data:
            self._done_since = None
        elif self._done_since is None:
            self._done_since = self._now()

    def _done_for(self, goal: _Goal) -> bool:
        """Whether the task has stayed done for so long, since the goal began."""
        since = self._done_since
        return since is not None and self._now() - max(since, goal.start) >= _DONE_FOR

    def _answer(self, request: RunTask.Goal) -> GoalResponse:
        self._rejection, self._rejected_at = self._refusal(request), time.monotonic()
        if not self._rejection:
            return GoalResponse.ACCEPT
        self._node.get_logger().warning(f'goal rejected: {self._rejection}')
        return GoalResponse.REJECT

    def _refusal(self, request: RunTask.Goal) -> str:
        if reason := self._not_ready():
            return reason
        if not (math.isfinite(request.time_limit) and request.time_limit > 0.0):
            return f'time_limit: expected a positive number of seconds, got {request.time_limit:g}'
        try:
            self._instruction_of(request.task.strip())
        except ValueError as error:
            return str(error)
        return ''

    async def _carry_out(self, handle: ServerGoalHandle) -> RunTask.Result:
        task = handle.request.task.strip()
        self.end(RunTask.Result.PREEMPTED, f"a newer goal took over: '{task}'")
        task_run = TaskRun(task, self._instruction_of(task))
        goal = _Goal(handle, task_run, self._now(), Future())
        self._goal = goal
        self._start(task_run)
        error_code, text = await goal.ended
        if error_code == RunTask.Result.NONE:
            handle.succeed()
        elif error_code == RunTask.Result.CANCELED and handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        return RunTask.Result(
            error_code=error_code,
            error_msg=text,
            done=self._done_since is not None,
            chunks=task_run.chunks,
            duration=self._now() - goal.start,
        )

    def _now(self) -> float:
        return self._node.get_clock().now().nanoseconds * 1e-9
