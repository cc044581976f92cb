"""Running a node: one `main` for all of them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from g1_ros.config import config_path
from g1_ros.parameters import keep_clock
from g1_ros.parent import end_with_launcher


class NodeEndedError(RuntimeError):
    """Raised in a callback of a node that cannot go on; the message says why, and what to do."""


def run(make_node: Callable[[], Node], args: list[str] | None = None) -> int:
    """Spins the node until SIGINT or SIGTERM, then lets it clean up (`destroy_node`).

    The end of the launcher counts as SIGTERM: control hands the arms back before it ends.

    Returns the exit code. A node that cannot start because of its parameters or files, or cannot go
    on (`NodeEndedError`), says so in one line, not in a traceback.
    """
    os.environ.setdefault('FASTRTPS_DEFAULT_PROFILES_FILE', str(config_path('fastdds.xml')))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    node = None
    try:
        end_with_launcher()
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = make_node()
        keep_clock(node)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        asked = threading.Event()  # a callback comes to its end: an exception in the midst of a
        for number in (signal.SIGINT, signal.SIGTERM):  # conversion from C would be another one
            signal.signal(number, lambda _number, _frame: asked.set())
        while rclpy.ok() and not asked.is_set():
            executor.spin_once(timeout_sec=0.5)  # without end, Python would not hear the signal
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except NodeEndedError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        if node is not None:
            raise
        print(f'error: {error}', file=sys.stderr)
        return 2
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
