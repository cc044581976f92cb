"""policy_node: camera images and joint state in, action chunks out.

A lifecycle node: the policy loads in `configure`; it subscribes and infers only while active. One
thread infers, always from the newest image and the joint state that matches its stamp; the executor
thread does everything else. Images stay serialised until they are inferred from.
"""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
from dit4dit_msgs.action import RunTask
from dit4dit_msgs.msg import ActionChunk, PolicyStatus
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger

from dit4dit_policy.inference.chunk_policy import ChunkPolicy, Future, imagining, keyframe_of
from dit4dit_policy.inference.shipped import described
from dit4dit_policy.inference.surprise import Instant
from dit4dit_policy.nodes.idle_imagination import IdleImagination
from dit4dit_policy.nodes.inference_thread import InferenceThread, Inferred, Seen, TaskRun
from dit4dit_policy.nodes.policy_inputs import PolicyInputs
from dit4dit_policy.nodes.policy_parameters import PolicyParameters, load_policy, robot_of
from dit4dit_policy.nodes.policy_status import PolicyReport
from dit4dit_policy.nodes.run_task import RunTaskServer, instruction_of
from dit4dit_policy.nodes.surprise_watch import SurpriseWatch
from g1_ros.compressed import compressed_image
from g1_ros.config import load_tasks
from g1_ros.conversions import joint_trajectory
from g1_ros.main import run
from g1_ros.parameters import declare
from g1_ros.qos import COMMAND, SENSOR_DATA, STATUS
from g1_ros.stamps import duration_message, time_message
from g1_ros.timers import steady_timer

_TICK = 0.05  # [s] how soon a change shows in the status, and a task ends after its limit


