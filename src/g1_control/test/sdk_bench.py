"""A control_node between Unitree's SDK and a test: the processes, and the operator's end of ROS."""

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from dit4dit_msgs.msg import ActionChunk, SafetyStatus
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Imu, JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectoryPoint

from g1_description import load_robot
from g1_ros.config import config_path
from g1_ros.qos import COMMAND, SENSOR_DATA, STATUS
from g1_ros.stamps import time_message_of

ROBOT = load_robot()


class Process:
    """A program that answers in lines of JSON."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, '-m', module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.answer('ready')

    def ask(self, event: str, **request: Any) -> dict[str, Any]:
        self._process.stdin.write(json.dumps(request) + '\n')
        self._process.stdin.flush()
        return self.answer(event)

    def answer(self, event: str) -> dict[str, Any]:
        answer = self._answers.get(timeout=90)
        assert answer['event'] == event, answer
        return answer

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        for line in self._process.stdout:
            self._answers.put(json.loads(line))


class ControlProcess:
    """control_node; `changes` are parameters."""

    def __init__(self, **changes: object) -> None:
        files = [str(config_path(name)) for name in ('control.yaml', 'safety.yaml')]
        self.process = subprocess.Popen(
            [
                *(sys.executable, '-c', 'from g1_control.nodes.control_node import main; main()'),
                '--ros-args',
                *(word for file in files for word in ('--params-file', file)),
                *(word for name in changes for word in ('-p', f'{name}:={changes[name]}')),
            ],
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Operator:
    """Grippers that are well, chunks on request, and what control_node says."""

    def __init__(self, domain: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node('operator', context=self.context)
        self.statuses: list[SafetyStatus] = [SafetyStatus()]
        self.joint_states: list[JointState] = []
        self.imus: list[Imu] = []
        listen = self.node.create_subscription
        listen(SafetyStatus, 'control/safety_status', self.statuses.append, STATUS)
        listen(JointState, 'joint_states', self.joint_states.append, SENSOR_DATA)
        listen(Imu, 'imu', self.imus.append, SENSOR_DATA)
        self._chunks = self.node.create_publisher(ActionChunk, 'policy/action_chunk', COMMAND)
        self._grippers = [
            self.node.create_publisher(JointState, f'{side}_gripper/state', COMMAND)
            for side in ('left', 'right')
        ]
        self.node.create_timer(0.02, self._publish_grippers)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    @property
    def status(self) -> SafetyStatus:
        return self.statuses[-1]

    def call(self, name: str) -> Trigger.Response:
        client = self.node.create_client(Trigger, f'control/{name}')
        assert client.wait_for_service(60), f'no service control/{name}'
        future = client.call_async(Trigger.Request())
        self.wait_for(future.done, f'an answer of control/{name}')
        return future.result()

    def arm(self) -> None:
        self.wait_for(lambda: self.joint_states, 'joint states', timeout=90)
        self.wait_for(lambda: self.call('arm').success, 'the arms to be armed')
        self.wait_for_mode(SafetyStatus.HOLD)

    def disarm(self) -> None:
        assert self.call('disarm').success
        self.wait_for_mode(SafetyStatus.DISARMED)

    def now(self) -> float:
        return self.node.get_clock().now().nanoseconds * 1e-9

    def send(self, motion: Callable[[float], np.ndarray]) -> None:
        now = self.now()
        message = ActionChunk()
        message.header.stamp = time_message_of(now)
        message.trajectory.joint_names = list(ROBOT.action_joints)
        for k in range(16):
            point = JointTrajectoryPoint(positions=motion(now + 0.1 * k).tolist())
            point.time_from_start.sec, point.time_from_start.nanosec = divmod(k * 10**8, 10**9)
            message.trajectory.points.append(point)
        self._chunks.publish(message)

    def wait_for(self, condition: Callable[[], object], what: str, timeout: float = 30.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f'waited {timeout} s for {what}; {self.status}'
            time.sleep(0.01)

    def wait_for_reason(self, reason: int) -> None:
        self.wait_for(lambda: self.status.reason == reason, f'reason {reason}')

    def wait_for_mode(self, mode: int) -> None:
        self.wait_for(lambda: self.status.mode == mode, f'mode {mode}')

    def _publish_grippers(self) -> None:
        for publisher, name in zip(self._grippers, ROBOT.gripper_joints, strict=True):
            publisher.publish(JointState(name=[name], position=[0.02], velocity=[0.0]))
