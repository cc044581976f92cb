"""Subscriptions that nobody serves: their owner takes the messages when it likes, for less."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile


class PolledSubscription:
    """Keeps what comes, serialised and up to the depth of `qos`, until it is taken.

    An executor takes a tenth of a millisecond a message, and its own wait takes them one by one.
    """

    def __init__(self, node: Node, kind: Any, topic: str, qos: QoSProfile) -> None:
        self._kind = kind
        self._subscription = node.create_subscription(
            kind, topic, _never, qos, callback_group=_Unserved(), raw=True
        )

    def take(self) -> Iterator[tuple[bytes, dict[str, int]]]:
        """Messages since the last call, oldest first, each with its source_timestamp and
        received_timestamp [ns since 1970].
        """
        handle = self._subscription.handle
        with handle:
            while (taken := handle.take_message(self._kind, True)) is not None:
                yield taken


class _Unserved(CallbackGroup):
    """Keeps its subscription from the executor."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None: ...


def _never(_message: bytes) -> None:
    raise AssertionError('a polled subscription was served by an executor')
