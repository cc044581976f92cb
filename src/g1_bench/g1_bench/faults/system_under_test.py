"""A running system that can be hurt: its processes, an operator's end of ROS, and all it commands.

The system `robot` is control_node and gripper_node against Unitree's SDK (g1_fakes.sdk_robot) and
emulated servos (g1_fakes.dynamixel_emulator); `sim` is control_node and policy_node against the
simulation, `remote` the same with its policy behind a server, and `launched` what `g1 launch
robot.launch.py` starts. What moves the arms of `robot` is a chunk ten times a second of a slow,
smooth motion. Nothing spins: everything that is waited for is polled, and chunks go out meanwhile.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from dit4dit_msgs.action import RunTask
from dit4dit_msgs.msg import ActionChunk, PolicyStatus, SafetyStatus
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory
from unitree_hg.msg import LowCmd as LowCmdMessage

from g1_bench.faults.commands import CommandCheck, check_commands
from g1_bench.faults.headset import Headset
from g1_bench.faults.processes import PROCESSES, Processes, SystemName
from g1_bench.faults.scripted_motion import ScriptedMotion
from g1_control.control_parameters import ControlParameters
from g1_control.safety import SafetyParameters, simulated_safety
from g1_control.unitree import LowCmd
from g1_description.kinematics import SIDES
from g1_fakes.command_log import ArmCommand, CommandLog, arm_command
from g1_fakes.stepped_clock import SteppedClock
from g1_ros import qos
from g1_ros.config import config_path
from g1_ros.parameters import load
from g1_ros.polling import PolledTopics
from g1_ros.stamps import seconds

_POLL = 0.004  # [s]
_CHUNK_PERIOD = 0.1  # [s]
#: What starting a process, arming or disarming may take on a busy computer [s].
PATIENCE = 180.0
#: For what has been said in time, on a computer where this process waits for its turn [s].
_STRAGGLERS = 2.0
_KEPT = 1000  # joint states


Status = TypeVar('Status')


class NotSeenError(AssertionError):
    """A reaction that did not come, or another one; the message says what came instead."""


def limits() -> SafetyParameters:
    """As in config/safety.yaml and config/sim_world.yaml."""
    return simulated_safety()


class SystemUnderTest:
    """A system, started by `with`. Times are those of `time.time()`, as in control_node's stamps.

    stream: whether chunks of the scripted motion go out. headset: an operator's, where there is
    one. statuses: (stamp [s], message). clock: of the nodes of `robot`, for others to set; times
    here are without its steps. overslept: how long this process was once kept from its turn [s].
    """

    def __init__(self, name: SystemName, folder: Path) -> None:
        self.name, self._folder = name, folder
        self.limits = limits()
        self.motion = ScriptedMotion()
        self.clock = SteppedClock()
        self.processes = Processes(name, folder, self.clock.variables)
        self.stream = False
        self.headset: Headset | None = None
        self.overslept = 0.0
        self._polled_at: float | None = None
        self.statuses: list[tuple[float, SafetyStatus]] = []
        self.policy = PolicyStatus()
        self._policies: list[tuple[float, PolicyStatus]] = []
        self.teleop_says = ''
        self.gripper_faults: dict[str, str] = {}
        self.joint_states = JointState()
        self.joint_states_seen: deque[JointState] = deque(maxlen=_KEPT)
        self.commands: CommandLog[ArmCommand] = CommandLog()
        self._period = 1 / load(ControlParameters, config_path('control.yaml')).rate
        self._command = LowCmd()
        self._chunk_due = 0.0

    def __enter__(self) -> SystemUnderTest:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._open_ros()
        try:
            self._start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.processes.close()
        self._executor.shutdown()
        self._operator.destroy_node()
        self._listener.destroy_node()
        self.clock.close()

    def tell(self, name: str, **order: Any) -> float:
        """Tells the SDK robot or the emulated grippers to misbehave; when [s]."""
        return self.processes.tell(name, order)

    def _start_all(self) -> None:
        for name in PROCESSES[self.name]:
            self.processes.start(name)
        if self.name == 'robot':
            self.wait_for(lambda: self.gripper_faults == {'left': '', 'right': ''}, 'the grippers')
        elif self.name != 'launched':
            self.wait_for(lambda: self.policy.image_age > 0, 'images at the policy')
        if self.name == 'remote':
            self.wait_for(self.processes.serves, 'the policy server')
        self.wait_for(lambda: self.joint_states.name, 'joint states')

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
            for side in SIDES:
                self.tell('grippers', port=side, do='plug_in')
            self.listen(0.1)
        self.headset = None
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
            self._have_given_back(lambda: self.status.chunks_accepted > accepted, 'chunk accepted')
            self.wait_for(lambda: self.mode == SafetyStatus.ACTIVE, 'ACTIVE')
        else:
            self._have_given_back(lambda: True, 'the arms given back')

    def _have_given_back(self, done: Callable[[], bool], what: str) -> None:
        """Waits, and gives the arms back as often as a teleop_node's last words take them."""

        def given_back() -> bool:
            if self.status.control_source == SafetyStatus.CONTROL_OPERATOR:
                self.call('give_back')
                return False
            return done()

        self.wait_for(given_back, what)

    # --- chunks

    def send(self, chunk: ActionChunk) -> float:
        """Publishes a chunk; when [s]."""
        sent = time.time()
        self._chunks.publish(chunk)
        return sent

    def send_targets(
        self, change: Callable[[JointTrajectory], object] = lambda targets: None
    ) -> JointTrajectory:
        """Publishes the scripted motion, changed, as teleop_node would send it; returns it."""
        targets = self.motion.targets(time.time())
        change(targets)
        self._targets.publish(targets)
        return targets

    # --- listening

    @property
    def status(self) -> SafetyStatus:
        """The newest one of control_node."""
        return self.statuses[-1][1] if self.statuses else SafetyStatus()

    @property
    def mode(self) -> int:
        """Of the newest status."""
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
            if ended := self.processes.ended():
                raise NotSeenError(ended)
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
        """Those from then on, oldest first."""
        return _since(self.statuses, since)

    def policies_since(self, since: float) -> list[tuple[float, PolicyStatus]]:
        """The policy's from then on, oldest first."""
        return _since(self._policies, since)

    def check_commands(self, since: float, until: float = math.inf) -> CommandCheck:
        """What was commanded from `since` to `until` [s], against the limits."""
        commands = [command for command in self.commands.since(since) if command.sent <= until]
        return check_commands(commands, self.limits, self._period)

    @property
    def node(self) -> Node:
        """For publishers of one's own."""
        return self._operator

    def publishers(self, topic: str) -> int:
        """How many there are on a topic."""
        return self._listener.count_publishers(self._listener.resolve_topic_name(topic))

    def _open_ros(self) -> None:
        self._operator, self._listener = (
            Node(f'faults_{name}', enable_rosout=False) for name in ('operator', 'listener')
        )
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._operator)
        publish = self._operator.create_publisher
        self._chunks = publish(ActionChunk, 'policy/action_chunk', qos.COMMAND)
        self._targets = publish(JointTrajectory, 'teleop/joint_targets', qos.COMMAND)
        self._clients = {
            name: self._operator.create_client(Trigger, f'control/{name}')
            for name in ('arm', 'disarm', 'estop', 'reset', 'give_back')
        }
        self._tasks = ActionClient(self._operator, RunTask, 'policy/run_task')
        self._topics = PolledTopics(self._listener)
        listen = self._topics.listen
        listen(LowCmdMessage, 'arm_sdk', qos.STREAM, self._keep_command, raw=True)
        listen(SafetyStatus, 'control/safety_status', qos.EVERY_STATUS, self._keep_status)
        listen(PolicyStatus, 'policy/status', qos.EVERY_STATUS, self._keep_policy)
        listen(JointState, 'joint_states', qos.SENSOR_DATA, self._keep_joints)
        listen(String, 'teleop/status', qos.STATUS, self._keep_words)
        for side in SIDES:
            listen(String, f'{side}_gripper/fault', qos.STATUS, self._keep_fault(side))

    def _poll(self) -> None:
        now = time.monotonic()
        if self._polled_at is not None:
            self.overslept = max(self.overslept, now - self._polled_at - _POLL)
        self._polled_at = now
        if self.headset is not None:
            self.headset.poll()
        if self.stream and time.monotonic() >= self._chunk_due:
            self._chunk_due = time.monotonic() + _CHUNK_PERIOD
            self.send(self.motion.chunk())
        self._topics.poll()
        self._executor.spin_once(timeout_sec=0.0)

    def _keep_command(self, message: bytes, info: dict[str, int]) -> None:
        self._command.load(message)
        sent = info['source_timestamp'] * 1e-9 - self.clock.offset
        self.commands.add(arm_command(self._command, sent))

    def _keep_status(self, message: SafetyStatus, _info: object) -> None:
        self.statuses.append((seconds(message.stamp) - self.clock.offset, message))

    def _keep_policy(self, message: PolicyStatus, _info: object) -> None:
        self.policy = message
        self._policies.append((seconds(message.stamp), message))

    def _keep_joints(self, message: JointState, _info: object) -> None:
        self.joint_states = message
        self.joint_states_seen.append(message)

    def _keep_words(self, message: String, _info: object) -> None:
        self.teleop_says = message.data

    def _keep_fault(self, side: str) -> Callable[[String, object], None]:
        return lambda message, _info: self.gripper_faults.__setitem__(side, message.data)


def _since(statuses: list[tuple[float, Status]], since: float) -> list[tuple[float, Status]]:
    """Those stamped then or later; a long run is not gone through."""
    count = 0
    while count < len(statuses) and statuses[-1 - count][0] >= since:
        count += 1
    return statuses[len(statuses) - count :]
