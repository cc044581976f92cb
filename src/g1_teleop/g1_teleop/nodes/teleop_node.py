"""The operator's hands move the robot's: XR controllers in, joint targets for control_node out."""

from __future__ import annotations

import importlib
import os
import re
import sys
import time
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from dit4dit_msgs.msg import SafetyStatus
from geometry_msgs.msg import PoseArray
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from g1_description import load_robot
from g1_ros.diagnostics import diagnostic
from g1_ros.main import run
from g1_ros.parameters import declare, parameter
from g1_ros.qos import COMMAND, NEWEST_SENSOR_DATA, SENSOR_DATA, STATUS
from g1_ros.rates import RateMeter
from g1_teleop.buttons import ButtonParameters, Buttons
from g1_teleop.devices import Device, OperatorInput, XRoboToolkit
from g1_teleop.messages import hands_message, inputs_message
from g1_teleop.nodes.operator_requests import OperatorRequests
from g1_teleop.pose_replay import PoseReplay
from g1_teleop.retargeting import Plan, Retargeting, RetargetingParameters, Watchdog

_JOINT_STATE_AGE = 0.2  # the oldest that motion may start from [s]
_HICCUP = 0.5  # after a shorter silence of the device the hands go on, from where they are [s]
_SETTLING = 0.5  # for so long control may hold until the operator is told [s]
_ARMED = (SafetyStatus.ACTIVE, SafetyStatus.HOLD)
#: What brings the arms back, by the mode of control.
_ARM = {
    SafetyStatus.DISARMED: '; arm with: g1 arm',
    SafetyStatus.ESTOP: '; when it is safe: g1 reset, then g1 arm',
}


@dataclass(frozen=True)
class TeleopParameters:
    """What teleop_node takes beside the retargeting's parameters."""

    device: str = parameter(
        'xrobotoolkit',
        choices=('xrobotoolkit', 'replay', 'scripted'),
        description='What the operator holds; scripted plays the operator in the simulator.',
    )
    replay_file: str = parameter(
        '', description='Raw log of an episode (MCAP) whose operator the device replay plays.'
    )
    task: str = parameter(
        '', description='Task of config/tasks.yaml; what a scripted operator demonstrates.'
    )
    rate: float = parameter(
        100.0,
        unit='Hz',
        minimum=100.0,
        maximum=250.0,
        description='Readings of the device, and targets while a grip is pressed.',
    )


