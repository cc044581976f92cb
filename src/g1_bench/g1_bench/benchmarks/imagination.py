"""`g1 bench imagination`: does a chunk come later while the policy imagines between chunks?

policy_node with the shipped checkpoint gets a camera's images and joint states from this process.
Every few seconds somebody begins or ends to look at policy/imagined, so that load of the computer
falls on both alike. How long from an image's stamp to its chunk, with and without?
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
from dit4dit_msgs.msg import ActionChunk
from rclpy.node import Node
from rich.table import Table
from sensor_msgs.msg import CompressedImage, Image, JointState

from g1_bench.benchmarks.rig import milliseconds, process
from g1_bringup.arguments import check
from g1_bringup.launcher import command
from g1_bringup.systems import find
from g1_console.listening import operator_node
from g1_console.services import NoAnswer
from g1_description import load_robot
from g1_ros.polling import PolledSubscription, PolledTopics
from g1_ros.qos import EVERY_COMMAND, SENSOR_DATA, STREAM
from g1_ros.stamps import serialised_stamp

SECONDS = 120.0
_PHASE = 5.0  # [s] with, and without
_SETTLING = 0.5  # [s] of each that count for neither
_READY = 120.0  # [s] until the first chunk
_IMAGE_PERIOD, _STATE_PERIOD = 1 / 15, 1 / 100  # [s]
_POLL = 0.02  # [s]


def measure(seconds: float) -> dict[str, Any]:
    """Alternates for so long. Raises NoAnswer when no chunks come."""
    system = find('policy.launch.py')
    values = check(system, {})
    node = next(n for n in system.started(values) if n.executable == 'policy_node')
    with process(command(replace(node, nice=0), values)), operator_node('g1_bench') as here:
        world = _World(here)
        latencies: dict[bool, list[float]] = {True: [], False: []}
        pictures, turns = 0, max(1, round(seconds / _PHASE / 2))  # with, and without
        try:
            world.wait_for_chunks()
            for phase in range(2 * turns):
                looking = phase % 2 == 0
                looks = world.look() if looking else None
                world.wait(_SETTLING)
                world.latencies.clear()
                world.wait(_PHASE - _SETTLING)
                latencies[looking] += world.latencies
                if looks is not None:
                    pictures += sum(1 for _ in looks.take())
                    looks.close()
        finally:
            world.end()
    counted = turns * (_PHASE - _SETTLING)  # [s] of each
    return {
        'seconds': seconds,
        'cores': os.cpu_count(),
        'load': round(os.getloadavg()[0], 1),
        'imagined_per_second': round(pictures / (turns * _PHASE), 2),
        'imagining': _summary(latencies[True], counted),
        'not_imagining': _summary(latencies[False], counted),
    }


def table(content: dict[str, Any]) -> Table:
    """The numbers for people."""
    result = Table(title='From an image to its chunk [ms]')
    columns = {'chunks': 'chunks', 'rate_hz': 'a second', 'p50': 'p50', 'p95': 'p95', 'p99': 'p99'}
    for name in ('', *columns.values()):
        result.add_column(name, justify='right' if name else 'left')
    for name, text in (
        ('imagining', f'imagining, {content["imagined_per_second"]} pictures a second'),
        ('not_imagining', 'not imagining'),
    ):
        found = content[name]
        result.add_row(text, *(str(found[key]) for key in columns))
    return result


def _summary(latencies: list[float], seconds: float) -> dict[str, float]:
    rate = round(len(latencies) / seconds, 2)
    return {'chunks': len(latencies), 'rate_hz': rate, **milliseconds(latencies, 50, 95, 99)}


class _World:
    """A camera and joint states, on a thread of their own; and the chunks that come of them.

    latencies: from the stamp of a chunk's image to when the chunk was sent [s].
    """

    def __init__(self, node: Node) -> None:
        self.latencies: list[float] = []
        self._node, self._ended = node, threading.Event()
        self._topics = PolledTopics(node)
        self._topics.listen(
            ActionChunk, 'policy/action_chunk', EVERY_COMMAND, self._take_chunk, raw=True
        )
        robot = load_robot()
        camera = robot.embodiment.cameras['head']
        pixels = np.linspace(0, 255, camera.height * camera.width * 3).astype(np.uint8)
        self._image = Image(
            height=camera.height, width=camera.width, encoding='rgb8', step=3 * camera.width
        )
        self._image.data = pixels.tobytes()
        names = list(robot.state_joints)
        self._state = JointState(name=names, position=[0.0] * len(names))
        self._images = node.create_publisher(Image, f'{camera.topic}/image_raw', SENSOR_DATA)
        self._states = node.create_publisher(JointState, 'joint_states', SENSOR_DATA)
        self._thread = threading.Thread(target=self._publish, name='world', daemon=True)
        self._thread.start()

    def wait_for_chunks(self) -> None:
        deadline = time.monotonic() + _READY
        while not self.latencies:
            self.wait(_POLL)
            if time.monotonic() > deadline:
                raise NoAnswer(f'policy_node made no chunk within {_READY:g} s')

    def look(self) -> PolledSubscription:
        """Begins to look at what is imagined."""
        return PolledSubscription(self._node, CompressedImage, 'policy/imagined', STREAM)

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(_POLL)
            self._topics.poll()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _take_chunk(self, data: bytes, times: dict[str, int]) -> None:
        self.latencies.append((times['source_timestamp'] - serialised_stamp(data)) * 1e-9)

    def _publish(self) -> None:
        due, image_due = time.monotonic(), time.monotonic()
        while not self._ended.is_set():
            due += _STATE_PERIOD
            time.sleep(max(0.0, due - time.monotonic()))
            stamp = self._node.get_clock().now().to_msg()
            self._state.header.stamp = stamp
            self._states.publish(self._state)
            if time.monotonic() >= image_due:
                image_due += _IMAGE_PERIOD
                self._image.header.stamp = stamp
                self._images.publish(self._image)
