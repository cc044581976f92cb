"""Hears a running system and looks at this computer: where snapshots come from."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from dit4dit_msgs.msg import ActionChunk, EpisodeStatus, PolicyStatus, SafetyStatus
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from unitree_hg.msg import LowState as LowStateMessage

from g1_console.computer import read_checkpoint, read_computer
from g1_console.snapshot import (
    ARM_SDK,
    CAMERA_INFO,
    CHUNKS,
    IMAGE,
    JOINT_STATES,
    LOWSTATE,
    POLICY,
    RECORDER,
    SAFETY,
    SIDES,
    Diagnostic,
    Picture,
    Snapshot,
    Topic,
    Wire,
)
from g1_control.safety import SafetyParameters
from g1_control.unitree import MOTORS, LowState
from g1_ros import qos
from g1_ros.config import config_path
from g1_ros.middleware import environment
from g1_ros.parameters import load
from g1_ros.polling import PolledSubscription
from g1_ros.stamps import serialised_stamp

WINDOW = 2.0  # [s] over which rates are taken
_DIAGNOSTICS_TOPIC = '/diagnostics'
_DIAGNOSTICS_LAST = 5.0  # [s]; nodes send them once a second


@contextmanager
def operator_node(name: str) -> Iterator[Node]:
    """A node of an operator's tool, in the same middleware as the nodes of the suite."""
    os.environ.update(environment({'robot': 'g1'}))
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node(name)
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


@dataclass
class _Source:
    """One topic: what of it was heard. Messages stay serialised, but for the newest."""

    kind: Any
    subscription: PolledSubscription
    stamped: bool
    arrivals: deque[int] = field(default_factory=deque)  # [ns since 1970], of the last WINDOW
    offset: float | None = None
    newest: bytes = b''

    def poll(self) -> list[bytes]:
        """Takes what has come."""
        messages = []
        for message, info in self.subscription.take():
            messages.append(message)
            self.arrivals.append(info['received_timestamp'])
            if self.stamped:
                self._take_stamp(message, info['received_timestamp'])
        if messages:
            self.newest = messages[-1]
        while self.arrivals and self.arrivals[0] < self.arrivals[-1] - WINDOW * 1e9:
            self.arrivals.popleft()
        return messages

    def topic(self, publishers: tuple[str, ...]) -> Topic:
        if not self.arrivals:
            return Topic(publishers)
        span = (self.arrivals[-1] - self.arrivals[0]) * 1e-9
        age = (time.time_ns() - self.arrivals[-1]) * 1e-9
        rate = (len(self.arrivals) - 1) / span if span > 0.0 and age < WINDOW else 0.0
        return Topic(publishers, rate, age, self.offset)

    def message(self) -> Any:
        return deserialize_message(self.newest, self.kind) if self.newest else None

    def _take_stamp(self, message: bytes, arrival: int) -> None:
        offset = (arrival - serialised_stamp(message)) * 1e-9
        self.offset = offset if self.offset is None else min(self.offset, offset)


