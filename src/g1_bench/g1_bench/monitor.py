"""Listens to a running system without slowing it down, and keeps what it hears for the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from dit4dit_msgs.msg import ActionChunk, PolicyStatus, SafetyStatus
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Bool, String
from unitree_hg.msg import LowCmd, LowState

from g1_ros import qos
from g1_ros.polling import PolledTopics
from g1_ros.stamps import nanoseconds


@dataclass
class Record:
    """What was heard, each with a time [ns since 1970]: of arrival, but of sending for commands."""

    lowstate: list[tuple[int]] = field(default_factory=list)
    joint_states: list[tuple[int, bytes]] = field(default_factory=list)
    commands: list[tuple[int, bytes]] = field(default_factory=list)
    #: Time, and where in the file of images: offset and size of the serialised message.
    images: list[tuple[int, int, int]] = field(default_factory=list)
    chunks: list[tuple[int, ActionChunk]] = field(default_factory=list)
    #: By the moment that it shows, as its stamp says.
    imagined: list[tuple[int, CompressedImage]] = field(default_factory=list)
    safety: list[tuple[int, SafetyStatus]] = field(default_factory=list)
    policy: list[tuple[int, PolicyStatus]] = field(default_factory=list)
    success: list[tuple[int, bool]] = field(default_factory=list)
    #: What the scene asks for, where that is its own.
    instructions: list[tuple[int, str]] = field(default_factory=list)
    real_time_factors: list[tuple[int, float]] = field(default_factory=list)


class Monitor:
    """Subscriptions that are polled, some twenty times a second; `node` is not to be spun.

    An executor would wake up for each of a thousand messages a second. Here the middleware keeps
    them, with the time each came, and a poll takes what there is. The frequent ones stay serialised
    until the run is over. Images go to the file `images`, since a minute of them is a gigabyte.
    """

    def __init__(self, node: Node, images: Path) -> None:
        self.record = Record()
        #: Until this is set, images are counted but not kept.
        self.keep_images = False
        self._images = images.open('wb')
        self._offset = 0
        self._topics = PolledTopics(node)
        for kind, topic, profile, raw, keep in (
            (LowState, 'lowstate', qos.STREAM, True, self._keep_lowstate),
            (LowCmd, 'arm_sdk', qos.STREAM, True, self._keep_command),
            (JointState, 'joint_states', qos.STREAM, True, self._keep_joint_state),
            (Image, 'camera/camera/color/image_raw', qos.SENSOR_DATA, True, self._keep_image),
            (ActionChunk, 'policy/action_chunk', qos.EVERY_COMMAND, False, self._keep_chunk),
            (CompressedImage, 'policy/imagined', qos.SENSOR_DATA, False, self._keep_imagined),
            (SafetyStatus, 'control/safety_status', qos.STATUS, False, self._keep_safety),
            (PolicyStatus, 'policy/status', qos.STATUS, False, self._keep_policy),
            (Bool, 'sim/success', qos.STATUS, False, self._keep_success),
            (String, 'sim/instruction', qos.STATUS, False, self._keep_instruction),
            (DiagnosticArray, '/diagnostics', qos.EVERY_COMMAND, False, self._keep_diagnostics),
        ):
            self._topics.listen(kind, topic, profile, keep, raw=raw)

    def poll(self) -> None:
        """Takes everything that has come since the last poll."""
        self._topics.poll()

    def close(self) -> None:
        """Ends the file of images."""
        self._images.close()

    def _keep_lowstate(self, _message: bytes, info: dict[str, int]) -> None:
        self.record.lowstate.append((info['received_timestamp'],))

    def _keep_command(self, message: bytes, info: dict[str, int]) -> None:
        self.record.commands.append((info['source_timestamp'], message))

    def _keep_joint_state(self, message: bytes, info: dict[str, int]) -> None:
        self.record.joint_states.append((info['received_timestamp'], message))

    def _keep_image(self, message: bytes, info: dict[str, int]) -> None:
        size = self._images.write(message) if self.keep_images else 0
        self.record.images.append((info['received_timestamp'], self._offset, size))
        self._offset += size

    def _keep_chunk(self, message: ActionChunk, info: dict[str, int]) -> None:
        self.record.chunks.append((info['received_timestamp'], message))

    def _keep_imagined(self, message: CompressedImage, _info: object) -> None:
        self.record.imagined.append((nanoseconds(message.header.stamp), message))

    def _keep_safety(self, message: SafetyStatus, info: dict[str, int]) -> None:
        self.record.safety.append((info['received_timestamp'], message))

    def _keep_policy(self, message: PolicyStatus, info: dict[str, int]) -> None:
        self.record.policy.append((info['received_timestamp'], message))

    def _keep_success(self, message: Bool, info: dict[str, int]) -> None:
        self.record.success.append((info['received_timestamp'], message.data))

    def _keep_instruction(self, message: String, info: dict[str, int]) -> None:
        self.record.instructions.append((info['received_timestamp'], message.data))

    def _keep_diagnostics(self, message: DiagnosticArray, info: dict[str, int]) -> None:
        for status in message.status:
            for value in status.values:
                if value.key == 'real_time_factor':
                    factor = float(value.value)
                    self.record.real_time_factors.append((info['received_timestamp'], factor))
