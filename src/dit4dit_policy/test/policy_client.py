"""Who talks to policy_node as a process from outside, and how the tests start it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from dit4dit_msgs.action import RunTask
from dit4dit_msgs.msg import ActionChunk, PolicyStatus, SafetyStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.action import ActionClient
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from g1_description import load_robot
from g1_ros.qos import COMMAND, SENSOR_DATA, STATUS
from g1_test_support.waiting import DEADLINE, wait_until

NODE = 'import sys; from dit4dit_policy.nodes.policy_node import main; sys.exit(main())'
ROBOT = load_robot()


class PolicyClient(Node):
    """Cameras and joint states to the policy node, and what it says."""

    def __init__(self):
        super().__init__('outside')
        self.camera_on, self.wrist_on = True, False
        self.setback = 0.0  # of the cameras' clock [s]
        self.encoding = 'rgb8'
        self.joints = list(ROBOT.state_joints)
        self.position = 0.0  # of all joints [rad, m]
        self.image_stamps: set[tuple[int, int]] = set()
        self.chunks: list[ActionChunk] = []
        self.statuses: list[PolicyStatus] = []
        self.diagnostics: list[DiagnosticArray] = []
        self._images = self.create_publisher(Image, 'camera/camera/color/image_raw', SENSOR_DATA)
        self._wrist_images = self.create_publisher(
            Image, 'camera/left_wrist/color/image_raw', SENSOR_DATA
        )
        self._joint_states = self.create_publisher(JointState, 'joint_states', SENSOR_DATA)
        self.create_subscription(ActionChunk, 'policy/action_chunk', self.chunks.append, COMMAND)
        self.create_subscription(PolicyStatus, 'policy/status', self.statuses.append, STATUS)
        self.create_subscription(DiagnosticArray, '/diagnostics', self.diagnostics.append, 10)
        self.control_mode = SafetyStatus.DISARMED
        self.control_source = SafetyStatus.CONTROL_POLICY
        self._safety = self.create_publisher(SafetyStatus, 'control/safety_status', STATUS)
        self.create_timer(0.1, self._publish_safety)
        self.success = self.create_publisher(Bool, 'sim/success', STATUS)
        self.scene = self.create_publisher(String, 'sim/instruction', STATUS)
        self.run_task = ActionClient(self, RunTask, 'policy/run_task')
        self.stopping = self.create_client(Trigger, 'policy/stop')
        self.change_state = self.create_client(ChangeState, 'policy_node/change_state')
        self.pixels = np.random.default_rng(0).integers(0, 255, 640 * 480 * 3, np.uint8).tobytes()
        self.create_timer(1 / 15, self._publish_image)
        self.create_timer(1 / 100, self._publish_joint_state)

    def _publish_image(self):
        if self.camera_on:
            image = Image(height=480, width=640, step=1920, encoding=self.encoding)
            now = self.get_clock().now() - Duration(seconds=self.setback)
            image.header.stamp = now.to_msg()
            image.data = self.pixels
            self.image_stamps.add((image.header.stamp.sec, image.header.stamp.nanosec))
            self._images.publish(image)
            if self.wrist_on:
                image.data = bytes([200]) * len(self.pixels)
                self._wrist_images.publish(image)

    def _publish_safety(self):
        self._safety.publish(
            SafetyStatus(mode=self.control_mode, control_source=self.control_source)
        )

    def _publish_joint_state(self):
        state = JointState(name=self.joints, position=[self.position] * len(self.joints))
        state.header.stamp = self.get_clock().now().to_msg()
        self._joint_states.publish(state)

    def status(self) -> PolicyStatus:
        return self.statuses[-1] if self.statuses else PolicyStatus()

    def goal(self, task, time_limit=DEADLINE, until_done=False):
        """Sends a goal; returns its handle once it is accepted."""
        handle = self._send(task, time_limit, until_done)
        assert handle.accepted
        return handle

    def _send(self, task, time_limit, until_done=False):
        """From the thread that hears the answer, or rclpy may hear it before it expects one."""
        goal = RunTask.Goal(task=task, time_limit=time_limit, until_done=until_done)
        sent = self.executor.create_task(self.run_task.send_goal_async, goal)
        wait_until(sent.done, 'the goal to be sent')
        wait_until(sent.result().done, 'the goal response')
        return sent.result().result()

    def rejected(self, task, time_limit=DEADLINE):
        """Sends a goal that is not accepted; returns what the status says of it."""
        assert not self._send(task, time_limit).accepted
        self.statuses.clear()
        wait_until(lambda: 'a goal was rejected: ' in self.status().text, 'the reason')
        return self.status().text.split('a goal was rejected: ')[1]

    def result(self, handle):
        future = handle.get_result_async()
        wait_until(future.done, 'the result of the goal')
        return future.result()

    def transition(self, number) -> bool:
        request = ChangeState.Request(transition=Transition(id=number))
        future = self.change_state.call_async(request)
        wait_until(future.done, f'lifecycle transition {number}')
        return future.result().success

    def stop(self) -> tuple[bool, str]:
        future = self.stopping.call_async(Trigger.Request())
        wait_until(future.done, 'the answer of policy/stop')
        return future.result().success, future.result().message


def start(*parameters):
    options = [word for p in parameters for word in ('-p', p)]
    path = f'{Path(__file__).parent}:{os.environ.get("PYTHONPATH", "")}'  # of toy_policies.py
    return subprocess.Popen(
        [sys.executable, '-c', NODE, '--ros-args', *options], env={**os.environ, 'PYTHONPATH': path}
    )
