"""A running system that can be hurt: its processes, an operator's end of ROS, and all it commands.

On the bench `robot`, control_node and gripper_node run against Unitree's SDK
(g1_fakes.sdk_robot) and emulated servos (g1_fakes.dynamixel_emulator); on `sim`, control_node and
policy_node against the simulation. What moves the arms on `robot` is a chunk ten times a second of
a slow, smooth motion.
Nothing spins: everything that is waited for is polled, and chunks go out meanwhile.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from dit4dit_msgs.action import RunTask
from dit4dit_msgs.msg import ActionChunk, PolicyStatus, SafetyStatus
from numpy.typing import NDArray
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from unitree_hg.msg import LowCmd as LowCmdMessage

from g1_bench.launched import end_with_parent
from g1_bringup.arguments import check
from g1_bringup.launcher import command
from g1_bringup.system import holds
from g1_bringup.systems import find
from g1_control.controller import ControlParameters
from g1_control.safety import SafetyParameters
from g1_control.unitree import ARM_MOTORS, LowCmd
from g1_description import load_robot
from g1_ros import qos
from g1_ros.config import config_path
from g1_ros.parameters import load
from g1_ros.polling import take
from g1_ros.stamps import seconds, time_message_of

Array = NDArray[np.float64]

_POLL = 0.004  # [s]
_CHUNK_PERIOD, CHUNK_STEP, CHUNK_POINTS = 0.1, 0.1, 16  # [s], [s]
#: What starting a process, arming or disarming may take on a busy computer [s].
PATIENCE = 180.0
#: For what has been said in time, on a computer where this process waits for its turn [s].
_STRAGGLERS = 2.0
_STREAM = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT
)
_STATUSES = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


class NotSeenError(AssertionError):
    """A reaction that did not come, or another one; the message says what came instead."""


def limits() -> SafetyParameters:
    """As in config/safety.yaml."""
    return load(SafetyParameters, config_path('safety.yaml'))


class Bench:
    """Started by `with`. Times are those of `time.time()`, which control_node stamps with, too.

    stream: whether chunks of the scripted motion go out. statuses: (stamp [s], message).
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self._folder = name, folder
        self.limits = limits()
        self.robot = load_robot()
        self.stream = False
        self.statuses: list[tuple[float, SafetyStatus]] = []
        self.policy = PolicyStatus()
        self.gripper_faults: dict[str, str] = {}
        self.joint_states = JointState()
        self.commands = Commands(self.limits, load(ControlParameters, config_path('control.yaml')))
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._logs: list[TextIO] = []
        self._chunk_due = 0.0
        self._chunk_id = 0

    def __enter__(self) -> Bench:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._open_ros()
        try:
            self._start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.terminate()
        deadline = time.monotonic() + 5.0
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for log in self._logs:
            log.close()
        self._executor.shutdown()
        self._operator.destroy_node()
        self._listener.destroy_node()

    # --- processes

    def start(self, name: str) -> None:
        """Starts one of the system's processes; its output goes to a file of the folder."""
        log = (self._folder / f'{name}.log').open('a')
        self._logs.append(log)
        self._processes[name] = subprocess.Popen(
            self._command(name),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            text=True,
            preexec_fn=_as_others,
        )

    def signal(self, name: str, number: signal.Signals) -> float:
        """Sends a signal; when."""
        process = self._processes[name]
        sent = time.time()
        process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            process.wait()
        return sent

    def tell(self, name: str, **order: Any) -> float:
        """A line of JSON to the SDK robot or the emulated grippers, as they understand it; when."""
        pipe = self._processes[name].stdin
        assert pipe is not None
        sent = time.time()
        print(json.dumps(order), file=pipe, flush=True)
        return sent

    def children(self, name: str) -> list[int]:
        """Process ids of what this process started."""
        number = self._processes[name].pid
        return [int(n) for n in Path(f'/proc/{number}/task/{number}/children').read_text().split()]

    def _start_all(self) -> None:
        if self.name == 'robot':
            for name in ('sdk_robot', 'grippers', 'gripper_node', 'control_node'):
                self.start(name)
            self.wait_for(lambda: self.gripper_faults == {'left': '', 'right': ''}, 'the grippers')
        else:
            for name in ('sim_node', 'control_node', 'policy_node'):
                self.start(name)
            self.wait_for(lambda: self.policy.image_age > 0, 'images at the policy')
        self.wait_for(lambda: self.joint_states.name, 'joint states')

    def _command(self, name: str) -> list[str]:
        domain = os.environ['ROS_DOMAIN_ID']
        ports = self._folder / 'ports'
        programs = {
            'sdk_robot': ('g1_fakes.sdk_robot', '--domain', domain),
            'intruder': ('g1_fakes.sdk_intruder', '--domain', domain, '--rate', '0'),
            'grippers': (
                *('g1_fakes.dynamixel_emulator', '--folder', str(ports)),
                *('--log', str(self._folder / 'grippers.jsonl')),
            ),
        }
        if name in programs:
            return [sys.executable, '-m', *programs[name]]
        system = find('policy.launch.py')
        values = check(
            system,
            {'robot': 'sim' if self.name == 'sim' else 'g1', 'run': 'false', 'camera': 'none'},
        )
        node = next(n for n in system.nodes if n.executable == name and holds(n.when, values))
        words = command(replace(node, nice=0), values)
        if name == 'gripper_node':
            words += [
                w for side in ('left', 'right') for w in ('-p', f'{side}_port:={ports / side}')
            ]
        return words

    # --- operator

    def call(self, name: str) -> Trigger.Response:
        """Calls control/NAME."""
        client = self._clients[name]
        self.wait_for(client.service_is_ready, f'the service control/{name}')
        future = client.call_async(Trigger.Request())
        self.wait_for(future.done, f'an answer of control/{name}')
        answer = future.result()
        assert answer is not None
        return answer

    def run_task(self, seconds: float) -> None:
        """Gives the policy its task, and does not wait for its end."""
        self.wait_for(self._tasks.server_is_ready, 'the action policy/run_task')
        goal = RunTask.Goal(task='arrange_flower', time_limit=seconds)
        future = self._tasks.send_goal_async(goal)
        self.wait_for(future.done, 'an answer of policy/run_task')

    def recover(self) -> None:
        """Well, armed and moving again, from whatever state the last fault left behind."""
        if self.name == 'robot':
            self.tell('sdk_robot')
            for side in ('left', 'right'):
                self.tell('grippers', port=side, do='plug_in')
            self.listen(0.1)
        self.stream = self.name == 'robot'
        deadline, refusal = time.monotonic() + PATIENCE, ''
        while self.mode not in (SafetyStatus.HOLD, SafetyStatus.ACTIVE):
            if self.mode == SafetyStatus.ESTOP:
                self.call('reset')
            elif self.mode == SafetyStatus.DISARMED:
                refusal = self.call('arm').message
            self.listen(0.1)
            if time.monotonic() > deadline:
                raise NotSeenError(f'does not arm again: {refusal}; {self.status.text}')
        if self.stream:
            accepted = self.status.chunks_accepted
            self.wait_for(lambda: self.status.chunks_accepted > accepted, 'chunk accepted')
            self.wait_for(lambda: self.mode == SafetyStatus.ACTIVE, 'ACTIVE')

    # --- chunks

    def motion(self, time: float) -> Array:
        """(16,) targets at `time` [rad, m]: every arm joint swings slowly about its home."""
        swing = 0.12 * np.sin(2 * np.pi * 0.3 * time)
        return self.robot.home + np.array([swing] * 14 + [-0.01 - 0.03 * abs(swing)] * 2)

    def chunk(self, stamp: float | None = None) -> ActionChunk:
        """The scripted motion from `stamp` (now) on, as policy_node would send it."""
        start = time.time() if stamp is None else stamp
        message = ActionChunk(task='faults', model_id='scripted')
        message.header.stamp = time_message_of(start)
        self._chunk_id += 1
        message.chunk_id = self._chunk_id
        message.trajectory = self._trajectory(start)
        return message

    def send(self, chunk: ActionChunk) -> float:
        """Publishes a chunk; when."""
        sent = time.time()
        self._chunks.publish(chunk)
        return sent

    def send_targets(self) -> None:
        """The scripted motion as teleop_node would send it."""
        now = time.time()
        message = self._trajectory(now)
        message.header.stamp = time_message_of(now)
        self._targets.publish(message)

    def _trajectory(self, start: float) -> JointTrajectory:
        message = JointTrajectory(joint_names=list(self.robot.action_joints))
        for k in range(CHUNK_POINTS):
            point = JointTrajectoryPoint(positions=self.motion(start + k * CHUNK_STEP).tolist())
            point.time_from_start.sec, point.time_from_start.nanosec = divmod(
                round(k * CHUNK_STEP * 1e9), 1_000_000_000
            )
            message.points.append(point)
        return message

    # --- listening

    @property
    def status(self) -> SafetyStatus:
        return self.statuses[-1][1] if self.statuses else SafetyStatus()

    @property
    def mode(self) -> int:
        return self.status.mode

    def listen(self, seconds: float) -> None:
        """Polls for so long."""
        deadline = time.monotonic() + seconds
        while True:
            self._poll()
            if time.monotonic() >= deadline:
                return
            time.sleep(_POLL)

    def wait_for(
        self, condition: Callable[[], object], what: str, seconds: float = PATIENCE
    ) -> None:
        """Polls until `condition`; raises NotSeenError after `seconds`."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise NotSeenError(f'no {what} within {seconds:.1f} s; {self.status.text}')
            self._check_alive()
            self.listen(0.0)
            time.sleep(_POLL)

    def reaction(
        self, since: float, what: str, shows: Callable[[SafetyStatus], bool], within: float
    ) -> float:
        """Seconds from `since` to the first status that shows it, by the status's own stamp.

        Raises NotSeenError when it has not come `within` s, and _STRAGGLERS s for its way to here.
        """

        def first() -> float | None:
            return next((t for t, s in self.statuses_since(since) if shows(s)), None)

        try:
            late = since + within + _STRAGGLERS - time.time()
            self.wait_for(lambda: first() is not None, what, late)
        except NotSeenError:
            seen = dict.fromkeys(s.text for _, s in self.statuses_since(since))
            raise NotSeenError(
                f'no {what} within {within:.2f} s, but {"; ".join(seen) or "nothing"}'
            ) from None
        reacted = first()
        assert reacted is not None
        return reacted - since

    def statuses_since(self, since: float) -> list[tuple[float, SafetyStatus]]:
        """Those from then on, oldest first; a long run is not gone through."""
        count = 0
        while count < len(self.statuses) and self.statuses[-1 - count][0] >= since:
            count += 1
        return self.statuses[len(self.statuses) - count :]

    def publishers(self, topic: str) -> int:
        """How many there are on a topic."""
        return self._listener.count_publishers(self._listener.resolve_topic_name(topic))

    def _check_alive(self) -> None:
        for name, process in self._processes.items():
            if process.poll() not in (None, -signal.SIGKILL, -signal.SIGTERM, 0):
                log = (self._folder / f'{name}.log').read_text()[-500:]
                raise NotSeenError(f'{name} ended with {process.returncode}: {log}')

    def _open_ros(self) -> None:
        self._operator, self._listener = Node('faults_operator'), Node('faults_listener')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._operator)
        publish = self._operator.create_publisher
        self._chunks = publish(ActionChunk, 'policy/action_chunk', qos.COMMAND)
        self._targets = publish(JointTrajectory, 'teleop/joint_targets', qos.COMMAND)
        self._clients = {
            name: self._operator.create_client(Trigger, f'control/{name}')
            for name in ('arm', 'disarm', 'estop', 'reset')
        }

        self._tasks = ActionClient(self._operator, RunTask, 'policy/run_task')

        def listen(kind: Any, topic: str, profile: Any, raw: bool, keep: Any) -> Any:
            heard = self._listener.create_subscription(
                kind, topic, lambda _: None, profile, raw=raw
            )
            return heard, kind, raw, keep

        self._sources = [
            listen(LowCmdMessage, 'arm_sdk', _STREAM, True, self._keep_command),
            listen(SafetyStatus, 'control/safety_status', _STATUSES, False, self._keep_status),
            listen(PolicyStatus, 'policy/status', _STATUSES, False, self._keep_policy),
            listen(JointState, 'joint_states', qos.SENSOR_DATA, False, self._keep_joints),
            *(
                listen(String, f'{side}_gripper/fault', qos.STATUS, False, self._keep_fault(side))
                for side in ('left', 'right')
            ),
        ]

    def _poll(self) -> None:
        if self.stream and time.monotonic() >= self._chunk_due:
            self._chunk_due = time.monotonic() + _CHUNK_PERIOD
            self.send(self.chunk())
        for subscription, kind, raw, keep in self._sources:
            for taken in take(subscription, kind, raw):
                keep(*taken)
        self._executor.spin_once(timeout_sec=0.0)

    def _keep_command(self, message: bytes, info: dict[str, int]) -> None:
        self.commands.add(info['source_timestamp'] * 1e-9, message)

    def _keep_status(self, message: SafetyStatus, _info: object) -> None:
        self.statuses.append((seconds(message.stamp), message))

    def _keep_policy(self, message: PolicyStatus, _info: object) -> None:
        self.policy = message

    def _keep_joints(self, message: JointState, _info: object) -> None:
        self.joint_states = message

    def _keep_fault(self, side: str) -> Callable[[String, object], None]:
        return lambda message, _info: self.gripper_faults.__setitem__(side, message.data)


def _as_others() -> None:
    """In a child process: it ends with this one, whose priority it does not inherit."""
    end_with_parent()
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@dataclass(frozen=True)
class Motion:
    """The commands of some time: largest velocity [rad/s] and acceleration [rad/s2] of a joint.

    problems: what no command may be or do, in words.
    """

    commands: int
    velocity: float
    acceleration: float
    problems: tuple[str, ...]


class Commands:
    """Everything on /arm_sdk, as its subscribers get it."""

    #: Rounding: a command is a float32.
    _TOLERANCE = 1.02

    def __init__(self, safety: SafetyParameters, control: ControlParameters) -> None:
        self._safety, self._period = safety, 1 / control.rate
        self._velocity = np.array(safety.arm_velocity * 2)
        self._acceleration = np.array(safety.arm_acceleration * 2)
        self._received: list[tuple[float, bytes]] = []

    def add(self, sent: float, data: bytes) -> None:
        self._received.append((sent, data))

    @property
    def weight(self) -> float:
        """Of the newest command; 0 before the first."""
        if not self._received:
            return 0.0
        newest = LowCmd()
        newest.load(self._received[-1][1])
        return newest.weight

    def since(self, start: float) -> list[tuple[float, LowCmd]]:
        """Those sent from `start` on."""
        found = []
        for sent, data in reversed(self._received):
            if sent < start:
                break
            command = LowCmd()
            command.load(data)
            found.append((sent, command))
        return found[::-1]

    def motion(self, start: float) -> Motion:
        """What was commanded since `start`, over pairs of neighbours not further apart than 0.1 s.

        At weight 0 a target means nothing. Between two commands lie as many periods as between the
        times they were sent, or one more: a command that is sent late is still meant for when it
        was due. The second number is taken where the first one would break a limit.
        """
        log = self.since(start)
        problems = [
            text
            for text, found in (
                ('wrong CRC', any(not c.crc_ok for _, c in log)),
                ('not finite', any(not np.isfinite(_fields(c)).all() for _, c in log)),
                (
                    'legs or waist touched',
                    any(_fields(c)[:, : ARM_MOTORS.start].any() for _, c in log),
                ),
            )
            if found
        ]
        velocity = acceleration = 0.0
        for (t0, first), (t1, second) in itertools.pairwise(log):
            periods = max(1, round((t1 - t0) / self._period))
            if t1 - t0 > 0.1:
                continue
            if first.weight > 0.0 and second.weight > 0.0:
                v, a = self._between(first, second, periods)
                velocity, acceleration = max(velocity, v), max(acceleration, a)
            slope = (second.weight - first.weight) / ((periods + 1) * self._period)
            if abs(slope) > 1.05 / min(self._safety.weight_ramp, self._safety.estop_ramp):
                problems.append(f'weight from {first.weight:.3f} to {second.weight:.3f}')
        if velocity > self._velocity.max() * self._TOLERANCE:
            problems.append(f'velocity {velocity:.2f} rad/s')
        if acceleration > self._acceleration.max() * self._TOLERANCE:
            problems.append(f'acceleration {acceleration:.1f} rad/s2')
        return Motion(len(log), velocity, acceleration, tuple(dict.fromkeys(problems)))

    def _between(self, first: LowCmd, second: LowCmd, periods: int) -> tuple[float, float]:
        step = np.abs(_arms(second, 'q') - _arms(first, 'q'))
        change = np.abs(_arms(second, 'dq') - _arms(first, 'dq'))
        found = []
        for difference, limit in ((step, self._velocity), (change, self._acceleration)):
            span = periods * self._period
            if (difference / span > limit * self._TOLERANCE).any():
                span += self._period
            found.append(float((difference / span).max()))
        stated = float(np.abs(_arms(second, 'dq')).max())
        return max(found[0], stated), found[1]


def _arms(command: LowCmd, name: str) -> Array:
    return np.asarray(getattr(command, name)[ARM_MOTORS], float)


def _fields(command: LowCmd) -> Array:
    return np.array([getattr(command, name) for name in ('q', 'dq', 'tau', 'kp', 'kd')], float)