class TeleopNode(Node):
    """Publishes teleop/joint_targets while a grip is pressed; else nothing, and control holds.

    A message holds the last targets, those that control has still to reach, with their times.

    Every new measurement of the device goes out on teleop/hands and teleop/inputs, with the same
    stamp on both: when it was read, at most a period of `rate` after it had come. The stamp of the
    device itself only tells new from old, as a headset's clock agrees with nobody's.

    Buttons call the services of recorder_node and control_node. What the operator is to know goes
    to the log, and the newest of it to teleop/status.
    """

    def __init__(self) -> None:
        super().__init__('teleop_node')
        parameters = declare(self, TeleopParameters)
        retargeting = declare(self, RetargetingParameters)
        self._buttons = Buttons(declare(self, ButtonParameters))
        self._robot = load_robot()
        self._retargeting = Retargeting(self._robot, retargeting)
        self._watchdog = Watchdog(retargeting.stale_after)
        self._measured: np.ndarray | None = None
        self._measured_at = 0.0
        self._safety: SafetyStatus | None = None
        self._paused = False
        self._follows_at = 0.0
        self._plan = Plan(retargeting.lead)
        self._said, self._answer = '', ''
        self._may_move = False
        self._rate, self._measurements = RateMeter(), RateMeter()
        self._operator_stamp = 0
        self._publisher = self.create_publisher(JointTrajectory, 'teleop/joint_targets', COMMAND)
        self._hands = self.create_publisher(PoseArray, 'teleop/hands', SENSOR_DATA)
        self._inputs = self.create_publisher(Joy, 'teleop/inputs', SENSOR_DATA)
        self._status = self.create_publisher(String, 'teleop/status', STATUS)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_subscription(
            JointState, 'joint_states', self._take_joint_state, NEWEST_SENSOR_DATA
        )
        self.create_subscription(SafetyStatus, 'control/safety_status', self._take_safety, STATUS)
        self._requests = OperatorRequests(self, self._tell)
        self._device_name = parameters.device
        self.device = self._open(parameters)
        self.create_timer(1 / parameters.rate, self._step)
        self.create_timer(1.0, self._publish_diagnostics)
        self.get_logger().info(f'buttons: {self._buttons}')

    def destroy_node(self) -> None:
        self.device.close()
        super().destroy_node()

    def _open(self, parameters: TeleopParameters) -> Device:
        match parameters.device:
            case 'xrobotoolkit':
                return XRoboToolkit()
            case 'replay':
                return PoseReplay(parameters.replay_file, self._armed)
            case _:  # scripted
                return self._scripted_operator(parameters.task)

    def _scripted_operator(self, task: str) -> Device:
        try:
            module = importlib.import_module('g1_sim.nodes.scripted_operator')
        except ModuleNotFoundError as error:
            raise ValueError(
                f'device scripted needs the simulator, package g1_sim, on this machine ({error})'
            ) from None
        operator: Device = module.ScriptedOperator(self, task)
        return operator

    # What comes in.

    def _take_joint_state(self, message: JointState) -> None:
        positions = dict(zip(message.name, message.position, strict=True))
        if positions.keys() >= set(self._robot.action_joints):
            self._measured = np.array([positions[name] for name in self._robot.action_joints])
            self._measured_at = time.monotonic()

    def _take_safety(self, message: SafetyStatus) -> None:
        self._safety = message

    # A cycle.

    def _step(self) -> None:
        now = time.monotonic()  # not the clock of the stamps: that one may be set
        operator = self.device.read()
        self._publish_input(operator)
        alive = self._watchdog.alive(operator.stamp, now)
        if alive:
            for action in self._buttons.actions(operator.buttons, now):
                self._act(action, now)
        else:
            self._buttons.forget()
        self._requests.check(now)
        obstacle = self._obstacle(alive, now)
        self._may_move = not obstacle
        targets = None
        if obstacle or self._measured is None:
            hiccup = not alive and self._watchdog.silence(now) < _HICCUP
            self._retargeting.release(until_grips_open=not hiccup)
            self._say(f'nothing moves: {obstacle}')
        else:
            targets = self._retargeting.update(operator, self._measured, now)
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
        else:
            self._requests.send(action, now)
        if action in ('pause', 'estop'):
            self._retargeting.release()

    def _obstacle(self, alive: bool, now: float) -> str:
        """Why nothing may move, in words; empty if it may."""
        if not alive:
            happened = 'stopped sending' if self._watchdog.ever_alive else 'sends nothing'
            return f'device {self._device_name} {happened}; {self.device.silence_help}'
        silent = self._measured is None or now - self._measured_at > _JOINT_STATE_AGE
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
        if not sending:
            return 'ready; press a grip to move that hand, its trigger closes the gripper'
        if self._safety.mode != SafetyStatus.HOLD:
            self._follows_at = now
        if now - self._follows_at > _SETTLING:
            return f'control does not follow: {self._safety.text}'
        return 'moving'

    def _armed(self) -> bool:
        return self._safety is not None and self._safety.mode in _ARMED

    def _publish_input(self, operator: OperatorInput) -> None:
        if operator.stamp != self._operator_stamp:
            self._operator_stamp = operator.stamp
            self._measurements.tick()
            stamp = self.get_clock().now().to_msg()
            self._hands.publish(hands_message(operator, stamp))
            self._inputs.publish(inputs_message(operator, stamp))

    def _message(self, points: list[tuple[float, np.ndarray]]) -> JointTrajectory:
        start = points[0][0]
        message = JointTrajectory(joint_names=list(self._robot.action_joints))
        message.header.stamp = Time(nanoseconds=round(start * 1e9)).to_msg()
        message.points = [
            JointTrajectoryPoint(
                positions=positions.tolist(),
                time_from_start=Duration(seconds=time - start).to_msg(),
            )
            for time, positions in points
        ]
        return message

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
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status = [
            diagnostic(
                'teleop_node',
                self._may_move,
                self._said,
                measurement_rate_hz=self._measurements.rate(),
                target_rate_hz=self._rate.rate(),
                buttons=self._buttons,
                answer=self._answer,
            )
        ]
        self._diagnostics.publish(message)


def main(args: list[str] | None = None) -> NoReturn:
    code = run(TeleopNode, args)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # see XRoboToolkit.close


if __name__ == '__main__':
    main()
