"""A polled subscription keeps messages for its owner; no executor takes them."""

import time
from collections.abc import Iterator

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from std_msgs.msg import Int64

from g1_ros.polling import PolledSubscription
from g1_ros.qos import STREAM
from g1_test_support.waiting import wait_until


@pytest.fixture
def node() -> Iterator[Node]:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node('polling', context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_messages_wait_in_order_with_the_times_they_were_sent_and_came(node: Node) -> None:
    subscription = PolledSubscription(node, Int64, 'numbers', STREAM)
    publisher = node.create_publisher(Int64, 'numbers', STREAM)
    wait_until(publisher.get_subscription_count, 'the subscription')
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    before = time.time_ns()
    for number in range(30):
        publisher.publish(Int64(data=number))
    taken: list[tuple[bytes, dict[str, int]]] = []

    def take() -> None:
        executor.spin_once(timeout_sec=0.02)
        taken.extend(subscription.take())

    wait_until(lambda: len(taken) >= 30, lambda: f'30 messages, {len(taken)} came', act=take)
    executor.shutdown()
    assert [deserialize_message(data, Int64).data for data, _ in taken] == list(range(30))
    for _, info in taken:
        assert before <= info['source_timestamp'] <= info['received_timestamp'] <= time.time_ns()
