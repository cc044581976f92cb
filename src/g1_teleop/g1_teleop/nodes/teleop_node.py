"""The operator's hands move the robot's: what a device measures in, joint targets out."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass

import numpy as np
from dit4dit_msgs.msg import EpisodeStatus, SafetyStatus
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from g1_description import SIDES, Side, load_robot
from g1_ros.conversions import JointReader, joint_trajectory
from g1_ros.diagnostics import Diagnostics, diagnostic
from g1_ros.main import run
from g1_ros.operator import HandInput, OperatorInput, OperatorSubscription
from g1_ros.parameters import declare, parameter
from g1_ros.polling import PolledSubscription
from g1_ros.qos import COMMAND, SENSOR_DATA, STATUS
from g1_ros.rates import RateMeter
from g1_ros.stamps import time_message_of
from g1_ros.timers import steady_timer
from g1_teleop.buttons import ButtonParameters, Buttons
from g1_teleop.nodes.operator_requests import OperatorRequests
from g1_teleop.retargeting import (
    DeviceWatchdog,
    Plan,
    Retargeting,
    RetargetingParameters,
    has_let_go,
    resting_place,
)

_JOINT_STATE_AGE = 0.2  # the oldest that motion may start from [s]
_HICCUP = 0.5  # after a shorter silence of the device the hands go on, from where they are [s]
_LATE = 1.2  # periods; a headset measures at 90 Hz
_SETTLING = 0.5  # for so long control may hold until the operator is told [s]
_ARMED = (SafetyStatus.ACTIVE, SafetyStatus.HOLD)
#: What brings the arms back, by the mode of control.
_ARM = {
    SafetyStatus.DISARMED: '; arm with: g1 arm',
    SafetyStatus.ESTOP: '; when it is safe: g1 reset, then g1 arm',
}
_NOTHING_MEASURED = OperatorInput(0, HandInput(None, 0.0, 0.0), HandInput(None, 0.0, 0.0))


@dataclass(frozen=True)
class TeleopParameters:
    """What teleop_node takes beside the retargeting's parameters."""

    rate: float = parameter(
        100.0,
        unit='Hz',
        minimum=100.0,
        maximum=250.0,
        description='Targets while a grip is pressed, where the device does not measure as often; '
        'a new measurement makes one at once.',
    )
    give_back_after: float = parameter(
        1.0,
        unit='s',
        minimum=0.2,
        maximum=30.0,
        description='The arms are given back, to a policy where there is one, when they have stood '
        'still with both grips open for so long.',
    )