class PolicyNode(LifecycleNode):
    """Topics, lifecycle and parameters; see the module."""

    def __init__(self) -> None:
        super().__init__('policy_node')
        self.parameters = declare(self, PolicyParameters)
        self._tasks = load_tasks()
        if task := self.parameters.task:
            instruction_of(task, self._tasks)  # a wrong one ends the node with what is right
        self._embodiment = robot_of(self.parameters)

        self._policy: ChunkPolicy | None = None
        self._problem = ''  # of the policy; empty when it could be loaded
        self._inputs: PolicyInputs | None = None
        self._watch: SurpriseWatch | None = None
        self._thread: InferenceThread | None = None
        self._run: TaskRun | None = None
        self._scene_instruction = ''  # of the simulated scene, where it has one of its own
        self._chunk_id = 0

        self._chunks = self.create_lifecycle_publisher(ActionChunk, 'policy/action_chunk', COMMAND)
        self._keyframes = self.create_lifecycle_publisher(JointState, 'policy/keyframe', COMMAND)
        self._imagined = self.create_lifecycle_publisher(
            CompressedImage, 'policy/imagined', SENSOR_DATA
        )
        self._report = PolicyReport(self)
        self._server = RunTaskServer(
            self,
            instruction_of=self._instruction_of,
            not_ready=self._not_ready,
            start=self._start,
        )
        self.create_service(Trigger, 'policy/stop', self._on_stop)
        self.create_subscription(String, 'sim/instruction', self._take_instruction, STATUS)
        # On a steady clock: the status has to come also where simulated time stands still.
        steady_timer(self, _TICK, self._tick)

    # --- lifecycle ---

    def autostart(self) -> None:
        """Configures and activates; with a bad checkpoint it stays as it is and says so."""
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Loads the policy."""
        self.get_logger().info(f'loading {_named(self.parameters)}')
        try:
            self._policy = load_policy(self.parameters, self._embodiment)
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
        """Subscribes to what the policy looks at, and starts its thread."""
        assert self._policy is not None
        given = self.parameters
        inputs = PolicyInputs(
            self,
            self._embodiment,
            self._policy.cameras,
            max_image_age=given.max_image_age,
            max_joint_state_gap=given.max_joint_state_gap,
        )
        imagination = IdleImagination(
            self._policy, self._wants_futures, self._take_future, self.get_logger().error
        )
        self._watch = SurpriseWatch(
            getattr(self._policy, 'calibration', None),
            given.on_surprise == 'hold',
            self.get_logger().warning,
        )
        self._thread = InferenceThread(
            self._policy,
            inputs.observe,
            self._deliver,
            max_rate=given.max_rate,
            threads=given.threads,
            continues=lambda: given.real_time_chunking and inputs.chunks_are_executed(),
            idle=imagination.work,
        )
        self._inputs = inputs
        inputs.open(self._thread.image_came)
        self._thread.start()
        if given.run and (task := given.task):
            self._start(TaskRun(task, self._instruction_of(task)))
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ends goal, thread and subscriptions."""
        self._stop_inferring()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Drops the policy."""
        self._policy = None
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ends what is active and drops the policy."""
        self._stop_inferring()
        self._policy = None
        return super().on_shutdown(state)

    def destroy_node(self) -> None:
        """Ends a goal so that its client learns how."""
        had_goal = self._server.busy
        self._stop_inferring()
        if had_goal and self.executor:
            for _ in range(5):  # a few more callbacks, so that the client learns how its goal ended
                self.executor.spin_once(timeout_sec=_TICK)
        super().destroy_node()

    def _stop_inferring(self) -> None:
        self._server.end(RunTask.Result.DEACTIVATED, 'the policy node was deactivated')
        self._start(None)
        if self._thread is not None and self._inputs is not None:
            self._thread.stop()
            self._inputs.close()
        self._thread = self._inputs = None

    def _instruction_of(self, task: str) -> str:
        """In place of the sentence of a task's name, what the simulated scene asks for."""
        instruction = instruction_of(task, self._tasks)
        return (task in self._tasks and self._scene_instruction) or instruction

    def _take_instruction(self, message: String) -> None:
        self._scene_instruction = message.data
        if self._run is None:
            return
        before = self._run.instruction
        self._run.instruction = self._instruction_of(self._run.task)
        if self._thread is not None and self._run.instruction != before:
            self._thread.ask_anew()

    def _on_stop(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Ends whatever is run: somebody's goal, or the task of the parameter."""
        task = self._run.task if self._run is not None else ''
        self._server.end(RunTask.Result.CANCELED, 'stopped by policy/stop')
        self._start(None)
        response.success = bool(task)
        response.message = f'stopped: {task}' if task else 'no task to stop'
        return response

    # --- chunks ---

    def _start(self, task_run: TaskRun | None) -> None:
        self._run = task_run
        if self._thread is not None:
            self._thread.task_run = task_run

    def _deliver(self, task_run: TaskRun, chunk: Inferred) -> None:
        """Publishes a chunk, and only then asks how it goes; called by the inference thread."""
        policy, inputs, watch = self._policy, self._inputs, self._watch
        assert policy is not None and inputs is not None and watch is not None
        if watch.may_send(task_run, inputs.operator_has_arms()):
            self._send(task_run, chunk, policy)
        seen = chunk.seen.observation
        moment = Instant(seen.stamp, seen.state, chunk.targets)
        if watch.imagines and (imagines := imagining(policy)):
            moment = replace(moment, encoding=imagines.encoding)
        watch.take(moment, task_run.instruction, inputs.chunks_are_executed())

    def _send(self, task_run: TaskRun, chunk: Inferred, policy: ChunkPolicy) -> None:
        self._chunk_id += 1
        stamp, targets = chunk.seen.stamp, chunk.targets
        self._chunks.publish(
            ActionChunk(
                header=Header(stamp=time_message(stamp)),
                chunk_id=self._chunk_id,
                task=task_run.task,
                model_id=policy.model_id,
                trajectory=joint_trajectory(
                    time_message(stamp),
                    self._embodiment.action_names,
                    targets,
                    np.arange(len(targets)) * policy.step,
                ),
                inference_time=duration_message(chunk.duration),
            )
        )
        if (keyframe := keyframe_of(policy)) is not None:
            self._keyframes.publish(
                JointState(
                    header=Header(stamp=time_message(stamp)),
                    name=self._embodiment.state_names,
                    position=keyframe,
                )
            )
        latency = (self.get_clock().now().nanoseconds - stamp) * 1e-9
        if task_run.continuation is not None:
            task_run.continuation.sent(stamp * 1e-9, targets, latency)
        self._report.chunk_sent(task_run, chunk, latency)

    def _wants_futures(self) -> bool:
        """Whether anybody wants to know what the policy imagines."""
        assert self._watch is not None and self._inputs is not None
        asked = self._watch.imagines and self._inputs.chunks_are_executed()
        return asked or self._imagined.get_subscription_count() > 0

    def _take_future(self, seen: Seen, future: Future) -> None:
        """Publishes what is expected, stamped with when; called by the inference thread."""
        assert self._watch is not None
        self._watch.expect(seen.observation.stamp, future)
        stamp = time_message(seen.stamp + round(future.ahead * 1e9))
        header = Header(stamp=stamp, frame_id='imagined')
        self._imagined.publish(compressed_image(header, future.pixels))

    # --- status ---

    def _tick(self) -> None:
        state, text = self._state()
        self._server.watch(state, text)
        if self._server.rejection:
            text += f' (a goal was rejected: {self._server.rejection})'
        observations = self._inputs.observations if self._inputs else None
        self._report.say(state, text, self._policy, self._run, observations, self._watch)

    def _state(self) -> tuple[int, str]:
        if self._problem:
            return PolicyStatus.ERROR, self._problem
        if self._inputs is None:
            return PolicyStatus.IDLE, 'not active'
        if self._run is None:
            return PolicyStatus.IDLE, 'waiting for a task'
        if problem := self._inputs.problem():  # before a failure that was: nothing is tried now
            return PolicyStatus.WAITING, problem
        if self._run.failure:
            return PolicyStatus.ERROR, self._run.failure
        assert self._watch is not None
        if self._watch.held:
            return PolicyStatus.WAITING, self._watch.held
        odd = f'; {self._watch.text}' if self._watch.text else ''
        doing = 'making chunks' if self._thread and self._thread.warm else 'warming up'
        return PolicyStatus.RUNNING, f'{doing}: {self._run.instruction}{odd}'

    def _not_ready(self) -> str:
        if self._inputs is not None:
            return ''
        return f'the policy node is not active; {self._problem or "activate it first"}'


def _named(given: PolicyParameters) -> str:
    """The policy as a person knows it."""
    if given.policy == 'dit4dit':
        return described(given.source)
    return ' '.join(filter(None, (given.policy, given.source)))


def _start() -> PolicyNode:
    node = PolicyNode()
    if node.parameters.autostart:
        node.autostart()
    return node


def main(args: list[str] | None = None) -> int:
    """Runs the node. Returns the exit code."""
    code = run(_start, args)
    gc.freeze()  # or the interpreter searches all of torch for garbage before it ends: seconds
    return code
