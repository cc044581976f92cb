"""Timers that go on whatever happens to the system clock."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.timer import Timer


def steady_timer(node: Node, period: float, callback: Callable[[], None]) -> Timer:
    """Calls `callback` every `period` [s]; a system clock that is set neither stops nor hurries it.

    A timer of the node's own clock stands still for as long as the system clock is set back.
    """
    return node.create_timer(period, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))
