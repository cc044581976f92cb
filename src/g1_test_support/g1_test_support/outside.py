"""A test's end of ROS: a node with a context and a thread of its own."""

from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from types import TracebackType
from typing import Any, TypeVar

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger

from g1_test_support.waiting import DEADLINE, wait_until

T = TypeVar('T')
Self = TypeVar('Self', bound='Outside')


class Outside:
    """A node that is served by a thread, so that a test can wait for what its callbacks see.

    domain: None takes ROS_DOMAIN_ID. Used by `with`, or closed with `close()`.
    """

    def __init__(self, name: str = 'outside', domain: int | None = None) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node: Node = rclpy.create_node(name, context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = Thread(target=self._spin, daemon=True)
        self._thread.start()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leaves ROS."""
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def now(self) -> float:
        """The node's clock [s]."""
        return float(self.node.get_clock().now().nanoseconds * 1e-9)

    def wait_for(self, condition: Callable[[], T], what: str, timeout: float = DEADLINE) -> T:
        """What `condition` returns as soon as that is true; callbacks run meanwhile."""
        return wait_until(condition, lambda: f'{what}{self.context_of_failure()}', timeout)

    def context_of_failure(self) -> str:
        """What a subclass has to say when something did not come."""
        return ''

    def call(self, service: str, timeout: float = DEADLINE) -> Trigger.Response:
        """The answer of a std_srvs/Trigger service."""
        return self.request(Trigger, service, Trigger.Request(), timeout)

    def request(self, kind: Any, service: str, request: Any, timeout: float = DEADLINE) -> Any:
        """The answer of any service."""
        client = self.node.create_client(kind, service)
        self.wait_for(client.service_is_ready, f'the service {service}', timeout)
        future = client.call_async(request)
        self.wait_for(future.done, f'an answer of {service}', timeout)
        self.node.destroy_client(client)
        return future.result()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin()