class TeleopNode(Node):
    """Publishes teleop/joint_targets while a grip is pressed; else nothing, and control holds.

    A message holds the last targets, those that control has still to reach, with their times.

    A device is another node: it publishes every measurement on teleop/hands and teleop/inputs.

    Buttons call the services of recorder_node and control_node. What the operator is to know goes
    to the log, and the newest of it to teleop/status.
    """

    def __init__(self) -> None:
        super().__init__('teleop_node')
        parameters = self._settings = declare(self, TeleopParameters)
        retargeting = declare(self, RetargetingParameters)
        self._buttons = Buttons(declare(self, ButtonParameters))
        self._robot = load_robot()
        self._retargeting = Retargeting(self._robot, retargeting)
        self._watchdog = DeviceWatchdog(retargeting.stale_after)
        self._start: NDArray[np.float64] | None = None  # (16,) of the next motion
        self._measured_at = 0.0
        self._openings: dict[int, float] = {}  # that grippers are commanded, by place in the action
        self._let_go_at: float | None = None  # since when the operator has asked for nothing
        self._gripped: set[Side] = set()  # hands that have moved since the arms were given back
        self._safety: SafetyStatus | None = None
        self._paused = False
        self._episode = False  # whether one is being recorded
        self._follows_at = 0.0
        self._plan = Plan(retargeting.lookahead)
        self._said, self._answer = '', ''
        self._may_move = False
        self._rate, self._measurements = RateMeter(), RateMeter()
        self._publisher = self.create_publisher(JointTrajectory, 'teleop/joint_targets', COMMAND)
        self._status = self.create_publisher(String, 'teleop/status', STATUS)
        self._diagnostics = Diagnostics(self)
        self._device = OperatorSubscription(self, self._step)
        self._operator = _NOTHING_MEASURED
        # The topic is shared: others' joint states may come after those that are waited for.
        self._joint_states = PolledSubscription(self, JointState, 'joint_states', SENSOR_DATA)
        self._joints = JointReader(self._robot.action_joints)
        self._grippers = {
            14 + place: PolledSubscription(self, JointState, f'{side}_gripper/command', COMMAND)
            for place, side in enumerate(SIDES)
        }
        self.create_subscription(SafetyStatus, 'control/safety_status', self._take_safety, STATUS)
        self.create_subscription(EpisodeStatus, 'recorder/status', self._take_recorder, STATUS)
        self._requests = OperatorRequests(self, self._tell)
        self._period = 1 / parameters.rate
        self._stepped_at = 0.0
        steady_timer(self, self._period, self._step_if_late)
        steady_timer(self, 1.0, self._publish_diagnostics)
        self.get_logger().info(f'buttons: {self._buttons}')

    # What comes in.

    def _take_joint_states(self, now: float) -> None:
        """Where motion starts: where arms come to rest, and grippers as they are commanded.

        A gripper that has closed on something is commanded further than it gets.
        """
        for place, commands in self._grippers.items():
            for data, _ in commands.take():
                opening = deserialize_message(data, JointState).position
                if len(opening) == 1 and np.isfinite(opening[0]):
                    self._openings[place] = opening[0]
        for data, _ in self._joint_states.take():
            message = deserialize_message(data, JointState)
            measured, velocity = self._joints.positions(message), self._joints.velocities(message)
            if measured is None:
                continue
            self._start, self._measured_at = measured, now
            if velocity is not None and np.isfinite(velocity).all():
                self._start = resting_place(measured, velocity)
            for place, opening in self._openings.items():
                self._start[place] = opening

    def _take_safety(self, message: SafetyStatus) -> None:
        self._safety = message

    def _take_recorder(self, message: EpisodeStatus) -> None:
        self._episode = message.state in (EpisodeStatus.RECORDING, EpisodeStatus.PAUSED)

    # A cycle.

    def _step_if_late(self) -> None:
        """A cycle without a new measurement, where none came for longer than a period."""
        if time.monotonic() - self._stepped_at > _LATE * self._period:
            self._step()

    def _step(self) -> None:
        now = self._stepped_at = time.monotonic()  # the clock of the stamps may be set
        self._take_joint_states(now)
        measurements = self._device.take()
        for measured in measurements:
            self._operator = measured
            self._measurements.tick()
        operator = self._operator
        alive = self._watchdog.alive(operator.stamp, now)
        if alive:
            for measured in measurements or [operator]:  # a short press may be in any of them
                for action in self._buttons.actions(measured.buttons, now):
                    self._act(action, now)
        else:
            self._buttons.forget()
        self._requests.check(now)
        obstacle = self._obstacle(alive, now)
        self._may_move = not obstacle
        targets = None
        self._watch_grips(operator, alive, now)
        if obstacle or self._start is None:
            hiccup = not alive and self._watchdog.silence(now) < _HICCUP
            self._retargeting.release(until_grips_open=not hiccup)
            self._say(f'nothing moves: {obstacle}')
        else:
            if self._source == SafetyStatus.CONTROL_POLICY and not self._retargeting.engaged:
                self._retargeting.take_over()
            targets = self._retargeting.update(operator, self._start, now)
            problems = '; '.join(self._retargeting.problems.values())
            self._say(problems or self._progress(targets is not None, now))
        if targets is None:
            self._plan.clear()
            self._follows_at = now
        else:
            stamp = self.get_clock().now().nanoseconds * 1e-9
            self._publisher.publish(self._message(self._plan.add(targets, stamp)))
            self._rate.tick()

    def _act(self, action: str, now: float) -> None:
        if action == 'pause':
            self._paused = not self._paused
            if self._episode:
                self._requests.send('pause' if self._paused else 'resume', now)
        else:
            self._requests.send(action, now)
        if action in ('pause', 'estop', 'give_back'):
            self._retargeting.release()

    def _watch_grips(self, operator: OperatorInput, alive: bool, now: float) -> None:
        """Gives the arms back when the operator has let go of them, seen to have, for a while.

        A controller that is out of sight, or a headset that sleeps, has let go of nothing.
        """
        rests = self._source == SafetyStatus.CONTROL_OPERATOR and not self._retargeting.engaged
        rests = rests and self._safety is not None and self._safety.mode == SafetyStatus.HOLD
        self._gripped |= set(self._retargeting.engaged)
        free = all(has_let_go(operator.hand(side), side in self._gripped) for side in SIDES)
        if not (rests and alive and free) or self._paused:
            self._let_go_at = None
        elif self._let_go_at is None:
            self._let_go_at = now
        elif now - self._let_go_at >= self._settings.give_back_after:
            self._let_go_at, self._gripped = None, set()
            self._requests.send('give_back', now)

    def _obstacle(self, alive: bool, now: float) -> str:
        """Why nothing may move, in words; empty if it may."""
        if not alive:
            return self._silence()
        silent = self._start is None or now - self._measured_at > _JOINT_STATE_AGE
        if silent or self._safety is None:
            return (
                'no joint_states of arms and grippers, or no control/safety_status; is '
                'control_node running?'
            )
        if not self._armed():
            return f'control is {self._safety.text}{_ARM.get(self._safety.mode, "")}'
        if self._paused:
            return f'paused; press {self._buttons.of("pause")} to go on'
        return ''

    def _progress(self, sending: bool, now: float) -> str:
        """How it goes where nothing is wrong here, in words."""
        assert self._safety is not None
        if not sending and self._source == SafetyStatus.CONTROL_POLICY:
            return 'the policy has the arms; press a grip to take them from it'
        if not sending:
            return 'ready; press a grip to move that hand, its trigger closes the gripper'
        if self._safety.mode != SafetyStatus.HOLD:
            self._follows_at = now
        if now - self._follows_at > _SETTLING:
            return f'control does not follow: {self._safety.text}'
        return 'moving'

    @property
    def _source(self) -> int:
        """Who has the arms, of SafetyStatus."""
        return SafetyStatus.CONTROL_NOBODY if self._safety is None else self._safety.control_source

    def _armed(self) -> bool:
        return self._safety is not None and self._safety.mode in _ARMED

    def _silence(self) -> str:
        """What a person can do about a device that sends nothing, in words."""
        if not self._device.has_device:
            return 'there is no device; start one, as with device:= of teleop_record.launch.py'
        if self._device.problem:
            return self._device.problem
        happened = 'stopped sending' if self._watchdog.ever_alive else 'sends nothing'
        return f'the device {happened}; {self._device.help or "is it switched on?"}'

    def _message(self, points: list[tuple[float, NDArray[np.float64]]]) -> JointTrajectory:
        start = points[0][0]
        return joint_trajectory(
            time_message_of(start),
            self._robot.action_joints,
            [targets for _, targets in points],
            [time - start for time, _ in points],
        )

    # What the operator is told.

    def _say(self, text: str) -> None:
        """How it is, once per change; other numbers in a text are no change."""
        if re.sub(r'[\d.]+', '', text) != re.sub(r'[\d.]+', '', self._said):
            self.get_logger().info(text)
            self._status.publish(String(data=text))
        self._said = text

    def _tell(self, text: str, good: bool) -> None:
        """What came of a button."""
        if good:
            self.get_logger().info(text)
        else:
            self.get_logger().error(text)
        self._status.publish(String(data=text))
        self._answer = text

    def _publish_diagnostics(self) -> None:
        self._diagnostics.publish(
            diagnostic(
                'teleop_node',
                self._may_move,
                self._said,
                measurement_rate_hz=self._measurements.rate(),
                target_rate_hz=self._rate.rate(),
                buttons=self._buttons,
                answer=self._answer,
            )
        )


def main(args: list[str] | None = None) -> int:
    """Runs the node."""
    return run(TeleopNode, args)


if __name__ == '__main__':
    sys.exit(main())
