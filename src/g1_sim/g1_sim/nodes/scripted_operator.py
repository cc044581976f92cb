"""A demonstrator in place of a headset and its wearer: teleop/hands and teleop/inputs by itself."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
from dit4dit_msgs.msg import EpisodeStatus, SafetyStatus
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray, Int64
from std_srvs.srv import Trigger

from g1_description import load_robot
from g1_ros import qos
from g1_ros.conversions import JointReader
from g1_ros.main import run
from g1_ros.operator import BUTTONS, OperatorPublisher
from g1_ros.parameters import declare, parameter
from g1_ros.timers import steady_timer
from g1_sim.demonstrator import Demonstrator
from g1_sim.supervisor import Supervisor
from g1_sim.tasks import simulated_tasks

_PERIOD = 1 / 90  # [s] as a PICO measures
_LONGEST = 0.03  # [s] of motion between two measurements, however long the computer was busy
_SERVICES = ('control/arm', 'sim/reset')


@dataclass(frozen=True)
class OperatorParameters:
    """What scripted_operator takes; the buttons are those of teleop_node."""

    task: str = parameter('', choices=simulated_tasks(), description='What is demonstrated.')
    takeover: bool = parameter(
        False, description='A policy does the task, and is helped where it does not get there.'
    )
    button_start: str = parameter('A', choices=BUTTONS, description='Starts an episode.')
    button_save: str = parameter('B', choices=BUTTONS, description='Saves the episode.')
    button_discard: str = parameter('X', choices=BUTTONS, description='Discards the episode.')


class ScriptedOperator(Node):
    """Demonstrates a task over and over, or looks on and helps, as a device of teleop_node.

    It does nothing without a simulator, whose topic sim/seed says what stands on the table.
    """

    def __init__(self) -> None:
        super().__init__('scripted_operator')
        parameters = declare(self, OperatorParameters)
        self._clients_of = {name: self.create_client(Trigger, name) for name in _SERVICES}
        self._publisher = OperatorPublisher(self)
        self._publisher.say('the planning of scripted_operator is stuck; start it again')
        kind = Supervisor if parameters.takeover else Demonstrator
        self._demonstrator = kind(
            parameters.task,
            {
                'start': parameters.button_start,
                'save': parameters.button_save,
                'discard': parameters.button_discard,
            },
            self._ask,
            self.get_logger().info,
        )
        self._joints = JointReader(load_robot().action_joints)
        self._view = self._demonstrator.view
        self._measured_at = time.monotonic()
        subscribe = self.create_subscription
        subscribe(JointState, 'joint_states', self._take_joint_state, qos.NEWEST_SENSOR_DATA)
        subscribe(SafetyStatus, 'control/safety_status', self._take_safety, qos.STATUS)
        subscribe(EpisodeStatus, 'recorder/status', self._take_episode, qos.STATUS)
        subscribe(Int64, 'sim/seed', self._take_seed, qos.STATUS)
        subscribe(Bool, 'sim/success', self._take_success, qos.STATUS)
        if parameters.takeover:
            subscribe(Float64MultiArray, 'sim/qpos', self._take_qpos, qos.STATUS)
        steady_timer(self, _PERIOD, self._measure)

    def destroy_node(self) -> None:
        """Ends the planning too."""
        self._demonstrator.close()
        super().destroy_node()

    def _measure(self) -> None:
        now = time.monotonic()
        passed, self._measured_at = now - self._measured_at, now
        self._demonstrator.step(min(passed, _LONGEST))
        self._publisher.publish(self._demonstrator.input(self.get_clock().now().nanoseconds))

    def _ask(self, name: str) -> None:
        self._clients_of[name].call_async(Trigger.Request()).add_done_callback(self._take_answer)

    def _take_answer(self, future: Future) -> None:
        answer = future.result()
        if answer is not None and not answer.success:
            self.get_logger().warning(answer.message)

    def _take_joint_state(self, message: JointState) -> None:
        measured = self._joints.positions(message)
        if measured is not None:
            self._view.measured = measured

    def _take_safety(self, message: SafetyStatus) -> None:
        self._view.armed = message.mode in (SafetyStatus.ACTIVE, SafetyStatus.HOLD)
        self._view.policy = message.control_source == SafetyStatus.CONTROL_POLICY

    def _take_episode(self, message: EpisodeStatus) -> None:
        self._view.recording = message.state != EpisodeStatus.IDLE
        self._view.saved, self._view.goal = message.episodes_saved, message.episodes_goal

    def _take_seed(self, message: Int64) -> None:
        self._view.seed, self._view.scenes = message.data, self._view.scenes + 1
        self._view.qpos = None

    def _take_qpos(self, message: Float64MultiArray) -> None:
        self._view.qpos = np.array(message.data)

    def _take_success(self, message: Bool) -> None:
        self._view.success = message.data


def main(args: list[str] | None = None) -> int:
    """Runs the node."""
    return run(ScriptedOperator, args)


if __name__ == '__main__':
    sys.exit(main())
