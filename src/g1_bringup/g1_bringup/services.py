"""What an operator asks of a running robot."""

from __future__ import annotations

import sys
import time

import rclpy
from rclpy.node import Node
from std_srvs.srv import Trigger


class NoAnswer(RuntimeError):
    """A service that is not there, or does not answer in time."""


def ask(node: Node, service: str, timeout: float = 5.0) -> Trigger.Response:
    """Calls a Trigger service, spinning `node`, and returns its answer.

    Raises NoAnswer after `timeout` [s].
    """
    client = node.create_client(Trigger, service)
    try:
        deadline = time.monotonic() + timeout
        while not client.service_is_ready():
            if time.monotonic() > deadline:
                raise NoAnswer(
                    f'no service {service} after {timeout:g} s; is a system running, and is '
                    'ROS_DOMAIN_ID the same in its shell and in this one?'
                )
            time.sleep(0.02)
        future = client.call_async(Trigger.Request())
        rclpy.spin_until_future_complete(node, future, timeout_sec=deadline - time.monotonic())
        answer = future.result() if future.done() else None
        if answer is None:
            raise NoAnswer(f'the service {service} did not answer within {timeout:g} s')
        return answer
    finally:
        node.destroy_client(client)


def call(service: str) -> int:
    """Calls a Trigger service and prints the answer; returns 0 when it was a yes."""
    rclpy.init()
    node = Node('g1_operator')
    try:
        answer = ask(node, service)
    except NoAnswer as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    print(answer.message, file=sys.stdout if answer.success else sys.stderr)
    return 0 if answer.success else 1
