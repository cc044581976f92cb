"""policy_node: camera image and joint state in, action chunks out.

A lifecycle node: the weights load in `configure`; it subscribes and infers only while active. One
thread infers, always from the newest image and the joint state that matches its stamp; the executor
thread does everything else.
"""

from __future__ import annotations

import gc
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from dit4dit_msgs.action import RunTask
from dit4dit_msgs.msg import ActionChunk, PolicyStatus, SafetyStatus
from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.subscription import Subscription
from rclpy.task import Future
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header

from dit4dit_policy.inference.observation_buffer import (
    Match,
    NoObservationError,
    ObservationBuffer,
)
from dit4dit_policy.nodes.messages import (
    duration_message,
    nanoseconds,
    rgb_array,
    time_message,
    trajectory_message,
)
from g1_ros.config import load_tasks
from g1_ros.diagnostics import diagnostic
from g1_ros.main import run
from g1_ros.parameters import declare, parameter
from g1_ros.qos import COMMAND, NEWEST_SENSOR_DATA, SENSOR_DATA, STATUS
from g1_ros.rates import RateMeter
from g1_ros.timers import steady_timer

if TYPE_CHECKING:
    from dit4dit_policy.inference.chunking import Continuation
    from dit4dit_policy.inference.policy import DiT4DiTPolicy

_TICK = 0.05  # [s] how soon a change shows in the status, and a task ends after its limit
_STATUS_EVERY, _DIAGNOSTICS_EVERY = 4, 20  # ticks: 5 Hz and 1 Hz
_EARLIEST = 0.9  # of the period: a frame that comes a little early must not cost a whole one
_OBSERVATION_DEADLINE = 5.0  # [s] a RunTask goal without any usable observation ends after this


@dataclass(frozen=True)
class PolicyParameters:
    task: str = parameter(
        '',
        description='Task of config/tasks.yaml to infer for once active; empty: wait for RunTask.',
    )
    checkpoint: str = parameter(
        '', description='Folder of the checkpoint; empty: the one shipped with the suite.'
    )
    threads: int = parameter(
        1,
        minimum=1,
        maximum=256,
        description='CPU threads for inference; more help only where that many cores are idle.',
    )
    max_rate: float = parameter(
        5.0, unit='Hz', minimum=0.1, maximum=100.0, description='Chunks per second at most.'
    )
    max_image_age: float = parameter(
        0.2,
        unit='s',
        minimum=0.01,
        maximum=10.0,
        description='No inference from an image older than this.',
    )
    max_joint_state_gap: float = parameter(
        0.05,
        unit='s',
        minimum=0.001,
        maximum=1.0,
        description='Largest distance in time of an image and the nearest joint state.',
    )
    real_time_chunking: bool = parameter(
        False,
        description='Each chunk continues the one that is being executed; costs inference time.',
    )
    autostart: bool = parameter(
        True, description='Configure and activate without being asked by a lifecycle manager.'
    )


@dataclass
class TaskRun:
    """The policy working on one task, until it ends or another one takes its place."""

    task: str
    instruction: str
    chunks: int = 0
    failure: str = ''  # of the newest inference; empty when it worked
    inference_time: float = 0.0  # of the newest chunk [s]
    latency: float = 0.0  # from image capture to the newest chunk published [s]
    rate: RateMeter = field(default_factory=lambda: RateMeter(window=1.0))
    continuation: Continuation | None = None  # of its chunks; None before the first


@dataclass(frozen=True)
class _Inferred:
    """A chunk with what it was made from. age: of the image when inference began [s]."""

    match: Match[Image]
    positions: np.ndarray
    frozen_steps: int
    age: float
    duration: float


@dataclass
class _Goal:
    """A RunTask goal that is being carried out; `ended` gets error code and text."""

    handle: ServerGoalHandle
    run: TaskRun
    start: float  # node time [s]
    ended: Future

    def elapsed(self, now: float) -> float:
        return now - self.start


