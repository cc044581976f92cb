"""Keeps the raw messages of an episode in an MCAP file, beside the rows that are made of them."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from rclpy.node import Node
from rclpy.qos import QoSProfile

from g1_data.raw_log import RawLog

_QUEUE = 2000  # messages that may wait for the disk; of them some 60 are images
_OWN_PACKAGES = ('unitree_hg', 'dit4dit_msgs')  # whose definitions ROS itself does not have


class RawTopics:
    """Subscribes to topics and writes what comes between `start` and `keep` or `discard`.

    Attributes:
        dropped: messages that came faster than they could be written.
    """

    def __init__(self, node: Node, topics: Mapping[str, tuple[Any, QoSProfile]]) -> None:
        """topics: relative name to message class and QoS."""
        self.dropped = 0
        self._clock = node.get_clock()
        self._types = {}
        for name, (kind, qos) in topics.items():
            topic = node.resolve_topic_name(name)
            package, folder, _ = kind.__module__.split('.', 2)
            self._types[topic] = f'{package}/{folder}/{kind.__name__}'
            node.create_subscription(kind, name, partial(self._take, topic), qos, raw=True)
        self._queue: queue.Queue[tuple[str, int, bytes] | None] = queue.Queue(_QUEUE)
        self._thread: threading.Thread | None = None
        self._folder = Path()

    def start(self, folder: Path) -> None:
        """Begins a new log in `folder`, which must not exist. Raises OSError."""
        self._folder, self.dropped = folder, 0
        log = RawLog(folder, self._types, _definitions())
        self._thread = threading.Thread(target=self._write, args=(log,), daemon=True)
        self._thread.start()

    def keep(self, folder: Path) -> None:
        """Completes the log and moves it to `folder`."""
        self._stop()
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._folder.replace(folder)

    def discard(self) -> None:
        """Leaves nothing of the log on disk."""
        self._stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _take(self, topic: str, data: bytes) -> None:
        if self._thread is None:
            return
        try:
            self._queue.put_nowait((topic, self._clock.now().nanoseconds, data))
        except queue.Full:
            self.dropped += 1

    def _stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()

    def _write(self, log: RawLog) -> None:
        with log:
            while (message := self._queue.get()) is not None:
                log.add(*message)


def _definitions() -> dict[str, str]:
    """Name to .msg text of every message type of our own packages."""
    return {
        f'{package}/msg/{path.stem}': path.read_text()
        for package in _OWN_PACKAGES
        for path in sorted(Path(get_package_share_directory(package), 'msg').glob('*.msg'))
    }
