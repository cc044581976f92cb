"""`g1 dataset replay`: plays the commands of a recorded episode on a running robot."""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dit4dit_msgs.msg import SafetyStatus
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from g1_console.listening import operator_node
from g1_console.services import NoAnswer, ask
from g1_control.minimum_jerk import PEAK, minimum_jerk
from g1_data import Dataset
from g1_description import Robot, load_robot
from g1_ros.conversions import JointReader, joint_trajectory
from g1_ros.polling import PolledTopics
from g1_ros.qos import COMMAND, STATUS, STREAM
from g1_ros.stamps import seconds, time_message_of

Array = NDArray[np.float64]

_ARM_SPEED, _GRIPPER_SPEED = 0.5, 0.1  # at most, on the way to the first command [rad/s, m/s]
_SHORTEST_WAY = 0.5  # [s]
_KNOT = 0.05  # between targets on the way to the first command [s]
_REST = 0.5  # from the last command, at which the arms come to rest [s]
_LONGEST_STEP = 0.4  # between two targets of an episode [s]; control asks for them within a second
_AHEAD = 1.0  # of the targets that control has [s]
_AHEAD_AT_END = 0.3  # once the operator ends it [s]
_PERIOD = 0.1  # of sending targets [s]
_POLL = 0.01  # [s]
_HEARD_WITHIN = 5.0  # [s]
_FOLLOWED_WITHIN = 2.0  # of the first targets [s]
_ENDING = 2.0  # what coming to rest after the last target may take [s]


class ReplayError(RuntimeError):
    """Why an episode cannot be played, or was not played to its end."""


@dataclass(frozen=True)
class PlannedReplay:
    """Targets (K, 16) of `action_joints` [rad, m], each due at `times` (K,) [s] after the start.

    start, end: of the episode, after the way to its first command and before coming to rest.
    """

    times: Array
    positions: Array
    start: float
    end: float

    def at(self, time: float) -> Array:
        """(16,) wanted at `time`."""
        return np.array([np.interp(time, self.times, column) for column in self.positions.T])

    def window(self, time: float, ahead: float) -> tuple[Array, Array]:
        """Times and targets from the last one that is due at `time` to one `ahead` s later."""
        first = max(int(np.searchsorted(self.times, time, 'right')) - 1, 0)
        last = int(np.searchsorted(self.times, time + ahead)) + 1
        return self.times[first:last], self.positions[first:last]


def motion(pose: Array, commands: Array, step: float) -> PlannedReplay:
    """With minimum jerk from `pose` (16,) to the first of `commands` (T, 16), and through them.

    step: between two commands [s]; between such as are far apart there are others on the line.
    """
    parts = math.ceil(step / _LONGEST_STEP - 1e-9)
    rows = np.arange((len(commands) - 1) * parts + 1) / parts
    commands = np.array([np.interp(rows, np.arange(len(commands)), c) for c in commands.T]).T
    step /= parts
    speed = np.array([_ARM_SPEED] * (len(pose) - 2) + [_GRIPPER_SPEED] * 2)
    way = max(_SHORTEST_WAY, float(np.max(PEAK * np.abs(commands[0] - pose) / speed)))
    share = np.linspace(0.0, 1.0, round(way / _KNOT) + 1)[:-1]
    weight = minimum_jerk(share)
    due = way + np.arange(len(commands)) * step
    return PlannedReplay(
        times=np.concatenate((share * way, due, due[-1:] + _REST)),
        positions=np.concatenate(
            (pose + weight[:, None] * (commands[0] - pose), commands, commands[-1:])
        ),
        start=way,
        end=float(due[-1]),
    )