class InferenceThread(threading.Thread):
    """Infers for `task_run` (None: idles) as an image comes, at most at `max_rate`."""

    def __init__(
        self,
        policy: DiT4DiTPolicy,
        parameters: PolicyParameters,
        match: Callable[[], tuple[Match[Image], float]],
        executing: Callable[[], bool],
        deliver: Callable[[TaskRun, _Inferred], None],
    ) -> None:
        """match: the newest observation and its age [s]. executing: whether the robot follows."""
        super().__init__(name='inference', daemon=True)
        self.task_run: TaskRun | None = None
        self._policy = policy
        self._parameters = parameters
        self._match = match
        self._executing = executing
        self._deliver = deliver
        self._image_came = threading.Event()
        self._stop_asked = threading.Event()

    def image_came(self) -> None:
        self._image_came.set()

    def stop(self) -> None:
        """Ends after the inference that is going on; waits for it, but not forever."""
        self._stop_asked.set()
        self._image_came.set()
        self.join(timeout=2.0)

    def run(self) -> None:
        import torch

        torch.set_num_threads(self._parameters.threads)
        period = _EARLIEST / self._parameters.max_rate
        while True:
            self._image_came.clear()  # what came meanwhile has aged: the next is worth waiting for
            if self._stop_asked.is_set():
                return
            self._image_came.wait()
            task_run = self.task_run
            if task_run is None or self._stop_asked.is_set():
                continue
            start = time.monotonic()
            try:
                self._infer(task_run)
                task_run.failure = ''
            except NoObservationError:
                continue  # the status says so; try with the next image
            except Exception as error:
                task_run.failure = f'{type(error).__name__}: {error}'
            self._stop_asked.wait(start + period - time.monotonic())

    def _infer(self, task_run: TaskRun) -> None:
        from dit4dit_policy.inference.chunk_policy import Observation
        from dit4dit_policy.inference.chunking import Continuation

        match, age = self._match()
        start = time.monotonic()
        observation = Observation(
            images={'head': rgb_array(match.image)},
            state=match.joint_positions,
            instruction=task_run.instruction,
            stamp=match.stamp * 1e-9,
        )
        if task_run.continuation is None:
            task_run.continuation = Continuation(self._policy.step)
        continues = self._parameters.real_time_chunking and self._executing()
        prefix = task_run.continuation.prefix(match.stamp * 1e-9) if continues else None
        positions = self._policy.infer(observation, prefix)
        if self.task_run is task_run:  # else the task ended meanwhile
            frozen_steps = prefix.frozen if prefix else 0
            duration = time.monotonic() - start
            self._deliver(task_run, _Inferred(match, positions, frozen_steps, age, duration))


