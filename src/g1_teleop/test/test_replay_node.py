"""replay_node as teleop_node and a recorder meet it: a recording on the topics of a device."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
from dit4dit_msgs.msg import SafetyStatus
from rclpy.serialization import serialize_message

from g1_data.raw_log import RawLog
from g1_ros.operator import (
    HandInput,
    OperatorInput,
    OperatorSubscription,
    hands_message,
    inputs_message,
)
from g1_ros.qos import STATUS
from g1_ros.stamps import time_message
from g1_test_support.waiting import wait_until

COUNT = 90  # measurements, a second of them


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """The left hand moves forward by 1 mm with every measurement, its grip pressed."""
    kinds = {'/teleop/hands': hands_message, '/teleop/inputs': inputs_message}
    types = {
        '/teleop/hands': 'geometry_msgs/msg/PoseArray',
        '/teleop/inputs': 'sensor_msgs/msg/Joy',
    }
    with RawLog(tmp_path / 'raw', types, {}) as log:
        for k in range(COUNT):
            pose = np.eye(4)
            pose[0, 3] = k * 1e-3
            stamp = 10**18 + k * 10**9 // 90
            operator = OperatorInput(stamp, HandInput(pose, 1.0, 0.0), HandInput(None, 0.0, 0.0))
            for topic, message in kinds.items():
                data = serialize_message(message(operator, time_message(stamp)))
                log.add(topic, stamp, data)
    return tmp_path / 'raw'


def test_it_rests_until_the_arms_can_follow_and_then_plays_to_the_end(
    recording: Path, ros_domain: None
) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, '-m', 'g1_teleop.nodes.replay_node'),
            *('--ros-args', '-p', f'replay_file:={recording}'),
        ],
        env=os.environ,
    )
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('listener', context=context)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    heard = OperatorSubscription(node, lambda: None)
    safety = node.create_publisher(SafetyStatus, 'control/safety_status', STATUS)
    seen: list[OperatorInput] = []

    def hear() -> None:
        executor.spin_once(timeout_sec=0.002)
        seen.extend(heard.take())

    def place() -> float:
        """Of the left hand [m]."""
        pose = seen[-1].left.pose
        assert pose is not None
        return float(pose[0, 3])

    try:
        safety.publish(SafetyStatus(mode=SafetyStatus.DISARMED))
        wait_until(lambda: len(seen) > 20 and heard.help != '', 'hands at rest', act=hear)
        assert {one.left.grip for one in seen} == {0.0}
        assert place() == 0.0
        safety.publish(SafetyStatus(mode=SafetyStatus.HOLD))
        wait_until(lambda: place() == pytest.approx((COUNT - 1) * 1e-3), 'the end', act=hear)
        assert seen[-1].left.grip == 1.0
        stamps = [one.stamp for one in seen]
        assert stamps == sorted(set(stamps))
        assert 'the recording is over' in heard.help
        end = time.monotonic() + 0.5
        count = len(seen)
        wait_until(lambda: time.monotonic() > end, 'silence', act=hear)
        assert len(seen) == count
    finally:
        process.kill()
        process.wait()
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)


def test_a_recording_that_is_not_there_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, '-m', 'g1_teleop.nodes.replay_node'],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1
    assert 'replay_file: expected the raw log of an episode' in done.stderr