class Listener:
    """Subscriptions that are polled, ten times a second or more; `node` is not to be spun.

    images: also hears the images themselves, 27 MB a second. robot: 'auto' decides by who is there.
    """

    def __init__(
        self, node: Node, *, robot: str, machine: str, checkpoint: Path, images: bool
    ) -> None:
        self._node, self._robot, self._machine = node, robot, machine
        self._limits = load(SafetyParameters, config_path('safety.yaml'))
        self._checkpoint = read_checkpoint(checkpoint)
        self._wire = LowState()
        self._diagnostics: dict[str, tuple[float, Diagnostic]] = {}  # with when it came
        topics: list[tuple[str, Any, Any, bool]] = [
            (LOWSTATE, LowStateMessage, qos.STREAM, False),
            (JOINT_STATES, JointState, qos.STREAM, True),
            (CAMERA_INFO, CameraInfo, qos.STREAM, True),
            (CHUNKS, ActionChunk, qos.STREAM, True),
            (SAFETY, SafetyStatus, qos.STATUS, True),
            (POLICY, PolicyStatus, qos.STATUS, True),
            (RECORDER, EpisodeStatus, qos.STATUS, True),
            (_DIAGNOSTICS_TOPIC, DiagnosticArray, qos.EVERY_COMMAND, True),
            *((f'{side}_gripper/state', JointState, qos.STREAM, True) for side in SIDES),
            *((f'{side}_gripper/fault', String, qos.STATUS, False) for side in SIDES),
        ]
        if images:
            topics.append((IMAGE, Image, qos.STREAM, True))
        self._sources = {
            name: _Source(kind, PolledSubscription(node, kind, name, profile), stamp)
            for name, kind, profile, stamp in topics
        }

    def poll(self) -> None:
        """Takes everything that has come since the last poll."""
        for name, source in self._sources.items():
            messages = source.poll()
            if name == _DIAGNOSTICS_TOPIC:
                for message in messages:
                    for status in deserialize_message(message, DiagnosticArray).status:
                        values = {v.key: v.value for v in status.values}
                        said = Diagnostic(status.message, values)
                        self._diagnostics[status.name] = (time.monotonic(), said)

    def listen(self, seconds: float) -> None:
        """Polls for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(0.05)
            self.poll()

    def snapshot(self) -> Snapshot:
        """As of the last poll."""
        topics = {
            name: source.topic(self._publishers(name)) for name, source in self._sources.items()
        }
        topics.setdefault(IMAGE, Topic(self._publishers(IMAGE)))
        topics[ARM_SDK] = Topic(self._publishers(ARM_SDK))
        robot = self._robot
        if robot == 'auto':
            robot = 'sim' if 'sim' in topics[LOWSTATE].publishers else 'g1'
        image = self._message(IMAGE)
        states = self._message(JOINT_STATES)
        return Snapshot(
            robot=robot,
            machine=self._machine,
            limits=self._limits,
            topics=topics,
            computer=read_computer(_gripper_ports()),
            checkpoint=self._checkpoint,
            wire=self._read_wire(),
            safety=self._fresh(SAFETY),
            policy=self._fresh(POLICY),
            recorder=self._message(RECORDER) if topics[RECORDER].publishers else None,
            picture=Picture(image.width, image.height, image.encoding) if image else None,
            joints=tuple(states.name) if states else (),
            gripper_faults={
                side: fault.data
                for side in SIDES
                if (fault := self._message(f'{side}_gripper/fault')) is not None
            },
            diagnostics={
                name: said
                for name, (came, said) in self._diagnostics.items()
                if came > time.monotonic() - _DIAGNOSTICS_LAST
            },
        )

    def _message(self, name: str) -> Any:
        return self._sources[name].message() if name in self._sources else None

    def _fresh(self, name: str) -> Any:
        """A status that is sent several times a second: an old one is of a node that has ended."""
        return self._message(name) if self._sources[name].topic(()).age < WINDOW else None

    def _publishers(self, name: str) -> tuple[str, ...]:
        infos = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(name))
        return tuple(sorted(info.node_name for info in infos))

    def _read_wire(self) -> Wire | None:
        data = self._sources[LOWSTATE].newest
        if not data:
            return None
        try:
            self._wire.load(data)
            corrupt = not self._wire.crc_ok
        except ValueError:
            corrupt = True
        return Wire(
            self._wire.mode_machine,
            self._wire.temperature[:MOTORS].max(axis=1).astype(np.int64),
            self._wire.motorstate[:MOTORS].astype(np.int64),
            corrupt,
        )


def _gripper_ports() -> dict[str, str]:
    content = yaml.safe_load(config_path('grippers.yaml').read_text())
    given = next(iter(content.values()))['ros__parameters']
    return {side: given[f'{side}_port'] for side in SIDES}
