"""The operator's hands move the robot's: XR controllers in, joint targets for control_node out."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import JointState, Joy
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from g1_description import load_robot
from g1_description.kinematics import ArmKinematics
from g1_node.main import run
from g1_node.parameters import declare, parameter
from g1_node.qos import COMMAND, NEWEST_SENSOR_DATA, SENSOR_DATA
from g1_node.rates import RateMeter, diagnostic
from g1_teleop.devices import Device, OperatorInput, XRoboToolkit
from g1_teleop.messages import hands_message, inputs_message
from g1_teleop.retargeting import Plan, Retargeting, RetargetingParameters, Watchdog

_JOINT_STATE_AGE = 0.2  # the oldest that motion may start from [s]


@dataclass(frozen=True)
class TeleopParameters:
    """What teleop_node takes beside the retargeting's parameters."""

    device: str = parameter(
        'xrobotoolkit',
        choices=('xrobotoolkit', 'scripted'),
        description='What the operator holds; scripted plays the operator in the simulator.',
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

    A message holds the targets of the last 0.1 s, each due 0.1 s after it was made.

    Every new measurement of the device goes out on teleop/hands and teleop/inputs, with the same
    stamp on both: when it was read, at most a period of `rate` after it had come. The stamp of the
    device itself only tells new from old, as a headset's clock agrees with nobody's.
    """

    def __init__(self) -> None:
        super().__init__('teleop_node')
        parameters = declare(self, TeleopParameters)
        retargeting = declare(self, RetargetingParameters)
        self._robot = load_robot()
        self._retargeting = Retargeting(self._robot, ArmKinematics(), retargeting)
        self._watchdog = Watchdog(retargeting.stale_after)
        self._measured: np.ndarray | None = None
        self._measured_at = self.get_clock().now()
        self._plan = Plan()
        self._said = ''
        self._rate = RateMeter()
        self._operator_stamp = 0
        self._publisher = self.create_publisher(JointTrajectory, 'teleop/joint_targets', COMMAND)
        self._hands = self.create_publisher(PoseArray, 'teleop/hands', SENSOR_DATA)
        self._inputs = self.create_publisher(Joy, 'teleop/inputs', SENSOR_DATA)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_subscription(
            JointState, 'joint_states', self._take_joint_state, NEWEST_SENSOR_DATA
        )
        self.device = self._open(parameters)
        self.create_timer(1 / parameters.rate, self._step)
        self.create_timer(1.0, self._publish_diagnostics)

    def destroy_node(self) -> None:
        self.device.close()
        super().destroy_node()

    def _open(self, parameters: TeleopParameters) -> Device:
        match parameters.device:
            case 'xrobotoolkit':
                return XRoboToolkit()
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

    def _take_joint_state(self, message: JointState) -> None:
        positions = dict(zip(message.name, message.position, strict=True))
        missing = [name for name in self._robot.chunk_joints if name not in positions]
        if missing:
            self._say(f'joint_states lacks {", ".join(missing)}; nothing moves')
            return
        self._measured = np.array([positions[name] for name in self._robot.chunk_joints])
        self._measured_at = self.get_clock().now()

    def _step(self) -> None:
        clock = self.get_clock().now()
        now = clock.nanoseconds * 1e-9
        operator = self.device.read()
        self._publish_input(operator)
        targets = None
        if not self._watchdog.alive(operator.stamp, now):
            happened = 'stopped sending' if self._watchdog.ever_alive else 'sends nothing'
            self._retargeting.release()
            self._say(f'the headset {happened}, nothing moves; {self.device.silence_help}')
        elif (
            self._measured is None
            or (clock - self._measured_at).nanoseconds * 1e-9 > _JOINT_STATE_AGE
        ):
            self._retargeting.release()
            self._say('no joint_states, nothing moves; is control_node running?')
        else:
            targets = self._retargeting.update(operator, self._measured, now)
            problems = '; '.join(self._retargeting.problems.values())
            idle = 'ready; press a grip to move that hand, its trigger closes the gripper'
            self._say(problems or ('moving' if targets is not None else idle))
        if targets is None:
            self._plan.clear()
        else:
            self._publisher.publish(self._message(self._plan.add(targets, now)))
            self._rate.tick()

    def _publish_input(self, operator: OperatorInput) -> None:
        if operator.stamp != self._operator_stamp:
            self._operator_stamp = operator.stamp
            stamp = self.get_clock().now().to_msg()
            self._hands.publish(hands_message(operator, stamp))
            self._inputs.publish(inputs_message(operator, stamp))

    def _message(self, points: list[tuple[float, np.ndarray]]) -> JointTrajectory:
        start = points[0][0]
        message = JointTrajectory(joint_names=list(self._robot.chunk_joints))
        message.header.stamp = Time(nanoseconds=round(start * 1e9)).to_msg()
        message.points = [
            JointTrajectoryPoint(
                positions=positions.tolist(),
                time_from_start=Duration(seconds=time - start).to_msg(),
            )
            for time, positions in points
        ]
        return message

    def _say(self, text: str) -> None:
        """Tells the operator once per change; distances in a text count as no change."""
        if text.split(',')[0] != self._said.split(',')[0]:
            self.get_logger().info(text)
        self._said = text

    def _publish_diagnostics(self) -> None:
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        ok = self._watchdog.ever_alive and 'nothing moves' not in self._said
        message.status = [
            diagnostic('teleop_node', ok, self._said, target_rate_hz=self._rate.rate())
        ]
        self._diagnostics.publish(message)


def main(args: list[str] | None = None) -> int:
    return run(TeleopNode, args)


if __name__ == '__main__':
    sys.exit(main())
