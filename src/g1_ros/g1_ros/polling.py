"""Subscriptions that nobody serves: their owner takes the messages when it likes, for less."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

#: Gets a message and its source_timestamp and received_timestamp [ns since 1970].
Keep = Callable[[Any, dict[str, int]], object]


class PolledSubscription:
    """Keeps what comes, serialised and up to the depth of `qos`, until it is taken.

    An executor takes a tenth of a millisecond a message, and its own wait takes them one by one.
    """

    def __init__(self, node: Node, kind: Any, topic: str, qos: QoSProfile) -> None:
        self._node, self._kind = node, kind
        self._subscription = node.create_subscription(
            kind, topic, never_served, qos, callback_group=Unserved(), raw=True
        )

    def close(self) -> None:
        """Hears no more: what is sent goes past this computer's network too."""
        self._node.destroy_subscription(self._subscription)

    def take(self) -> Iterator[tuple[bytes, dict[str, int]]]:
        """Messages since the last call, oldest first, each with its source_timestamp and
        received_timestamp [ns since 1970].
        """
        return take(self._subscription, self._kind, raw=True)


def take(
    subscription: Subscription, kind: Any, raw: bool = False
) -> Iterator[tuple[Any, dict[str, int]]]:
    """What has come since the last call, each with its times [ns since 1970]; without spinning."""
    with subscription.handle:
        while (taken := subscription.handle.take_message(kind, raw)) is not None:
            yield taken


class PolledTopics:
    """Several topics whose messages their owner takes, all at once, when it likes.

    `node` may be spun or not: no executor serves these.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._topics: list[tuple[Subscription, Any, bool, Keep]] = []

    def listen(
        self, kind: Any, topic: str, qos: QoSProfile | int, keep: Keep, raw: bool = False
    ) -> None:
        """`keep` gets each message, serialised if `raw`, and its times [ns since 1970]."""
        subscription = self._node.create_subscription(
            kind, topic, never_served, qos, callback_group=Unserved(), raw=raw
        )
        self._topics.append((subscription, kind, raw, keep))

    def poll(self) -> None:
        """Gives everything that has come since the last call to its `keep`."""
        for subscription, kind, raw, keep in self._topics:
            for message, times in take(subscription, kind, raw):
                keep(message, times)


class Unserved(CallbackGroup):
    """Keeps a subscription from the executor: its owner takes the messages itself."""

    def can_execute(self, entity: Any) -> bool:
        """Never."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Never."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing: none began."""


def never_served(_message: object) -> None:
    """The callback of a subscription whose group is `Unserved`."""
    raise AssertionError('a polled subscription was served by an executor')
