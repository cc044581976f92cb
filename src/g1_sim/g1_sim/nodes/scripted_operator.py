"""The device `scripted` of teleop_node: a demonstrator in place of a headset and its wearer."""

from __future__ import annotations

import time

import numpy as np
from dit4dit_msgs.msg import EpisodeStatus, SafetyStatus
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Int64
from std_srvs.srv import Trigger

from g1_description import load_robot
from g1_ros import qos
from g1_sim.demonstrator import Demonstrator
from g1_sim.tasks import simulated_tasks
from g1_teleop.devices import OperatorInput

_PERIOD = 1 / 90  # [s] as a PICO measures
_LONGEST = 0.03  # [s] of motion between two measurements, however long the computer was busy
_SERVICES = ('control/arm', 'sim/reset')


class ScriptedOperator:
    """A device of teleop_node: see `g1_teleop.devices.Device`.

    It does nothing without a simulator, whose topic sim/seed says what stands on the table.
    """

    silence_help = 'its planning ended with an error; start this node again'

    def __init__(self, node: Node, task: str) -> None:
        """node: the teleop_node, whose parameters button_* name the buttons.

        Raises ValueError for a task that cannot be simulated.
        """
        if task not in simulated_tasks():
            raise ValueError(
                f'device scripted: expected a simulated task, got {task!r}; choose one of: '
                f'{", ".join(simulated_tasks())}'
            )
        self._log = node.get_logger().get_child('scripted_operator')
        self._clients = {name: node.create_client(Trigger, name) for name in _SERVICES}
        self._demonstrator = Demonstrator(
            task,
            {
                action: str(node.get_parameter(f'button_{action}').value)
                for action in ('start', 'save', 'discard')
            },
            self._ask,
            self._log.info,
        )
        self._joints = load_robot().action_joints
        self._view = self._demonstrator.view
        self._measured_at = time.monotonic()
        self._input = self._demonstrator.input(time.monotonic_ns())
        subscribe = node.create_subscription
        subscribe(JointState, 'joint_states', self._take_joint_state, qos.NEWEST_SENSOR_DATA)
        subscribe(SafetyStatus, 'control/safety_status', self._take_safety, qos.STATUS)
        subscribe(EpisodeStatus, 'recorder/status', self._take_episode, qos.STATUS)
        subscribe(Int64, 'sim/seed', self._take_seed, qos.STATUS)
        subscribe(Bool, 'sim/success', self._take_success, qos.STATUS)

    def read(self) -> OperatorInput:
        """The newest measurement, at once."""
        passed = (time.monotonic() - self._measured_at) // _PERIOD * _PERIOD
        if passed:
            self._measured_at += passed
            self._demonstrator.step(min(passed, _LONGEST))
            self._input = self._demonstrator.input(time.monotonic_ns())
        return self._input

    def close(self) -> None:
        self._demonstrator.close()

    def _ask(self, name: str) -> None:
        self._clients[name].call_async(Trigger.Request()).add_done_callback(self._take_answer)

    def _take_answer(self, future: Future) -> None:
        answer = future.result()
        if not answer.success:
            self._log.warning(answer.message)

    def _take_joint_state(self, message: JointState) -> None:
        positions = dict(zip(message.name, message.position, strict=True))
        if positions.keys() >= set(self._joints):
            self._view.measured = np.array([positions[name] for name in self._joints])

    def _take_safety(self, message: SafetyStatus) -> None:
        self._view.armed = message.mode in (SafetyStatus.ACTIVE, SafetyStatus.HOLD)

    def _take_episode(self, message: EpisodeStatus) -> None:
        self._view.recording = message.state != EpisodeStatus.IDLE
        self._view.saved, self._view.goal = message.episodes_saved, message.episodes_goal

    def _take_seed(self, message: Int64) -> None:
        self._view.seed, self._view.scenes = message.data, self._view.scenes + 1

    def _take_success(self, message: Bool) -> None:
        self._view.success = message.data
