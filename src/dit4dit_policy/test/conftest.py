"""Fixtures of this package's tests."""

import contextlib
import threading

import pytest
import rclpy
from policy_client import PolicyClient
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor


@pytest.fixture(scope='module')
def outside(ros_domain):
    """A client of policy_node, spun in a thread of its own."""
    rclpy.init()
    node = PolicyClient()
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin():
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin)
    thread.start()
    yield node
    rclpy.shutdown()
    thread.join()
