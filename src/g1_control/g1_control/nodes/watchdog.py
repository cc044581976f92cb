"""The process that hands the arms back when control_node cannot: see g1_control.watchdog.

It hears /arm_sdk, and has a publisher there from the start, since discovery takes time. Twenty
times a second it says on control/watchdog that it is there, and the GID of that publisher, by which
control_node tells it from a stranger's. Asked to end, it stays until the arms are handed back.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque

from dit4dit_msgs.msg import WatchdogStatus
from rclpy.node import Node

from g1_control.nodes.raw_types import RawLowCmd
from g1_control.watchdog import Watchdog
from g1_ros.main import run
from g1_ros.polling import PolledSubscription
from g1_ros.qos import COMMAND, NEWEST_SENSOR_DATA
from g1_ros.real_time import ask_for_real_time, lock_memory
from g1_ros.shared_memory import avoid_shared_memory

_PERIOD = 0.004  # [s] between looks, and between commands
_IDLE_PERIOD = 0.02  # [s] between looks while nobody is armed
_STATUS_PERIOD = 0.05  # [s]
_LATE = 0.03  # [s] since the last look, after which silence may be this process's own fault
_CATCH_UP = 0.02  # [s] of looks that then come first
_PATIENCE = 4.0  # [s] for control to hand back by itself, when both are asked to end
_ECHOES = 64  # own commands that may still come back


class WatchdogNode(Node):
    """Everything happens on one thread; the executor has nothing to do."""

    def __init__(self) -> None:
        super().__init__('watchdog')
        self._watchdog = Watchdog()
        self._commands = PolledSubscription(self, RawLowCmd, 'arm_sdk', NEWEST_SENSOR_DATA)
        before = self._gids()
        self._publisher = self.create_publisher(RawLowCmd, 'arm_sdk', COMMAND)
        self._gid = self._new_gid(before)
        self._statuses = self.create_publisher(WatchdogStatus, 'control/watchdog', COMMAND)
        self._said: deque[bytes] = deque(maxlen=_ECHOES)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name='watchdog', daemon=True)
        self._thread.start()

    def destroy_node(self) -> None:
        """Ends once there is nothing to hand back, by control_node itself or from here."""
        deadline = time.monotonic() + _PATIENCE
        while self._watchdog.armed and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(_IDLE_PERIOD)
        self._stopping.set()
        self._thread.join(1.0)
        super().destroy_node()

    def _gids(self) -> set[str]:
        infos = self.get_publishers_info_by_topic(self.resolve_topic_name('arm_sdk'))
        mine = (self.get_name(), self.get_namespace())
        return {
            bytes(info.endpoint_gid).hex()
            for info in infos
            if (info.node_name, info.node_namespace) == mine
        }

    def _new_gid(self, before: set[str]) -> str:
        deadline = time.monotonic() + 5.0
        while not (new := self._gids() - before):
            if time.monotonic() > deadline:
                raise OSError('the middleware does not show the publisher on arm_sdk')
            time.sleep(0.01)
        if len(new) > 1:
            raise ValueError('a second watchdog has started at the same moment; start one only')
        return new.pop()

    def _watch(self) -> None:
        now = due = time.monotonic()
        status_due = trusted = 0.0
        while not self._stopping.is_set():
            before, now = now, time.monotonic()
            if now - before > _LATE:  # what control said meanwhile may still be on its way to here
                trusted = now + _CATCH_UP
            self._hear()
            was = self._watchdog.handing_back
            command = self._watchdog.say(now) if was or now >= trusted else None
            if command is not None:
                self._said.append(command)
                self._publisher.publish(command)
            if self._watchdog.handing_back != was:
                self._log(was)
            if now >= status_due or self._watchdog.handing_back != was:
                status_due = now + _STATUS_PERIOD
                self._publish_status()
            due = max(due + (_PERIOD if self._watchdog.armed else _IDLE_PERIOD), now)
            time.sleep(max(0.0, due - time.monotonic()))

    def _hear(self) -> None:
        for data, _ in self._commands.take():
            if data in self._said:
                continue
            try:
                self._watchdog.hear(data, time.monotonic())
            except ValueError as error:
                self.get_logger().error(f'/arm_sdk: {error}', throttle_duration_sec=5.0)

    def _log(self, was_handing_back: bool) -> None:
        if not was_handing_back:
            self.get_logger().error('control fell silent while armed: the arms are handed back')
        elif self._watchdog.armed:
            self.get_logger().warning('control speaks again and goes on handing them back')
        else:
            self.get_logger().error('the arms are handed back, weight 0')

    def _publish_status(self) -> None:
        self._statuses.publish(
            WatchdogStatus(
                stamp=self.get_clock().now().to_msg(),
                publisher=self._gid,
                handing_back=self._watchdog.handing_back,
                hand_backs=self._watchdog.hand_backs,
            )
        )


def main() -> None:
    """Entry point of `watchdog`."""
    avoid_shared_memory()
    ask_for_real_time()
    lock_memory()
    sys.exit(run(WatchdogNode))