class PolicyNode(LifecycleNode):
    def __init__(self) -> None:
        super().__init__('policy_node')
        self.parameters = declare(self, PolicyParameters)
        self._tasks = load_tasks()
        task = self.parameters.task
        if task and task not in self._tasks:
            raise ValueError(f"parameter task: expected {_one_of(self._tasks)} or '', got '{task}'")

        self._policy: DiT4DiTPolicy | None = None
        self._problem = ''  # of the checkpoint; empty when it could be loaded
        self._observations: ObservationBuffer[Image] | None = None
        self._thread: InferenceThread | None = None
        self._run: TaskRun | None = None
        self._goal: _Goal | None = None
        self._chunk_id = 0
        self._chunk_rate = RateMeter()
        self._latencies: deque[float] = deque(maxlen=100)
        self._inference_times: deque[float] = deque(maxlen=100)
        self._ages: deque[float] = deque(maxlen=100)  # of images when inference begins
        self._safety_mode = SafetyStatus.DISARMED
        self._state_announced: int | None = None
        self._ticks = 0

        self._chunks = self.create_lifecycle_publisher(ActionChunk, 'policy/action_chunk', COMMAND)
        self._status = self.create_publisher(PolicyStatus, 'policy/status', STATUS)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._inputs: list[Subscription] = []
        self._server = ActionServer(
            self,
            RunTask,
            'policy/run_task',
            self._run_goal,
            cancel_callback=lambda _goal: CancelResponse.ACCEPT,
        )
        # On a steady clock: the status has to come also where simulated time stands still.
        steady_timer(self, _TICK, self._tick)

    # --- lifecycle ---

    def autostart(self) -> None:
        """Configures and activates; with a bad checkpoint it stays as it is and says so."""
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._policy = load_policy(self.parameters)
        except ValueError as error:
            self._problem = str(error)
            self.get_logger().error(self._problem)
            return TransitionCallbackReturn.FAILURE
        self._problem = ''
        if self._policy.trained:
            self.get_logger().info(f'{self._policy.model_id} is loaded')
        else:
            self.get_logger().warning(
                f'{self._policy.model_id} is UNTRAINED: its weights are random, expect motion '
                'without purpose; set the parameter checkpoint to a trained one'
            )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        assert self._policy is not None
        self._observations = ObservationBuffer(
            self._policy.embodiment.action_names,
            max_image_age=self.parameters.max_image_age,
            max_joint_state_gap=self.parameters.max_joint_state_gap,
        )
        observations = self._observations

        def match() -> tuple[Match[Image], float]:
            newest, now = observations.match(self._now()), self._now()
            return newest, (now - newest.stamp) * 1e-9

        self._thread = InferenceThread(
            self._policy,
            self.parameters,
            match,
            lambda: self._safety_mode == SafetyStatus.ACTIVE,
            self._deliver,
        )
        self._inputs = [
            self.create_subscription(
                Image, 'camera/camera/color/image_raw', self._on_image, NEWEST_SENSOR_DATA
            ),
            self.create_subscription(JointState, 'joint_states', self._on_joint_state, SENSOR_DATA),
            self.create_subscription(
                SafetyStatus, 'control/safety_status', self._on_safety_status, STATUS
            ),
        ]
        self._thread.start()
        if task := self.parameters.task:
            self._start(TaskRun(task, self._tasks[task]))
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_inferring()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._policy = None
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_inferring()
        self._policy = None
        return super().on_shutdown(state)

    def destroy_node(self) -> None:
        had_goal = self._goal is not None
        self._stop_inferring()
        if had_goal and self.executor:
            for _ in range(5):  # a few more callbacks, so that the client learns how its goal ended
                self.executor.spin_once(timeout_sec=_TICK)
        super().destroy_node()

    def _stop_inferring(self) -> None:
        self._end_goal(RunTask.Result.DEACTIVATED, 'the policy node was deactivated')
        self._start(None)
        if self._thread is not None:
            self._thread.stop()
            self._thread = None
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs = []
        self._observations = None

    # --- observations and chunks ---

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds

    def _on_image(self, message: Image) -> None:
        if self._observations and self._thread:
            self._observations.add_image(nanoseconds(message.header.stamp), message)
            self._thread.image_came()

    def _on_joint_state(self, message: JointState) -> None:
        if self._observations:
            self._observations.add_joint_state(
                nanoseconds(message.header.stamp), message.name, message.position
            )

    def _on_safety_status(self, message: SafetyStatus) -> None:
        self._safety_mode = message.mode

    def _start(self, task_run: TaskRun | None) -> None:
        self._run = task_run
        if self._thread is not None:
            self._thread.task_run = task_run

    def _deliver(self, task_run: TaskRun, chunk: _Inferred) -> None:
        """Publishes a chunk; called by the inference thread."""
        assert self._policy is not None and task_run.continuation is not None
        self._chunk_id += 1
        stamp = chunk.match.stamp
        self._chunks.publish(
            ActionChunk(
                header=Header(stamp=time_message(stamp)),
                chunk_id=self._chunk_id,
                task=task_run.task,
                model_id=self._policy.model_id,
                trajectory=trajectory_message(
                    stamp, self._policy.embodiment.action_names, chunk.positions, self._policy.step
                ),
                frozen_steps=chunk.frozen_steps,
                inference_time=duration_message(chunk.duration),
            )
        )
        latency = (self._now() - stamp) * 1e-9
        task_run.continuation.sent(stamp * 1e-9, chunk.positions, latency)
        task_run.inference_time = chunk.duration
        task_run.latency = latency
        task_run.chunks += 1
        task_run.rate.tick()
        self._chunk_rate.tick()
        self._latencies.append(latency)
        self._inference_times.append(chunk.duration)
        self._ages.append(chunk.age)

    # --- RunTask ---

    async def _run_goal(self, handle: ServerGoalHandle) -> RunTask.Result:
        task = handle.request.task.strip()
        problem = self._refusal(task, handle.request.time_limit)
        if problem is not None:
            handle.abort()
            return RunTask.Result(error_code=problem[0], error_msg=problem[1])
        self._end_goal(RunTask.Result.PREEMPTED, f"a newer goal took over: '{task}'")
        task_run = TaskRun(task, self._tasks.get(task, task))
        goal = _Goal(handle, task_run, self._now() * 1e-9, Future())
        self._goal = goal
        self._start(task_run)
        error_code, error_msg = await goal.ended
        if error_code == RunTask.Result.NONE:
            handle.succeed()
        elif error_code == RunTask.Result.CANCELED:
            handle.canceled()
        else:
            handle.abort()
        return RunTask.Result(
            error_code=error_code,
            error_msg=error_msg,
            chunks=task_run.chunks,
            duration=goal.elapsed(self._now() * 1e-9),
        )

    def _refusal(self, task: str, time_limit: float) -> tuple[int, str] | None:
        if self._thread is None:
            reason = self._problem or 'activate it first'
            return RunTask.Result.DEACTIVATED, f'the policy node is not active; {reason}'
        if not (math.isfinite(time_limit) and time_limit > 0.0):
            return (
                RunTask.Result.INVALID_GOAL,
                f'time_limit: expected a positive number of seconds, got {time_limit:g}',
            )
        if task not in self._tasks and ' ' not in task:
            return (
                RunTask.Result.INVALID_GOAL,
                f'task: expected {_one_of(self._tasks)}, or an instruction of several words, '
                f"got '{task}'",
            )
        return None

    def _end_goal(self, error_code: int, error_msg: str = '') -> None:
        if self._goal is not None:
            self._goal.ended.set_result((error_code, error_msg))
            self._goal = None
            self._start(None)

    def _watch_goal(self) -> None:
        """Ends the goal when it is time; else tells the client how it goes."""
        goal = self._goal
        if goal is None:
            return
        elapsed = goal.elapsed(self._now() * 1e-9)
        limit = goal.handle.request.time_limit
        state, text = self._state()
        if goal.handle.is_cancel_requested:
            self._end_goal(RunTask.Result.CANCELED, 'canceled by the client')
        elif goal.run.failure:
            self._end_goal(RunTask.Result.INFERENCE_FAILED, goal.run.failure)
        elif (
            elapsed >= min(limit, _OBSERVATION_DEADLINE)
            and goal.run.chunks == 0
            and state == PolicyStatus.WAITING
        ):
            self._end_goal(RunTask.Result.NO_OBSERVATION, text)
        elif elapsed >= limit:
            self._end_goal(RunTask.Result.NONE)
        else:
            goal.handle.publish_feedback(
                RunTask.Feedback(
                    progress=max(0.0, elapsed / limit),
                    chunks=goal.run.chunks,
                    latency=goal.run.latency,
                )
            )

    # --- status ---

    def _tick(self) -> None:
        self._watch_goal()
        state, text = self._state()
        changed = state != self._state_announced
        if changed or self._ticks % _STATUS_EVERY == 0:
            self._publish_status(state, text)
        if changed and state in (PolicyStatus.WAITING, PolicyStatus.ERROR):
            self.get_logger().warning(text, throttle_duration_sec=2.0)
        self._state_announced = state
        if self._ticks % _DIAGNOSTICS_EVERY == 0:
            self._publish_diagnostics(state, text)
        self._ticks += 1

    def _state(self) -> tuple[int, str]:
        if self._problem:
            return PolicyStatus.ERROR, self._problem
        if self._observations is None:
            return PolicyStatus.IDLE, 'not active'
        if self._run is None:
            return PolicyStatus.IDLE, 'waiting for a task'
        if self._run.failure:
            return PolicyStatus.ERROR, self._run.failure
        try:
            self._observations.match(self._now())
        except NoObservationError as problem:
            return PolicyStatus.WAITING, str(problem)
        return PolicyStatus.RUNNING, f'making chunks: {self._run.instruction}'

    def _publish_status(self, state: int, text: str) -> None:
        now = self._now()
        policy, task_run, observations = self._policy, self._run, self._observations
        self._status.publish(
            PolicyStatus(
                stamp=time_message(now),
                state=state,
                text=text,
                task=task_run.task if task_run else '',
                model_id=policy.model_id if policy else '',
                trained=policy.trained if policy else False,
                chunks=task_run.chunks if task_run else 0,
                rate=task_run.rate.rate() if task_run else 0.0,
                inference_time=task_run.inference_time if task_run else 0.0,
                image_age=observations.image_age(now) if observations else -1.0,
                joint_state_age=observations.joint_state_age(now) if observations else -1.0,
            )
        )

    def _publish_diagnostics(self, state: int, text: str) -> None:
        now = self._now()
        observations = self._observations
        self._diagnostics.publish(
            DiagnosticArray(
                header=Header(stamp=time_message(now)),
                status=[
                    diagnostic(
                        'policy_node: inference',
                        state in (PolicyStatus.IDLE, PolicyStatus.RUNNING),
                        text,
                        chunk_rate=self._chunk_rate.rate(),
                        chunks=self._chunk_rate.count,
                        latency_p50=_percentile(self._latencies, 50),
                        latency_p95=_percentile(self._latencies, 95),
                        inference_time_p50=_percentile(self._inference_times, 50),
                        inference_time_p95=_percentile(self._inference_times, 95),
                        image_age_at_inference_p50=_percentile(self._ages, 50),
                        image_age_at_inference_p95=_percentile(self._ages, 95),
                        image_age=observations.image_age(now) if observations else -1.0,
                        joint_state_age=observations.joint_state_age(now) if observations else -1.0,
                    )
                ],
            )
        )


def load_policy(parameters: PolicyParameters) -> DiT4DiTPolicy:
    """The policy of the parameter `checkpoint`; ValueError when that is none."""
    from dit4dit_policy.inference import shipped
    from g1_description import load_robot

    try:
        return shipped.load(parameters.checkpoint, load_robot().embodiment)
    except Exception as error:
        raise ValueError(
            'parameter checkpoint: expected a folder written by `dit4dit train`, or nano, '
            f"got '{parameters.checkpoint}': {error}"
        ) from error


def _percentile(values: deque[float], percent: float) -> float:
    """NaN where there are none yet. The values may grow meanwhile: they are copied first."""
    return float(np.percentile(list(values), percent)) if values else math.nan


def _one_of(tasks: dict[str, str]) -> str:
    return 'one of ' + ', '.join(tasks)


def _start() -> PolicyNode:
    node = PolicyNode()
    if node.parameters.autostart:
        node.autostart()
    return node


def main(args: list[str] | None = None) -> int:
    code = run(_start, args)
    gc.freeze()  # or the interpreter searches all of torch for garbage before it ends: seconds
    return code
