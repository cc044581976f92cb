"""Hears a running system: statuses always, streams only while somebody watches."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from dit4dit_msgs.msg import ActionChunk, EpisodeStatus, PolicyStatus, SafetyStatus
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String
from unitree_hg.msg import LowCmd as LowCmdMessage

from g1_console.snapshot import ARM_SDK, CHUNKS, JOINT_STATES, POLICY, RECORDER, SAFETY, Diagnostic
from g1_console.web.event_log import EventLog
from g1_control.unitree import LowCmd
from g1_description import SIDES, Robot
from g1_ros import qos
from g1_ros.compressed import pixels_of
from g1_ros.conversions import JointReader, rgb_array, trajectory_arrays
from g1_ros.polling import PolledSubscription
from g1_ros.rates import RateMeter
from g1_ros.stamps import nanoseconds, seconds

_SILENT = 1.5  # [s] after which a node that has said nothing is not there
_IMAGINED = 10  # that wait to be looked at
_DIAGNOSTICS_LAST = 5.0  # [s]; nodes send them once a second


@dataclass
class NewestImage:
    """The newest image of a camera: (height, width, 3) uint8 RGB, and when it was taken [ns]."""

    pixels: NDArray[np.uint8]
    stamp: int
    meter: RateMeter = field(default_factory=RateMeter)


@dataclass(frozen=True)
class PlannedChunk:
    """A chunk: what it is about, (K, J) positions [rad, m] of its joints, when its image was taken
    [s], and how long it reaches from there [s].
    """

    joints: tuple[str, ...]
    positions: NDArray[np.float64]
    stamp: float
    reach: float


class RunningSystem:
    """What was heard, as of the last `poll`; None, NaN or empty where nothing was.

    safety, policy, recorder: the newest statuses, None too where their node has fallen silent.
    measured, commanded: (16,) of `robot.action_joints` [rad, m]. state: (31,) of
    `robot.state_joints`. pictures: by camera. plan: the newest chunk. imagined: what the policy has
    imagined and nobody has taken, each with the stamp of its moment [ns].
    """

    def __init__(self, node: Node, robot: Robot, timeline: EventLog) -> None:
        self._node, self._robot, self._timeline = node, robot, timeline
        self.safety: SafetyStatus | None = None
        self.policy: PolicyStatus | None = None
        self.recorder: EpisodeStatus | None = None
        self.diagnostics: dict[str, Diagnostic] = {}
        self._heard: dict[str, float] = {}  # when each status came [s], steady
        self._told: dict[str, float] = {}  # the same of each diagnostic
        self._always: list[tuple[PolledSubscription, Any, Callable[[Any], None]]] = []
        self._streams: list[tuple[PolledSubscription, Any, Callable[[Any], None]]] = []
        self._states = JointReader(robot.state_joints)
        self._gripper_readers = [JointReader([name]) for name in robot.gripper_joints]
        self._motors = [joint.motor for joint in robot.arms]
        self._wire = LowCmd()
        self._forget()
        for kind, topic, profile, take in (
            (SafetyStatus, SAFETY, qos.EVERY_STATUS, self._take_safety),
            (PolicyStatus, POLICY, qos.EVERY_STATUS, self._take_policy),
            (EpisodeStatus, RECORDER, qos.EVERY_STATUS, self._take_recorder),
            (DiagnosticArray, '/diagnostics', qos.EVERY_COMMAND, self._take_diagnostics),
        ):
            self._always.append((PolledSubscription(node, kind, topic, profile), kind, take))
        for side in SIDES:
            faults = PolledSubscription(node, String, f'{side}_gripper/fault', qos.EVERY_STATUS)
            self._always.append((faults, String, partial(self._take_fault, f'{side} gripper')))

    @property
    def watching(self) -> bool:
        """Whether streams are heard."""
        return bool(self._streams)

    def watch(self, on: bool) -> None:
        """Begins or ends to hear images, joint states, commands and chunks."""
        if on == self.watching:
            return
        if not on:
            for subscription, _, _ in self._streams:
                subscription.close()
            self._streams = []
            self._forget()
            return
        streams: list[tuple[Any, str, Any, Callable[[Any], None]]] = [
            (JointState, JOINT_STATES, qos.NEWEST_SENSOR_DATA, self._take_joint_states),
            (LowCmdMessage, ARM_SDK, qos.NEWEST_SENSOR_DATA, self._take_command),
            (ActionChunk, CHUNKS, qos.COMMAND, self._take_chunk),
            (CompressedImage, 'policy/imagined', qos.SENSOR_DATA, self._take_imagined),
        ]
        for number, side in enumerate(SIDES):
            take_opening = partial(self._take_opening, number)
            streams.append((JointState, f'{side}_gripper/command', qos.COMMAND, take_opening))
        for name, camera in self._robot.embodiment.cameras.items():
            take_image = partial(self._take_image, name)
            topic = f'{camera.topic}/image_raw'
            streams.append((Image, topic, qos.NEWEST_SENSOR_DATA, take_image))
        self._streams = [
            (PolledSubscription(self._node, kind, topic, profile), kind, take)
            for kind, topic, profile, take in streams
        ]

    def poll(self) -> None:
        """Takes everything that has come since the last call."""
        for subscription, kind, take in (*self._always, *self._streams):
            for data, _ in subscription.take():
                take(data if kind is LowCmdMessage else deserialize_message(data, kind))
        now = time.monotonic()
        for name in ('safety', 'policy', 'recorder'):
            if getattr(self, name) is not None and now - self._heard[name] > _SILENT:
                setattr(self, name, None)
                self._timeline.add(time.time(), 'error', _NODES[name], 'is not heard any more')
        for name in [n for n, came in self._told.items() if now - came > _DIAGNOSTICS_LAST]:
            del self._told[name], self.diagnostics[name]

    def _forget(self) -> None:
        joints = len(self._robot.action_joints)
        self.measured = np.full(joints, np.nan)
        self.commanded = np.full(joints, np.nan)
        self.state: NDArray[np.float64] | None = None
        self.pictures: dict[str, NewestImage] = {}
        self.plan: PlannedChunk | None = None
        self.imagined: deque[tuple[int, NDArray[np.uint8]]] = deque(maxlen=_IMAGINED)

    def _take_safety(self, message: SafetyStatus) -> None:
        self.safety, self._heard['safety'] = message, time.monotonic()
        self._timeline.safety(seconds(message.stamp), message)

    def _take_policy(self, message: PolicyStatus) -> None:
        self.policy, self._heard['policy'] = message, time.monotonic()
        self._timeline.policy(seconds(message.stamp), message)

    def _take_recorder(self, message: EpisodeStatus) -> None:
        self.recorder, self._heard['recorder'] = message, time.monotonic()
        self._timeline.recorder(seconds(message.stamp), message)

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            self.diagnostics[status.name] = Diagnostic(status.message, values)
            self._told[status.name] = time.monotonic()

    def _take_fault(self, source: str, message: String) -> None:
        self._timeline.fault(time.time(), source, message.data)

    def _take_joint_states(self, message: JointState) -> None:
        state = self._states.positions(message)
        if state is not None:
            self.state = state
            arms = state[self._motors]
            self.measured = np.concatenate((arms, state[-len(self._robot.gripper_joints) :]))

    def _take_command(self, data: bytes) -> None:
        self._wire.load(data)
        arms = self._wire.q[self._motors] if self._wire.weight > 0.0 else np.nan
        self.commanded[: len(self._motors)] = arms

    def _take_opening(self, number: int, message: JointState) -> None:
        opening = self._gripper_readers[number].positions(message)
        if opening is not None:
            self.commanded[len(self._motors) + number] = opening[0]

    def _take_chunk(self, message: ActionChunk) -> None:
        times, positions = trajectory_arrays(message.trajectory)
        names = tuple(message.trajectory.joint_names)
        ours = set(names) <= set(self._robot.state_joints)  # control says of others what is wrong
        if ours and len(times) and np.isfinite(positions).all():
            self.plan = PlannedChunk(
                names, positions, seconds(message.header.stamp), float(times[-1])
            )

    def _take_imagined(self, message: CompressedImage) -> None:
        self.imagined.append((nanoseconds(message.header.stamp), pixels_of(message)))

    def _take_image(self, camera: str, message: Image) -> None:
        try:
            pixels = rgb_array(message)
        except ValueError as error:
            self._timeline.fault(time.time(), f'camera {camera}', str(error))
            return
        picture = self.pictures.setdefault(camera, NewestImage(pixels, 0))
        picture.pixels, picture.stamp = pixels, nanoseconds(message.header.stamp)
        picture.meter.tick()


_NODES = {'safety': 'control_node', 'policy': 'policy_node', 'recorder': 'recorder_node'}