def read_commands(root: Path, episode: int, robot: Robot) -> tuple[Array, int]:
    """Commands (T, 16) of an episode in the robot's order, and how many there are per second.

    Raises ReplayError, and what Dataset raises.
    """
    dataset = Dataset(root)
    if not 0 <= episode < len(dataset.episodes):
        raise ReplayError(
            f'{root} has no episode {episode}: expected 0 to {len(dataset.episodes) - 1}'
            if dataset.episodes
            else f'{root} has no episodes'
        )
    names = dataset.action_names
    if set(names) != set(robot.action_joints):
        raise ReplayError(
            f'{root} is of another robot: expected the joints {", ".join(robot.action_joints)}; '
            f'got {", ".join(names)}'
        )
    order = [names.index(name) for name in robot.action_joints]
    return dataset.read_episode(episode)['action'][:, order].astype(float), dataset.fps


def main(arguments: list[str] | None = None) -> int:
    """Plays an episode; returns 0, 1 when it was not played to its end, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog='g1 dataset replay',
        description='Play the commands of an episode on the running, armed robot or simulator; all '
        'of the safety of control_node stays in force. Ctrl-C: the arms hold.',
    )
    parser.add_argument('root', type=Path, help='folder of the dataset')
    parser.add_argument('episode', type=int, help='number of the episode')
    parser.add_argument('--speed', type=float, default=1.0, help='0.1 to 1; default: %(default)s')
    given = parser.parse_args(arguments)
    if not 0.1 <= given.speed <= 1.0:
        parser.error(f'--speed: expected 0.1 to 1, got {given.speed:g}')
    console = Console()
    try:
        commands, fps = read_commands(given.root, given.episode, load_robot())
        step = 1 / (fps * given.speed)
        with operator_node('g1_replay') as node:
            player = _Player(node)
            try:
                with player.interruptible():
                    planned = motion(player.wait_until_ready(), commands, step)
                    player.play(planned, f'episode {given.episode}', console)
                ask(node, 'control/give_back')
            except KeyboardInterrupt:
                player.stop()
                console.print('stopped; the arms hold')
                return 130
            finally:
                if player.measured:
                    console.print(player.table())
    except (ReplayError, NoAnswer, OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    console.print(f'played {len(commands)} commands')
    return 0


class _Player:
    """Sends targets to control_node and listens to what becomes of them; `node` is not spun.

    measured: time after the start [s] and pose (16,) as it was then, of the episode only.
    """

    def __init__(self, node: Node) -> None:
        self.measured: list[tuple[float, Array]] = []
        self._robot = load_robot()
        self._pose: Array | None = None  # (16,)
        self._status: SafetyStatus | None = None
        self._before = SafetyStatus()
        self._planned: PlannedReplay | None = None
        self._began = 0.0  # [s since 1970]
        self._reader = JointReader(self._robot.action_joints)
        self._newest_state = b''
        self._interrupted = False
        self._topics = PolledTopics(node)
        self._topics.listen(JointState, 'joint_states', STREAM, self._on_state, raw=True)
        self._topics.listen(SafetyStatus, 'control/safety_status', STATUS, self._on_status)
        self._targets = node.create_publisher(JointTrajectory, 'teleop/joint_targets', COMMAND)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within, Ctrl-C is raised where this looks for it: in rclpy it becomes another error."""
        earlier = signal.signal(signal.SIGINT, lambda *_: setattr(self, '_interrupted', True))
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, earlier)

    def wait_until_ready(self) -> Array:
        """The pose (16,) to start from. Raises ReplayError when the robot cannot be moved."""
        deadline = time.monotonic() + _HEARD_WITHIN
        while self._pose is None or self._status is None or not self._connected:
            if time.monotonic() > deadline:
                raise ReplayError(
                    'control_node or its joint_states are not heard; start a system with g1 launch '
                    'robot.launch.py, and see that ROS_DOMAIN_ID is the same in this shell'
                )
            self._listen()
        if self._status.mode == SafetyStatus.ACTIVE:
            raise ReplayError('the arms are moving; end what moves them, a policy or an operator')
        if self._status.mode != SafetyStatus.HOLD:
            raise ReplayError(
                f'the robot is not armed ({self._status.text}); g1 arm arms it, after an e-stop '
                'g1 reset comes first'
            )
        return self._pose

    def play(self, planned: PlannedReplay, name: str, console: Console) -> None:
        """Plays it to its end and until the arms hold. Raises ReplayError when control stops."""
        assert self._status is not None
        self._before, self._planned, self._began = self._status, planned, time.time()
        due, sent = 0.0, 0
        with Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        ) as progress:
            bar = progress.add_task('to the first command', total=planned.end)
            while (now := time.time() - self._began) < planned.end:
                if now >= due:
                    self._send(now, _AHEAD)
                    due, sent = now + _PERIOD, sent + 1
                self._listen()
                self._check(sent, now > _FOLLOWED_WITHIN)
                text = name if now > planned.start else 'to the first command'
                progress.update(bar, completed=now, description=text)
        deadline = time.monotonic() + _ENDING
        while self._status.mode == SafetyStatus.ACTIVE and time.monotonic() < deadline:
            self._listen()

    def stop(self) -> None:
        """The arms come to rest within a moment, if they are being moved."""
        if self._planned is not None:
            self._send(time.time() - self._began, _AHEAD_AT_END)
            time.sleep(_AHEAD_AT_END)  # the message is on its way before this node ends

    def table(self) -> Table:
        """How far the robot was from the commands, and what safety did."""
        assert self._status is not None and self._planned is not None
        times, poses = zip(*self.measured, strict=True)
        away = np.abs(np.array(poses) - [self._planned.at(time) for time in times])
        table = Table('measured less commanded', 'p50', 'max', 'at')
        for what, unit, joints in (
            ('arm', 'mrad', self._robot.arm_joints),
            ('gripper', 'mm', self._robot.gripper_joints),
        ):
            for side in ('left', 'right'):
                names = [name for name in joints if name.startswith(side)]
                part = away[:, [self._robot.action_joints.index(name) for name in names]] * 1e3
                p50, most = f'{np.median(part):.1f} {unit}', f'{part.max():.1f} {unit}'
                table.add_row(f'{side} {what}', p50, most, names[int(part.max(axis=0).argmax())])
        rejected = self._status.chunks_rejected - self._before.chunks_rejected
        clamped = self._status.clamped - self._before.clamped
        why = f': {self._status.rejection_text}' if rejected else ''
        table.caption = f'{rejected} targets rejected{why}; {clamped} brought back into range'
        return table

    @property
    def _connected(self) -> bool:
        return self._targets.get_subscription_count() > 0

    def _check(self, sent: int, due: bool) -> None:
        """Raises ReplayError unless control follows what was sent from here, and only that.

        due: whether control must be following by now; the first status comes a moment later.
        """
        status, before = self._status, self._before
        assert status is not None
        accepted = status.chunks_accepted - before.chunks_accepted
        if status.mode != SafetyStatus.ACTIVE and (due or accepted):
            rejected = status.chunks_rejected > before.chunks_rejected
            why = f'; {status.rejection_text}' if rejected else ''
            raise ReplayError(f'control does not follow: {status.text}{why}')
        if accepted > sent:
            raise ReplayError('a policy or an operator moves the arms too; end that first')

    def _send(self, now: float, ahead: float) -> None:
        assert self._planned is not None
        times, positions = self._planned.window(now, ahead)
        stamp = time_message_of(self._began + times[0])
        self._targets.publish(
            joint_trajectory(stamp, self._robot.action_joints, positions, times - times[0])
        )

    def _listen(self) -> None:
        """Takes what has come, after a pause."""
        time.sleep(_POLL)
        if self._interrupted:
            raise KeyboardInterrupt
        self._topics.poll()
        if not self._newest_state:
            return
        state = deserialize_message(self._newest_state, JointState)
        self._newest_state = b''
        if (pose := self._reader.positions(state)) is None:
            return
        self._pose = pose
        when, planned = seconds(state.header.stamp) - self._began, self._planned
        if planned is not None and planned.start <= when <= planned.end:
            self.measured.append((when, self._pose))

    def _on_status(self, status: SafetyStatus, _times: object) -> None:
        self._status = status

    def _on_state(self, data: bytes, _times: object) -> None:
        self._newest_state = data
