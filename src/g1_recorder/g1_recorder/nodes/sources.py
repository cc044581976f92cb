"""What is recorded, as it comes: topics become samples, and samples and images become rows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from dit4dit_msgs.msg import ActionChunk, SafetyStatus
from geometry_msgs.msg import Pose, PoseArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, JointState, Joy
from trajectory_msgs.msg import JointTrajectory
from unitree_hg.msg import LowCmd as LowCmdMessage

from g1_control.unitree import ARM_MOTORS, LowCmd
from g1_description import Camera, Robot
from g1_recorder.health import EpisodeHealth
from g1_recorder.nodes.raw_topics import raw_topics
from g1_recorder.recording import Frame
from g1_recorder.rows import ACTION, HANDS, INPUTS, SIDES, STATE, Samples
from g1_recorder.synchronisation import FrameGrid, Row
from g1_ros.conversions import JointReader, rgb_array
from g1_ros.polling import PolledSubscription
from g1_ros.qos import EVERY_STATUS, SENSOR_DATA, STREAM
from g1_ros.rates import RateMeter
from g1_ros.stamps import seconds, serialised_stamp

_WAIT = 0.1  # [s] that a row waits for samples from after it
_CAMERA_WAIT = 0.5  # [s] that it waits for other cameras than the first
_SILENT_AFTER = 0.5  # a source that was last heard this long ago is missing [s]
_OTHER_CLOCK = 10.0  # [s] what is stamped this far away, or not at all, is of no row
_CLOCK_STEP = 0.1  # [s] by which the system's clock does not move of itself
_POSES = 1000  # that wait for the inputs of the same moment

#: Takes a serialised message and when it was sent and received [s, Unix].
_Take = Callable[[bytes, float, float], None]
#: Type and QoS of a topic, and who takes its messages.
_Topic = tuple[Any, QoSProfile, _Take | None]


class RowTaker(Protocol):
    """Where rows go: an episode being recorded, or the last seconds."""

    def add(self, frame: Frame) -> None:
        """Takes a row in."""

    def add_raw(self, topic: str, stamp: int, data: bytes) -> None:
        """Takes in a serialised message received at `stamp` [ns, Unix]."""


class Sources:
    """Polls the topics of a robot and these cameras, and gives rows to the episode being recorded.

    Row k of an episode is taken k / fps after the first image of the first camera: the image of
    every camera nearest to that moment; measured positions and commands interpolated to it, of arms
    and grippers each by their own stamps; the operator's input nearest to it; who moves the
    arms, as control said last. A command has no stamp: its time is when it was sent. The clocks of
    the machines must agree (chrony).

    Attributes:
        raw: what a raw log of these topics has to know.
        health: of the episode being recorded.
        rates: images of each camera that come.
    """

    def __init__(self, node: Node, robot: Robot, cameras: Sequence[Camera], keep_raw: bool) -> None:
        """`keep_raw`: all messages go to the recording's raw log too."""
        self._node, self._keep_raw = node, keep_raw
        self._cameras = tuple(camera.name for camera in cameras)
        self._samples = Samples()
        self._arms = JointReader(robot.arm_joints)
        grippers = zip(SIDES, robot.gripper_joints, strict=True)
        self._grippers = {side: JointReader([joint]) for side, joint in grippers}
        self._low_cmd = LowCmd()
        self._hands: dict[int, np.ndarray] = {}  # poses by their stamp [ns], until inputs come
        self._clamped: int | None = None
        self._images: dict[str, tuple[float, float, bytes]] = {}  # received, taken, the newest
        self._clock = self._now() - time.monotonic()
        self.rates = {camera: RateMeter() for camera in self._cameras}
        self._taker: RowTaker | None = None
        self.begin(1.0)
        topics = self._recorded(cameras) | (self._only_logged(cameras) if keep_raw else {})
        self.raw = raw_topics(node, {name: kind for name, (kind, _, _) in topics.items()})
        self._topics = [
            (node.resolve_topic_name(name), PolledSubscription(node, kind, name, qos), take)
            for name, (kind, qos, take) in topics.items()
        ]

    @property
    def missed(self) -> int:
        """Rows of the episode that had to take an image of another moment."""
        return sum(self.health.missed.values())

    def begin(self, fps: float) -> None:
        """From now on what comes is of a new episode."""
        self.health = EpisodeHealth(self._now(), self._cameras)
        self._begin_rows(fps)

    def resume(self, fps: float) -> None:
        """From now on what comes is of the same episode again, after a pause."""
        missed = self.health.missed
        self.health.resume(self._now())
        self._begin_rows(fps)
        self.health.missed.update(missed)

    def next_health(self) -> EpisodeHealth:
        """How well all came since it was asked for last; rows go on."""
        health, self.health = self.health, EpisodeHealth(self._now(), self._cameras)
        self._grid.missed = self.health.missed
        return health

    def pose(self) -> np.ndarray | None:
        """(16,) newest measured of arms and grippers [rad, m]; None before the first."""
        known = self._samples.known_until() > -np.inf
        return self._samples.vectors(np.inf)[0] if known else None

    def _begin_rows(self, fps: float) -> None:
        self._rows: deque[Row[bytes]] = deque()
        self._grid: FrameGrid[bytes] = FrameGrid(fps, self._cameras)
        self.health.missed = self._grid.missed
        for camera in self._cameras[1:]:  # the last image of before, until there is another
            if camera in self._images:
                _, taken, image = self._images[camera]
                self._grid.add(camera, taken, image)

    def poll(self, taker: RowTaker | None) -> None:
        """Takes all that has come; rows go to the taker.

        The middleware's stamps are of the system's clock.
        """
        self._notice_clock_step()
        offset = self._node.get_clock().now().nanoseconds - time.time_ns()
        self._taker = taker
        for name, topic, take in self._topics:
            for data, info in topic.take():
                received = info['received_timestamp'] + offset
                if taker is not None and self._keep_raw:
                    taker.add_raw(name, received, data)
                if take is not None:
                    take(data, (info['source_timestamp'] + offset) * 1e-9, received * 1e-9)
        if taker is not None:
            self._add_rows(taker, self._now())

    def finish(self, taker: RowTaker) -> None:
        """Adds the rows that still waited for something."""
        self._add_rows(taker, np.inf)

    def missing(self) -> list[str]:
        """Which sources are not there, in words."""
        silent = self._now() - _SILENT_AFTER
        texts = [
            f'no camera images of {camera}; is the camera on?'
            for camera in self._cameras
            if camera not in self._images or self._images[camera][0] < silent
        ]
        sources = (
            ('no joint_states with both arms; is control_node running?', STATE[:1]),
            ('no states of both grippers; is gripper_node running?', STATE[1:]),
            ('no commands on arm_sdk and to both grippers; arm with control/arm', ACTION),
        )
        texts += [text for text, names in sources if self._samples.known_until(names) < silent]
        return texts

    def _recorded(self, cameras: Sequence[Camera]) -> dict[str, _Topic]:
        """Topics that rows are made of."""
        topics: dict[str, _Topic] = {
            'joint_states': (JointState, STREAM, self._take_joint_state),
            'arm_sdk': (LowCmdMessage, STREAM, self._take_arm_command),
            'teleop/hands': (PoseArray, STREAM, self._take_hands),
            'teleop/inputs': (Joy, STREAM, self._take_inputs),
            'control/safety_status': (SafetyStatus, EVERY_STATUS, self._take_safety),
        }
        for side in SIDES:
            for topic, name in (
                ('state', f'{side}_gripper'),
                ('command', f'{side}_gripper_command'),
            ):
                take = partial(self._take_gripper, side, name)
                topics[f'{side}_gripper/{topic}'] = (JointState, STREAM, take)
        for camera in cameras:
            take = partial(self._take_image, camera.name)
            topics[f'{camera.topic}/image_raw'] = (Image, SENSOR_DATA, take)
        return topics

    def _only_logged(self, cameras: Sequence[Camera]) -> dict[str, _Topic]:
        """Topics that are kept in the raw log only."""
        return {
            **{f'{camera.topic}/camera_info': (CameraInfo, STREAM, None) for camera in cameras},
            'teleop/joint_targets': (JointTrajectory, STREAM, None),
            'policy/action_chunk': (ActionChunk, STREAM, None),
        }

    def _take_joint_state(self, data: bytes, _sent: float, received: float) -> None:
        positions = self._arms.positions(deserialize_message(data, JointState))
        taken = serialised_stamp(data) * 1e-9
        if positions is not None and abs(received - taken) < _OTHER_CLOCK:
            self._samples.add('state', taken, positions)
            self.health.states.add(taken, received)

    def _take_gripper(
        self, side: str, name: str, data: bytes, _sent: float, received: float
    ) -> None:
        """A state or command, finger opening [m]."""
        opening = self._grippers[side].positions(deserialize_message(data, JointState))
        taken = serialised_stamp(data) * 1e-9
        if opening is not None and abs(received - taken) < _OTHER_CLOCK:
            self._samples.add(name, taken, opening)

    def _take_arm_command(self, data: bytes, sent: float, received: float) -> None:
        self._low_cmd.load(data)
        self._samples.add('command', sent, self._low_cmd.q[ARM_MOTORS].astype(float))
        self.health.commands.add(sent, received)

    def _take_hands(self, data: bytes, _sent: float, _received: float) -> None:
        """Head, left and right; `teleop/inputs` with the same stamp follows."""
        message = deserialize_message(data, PoseArray)
        if len(message.poses) == len(HANDS):
            self._hands[serialised_stamp(data)] = np.ravel([_pose(p) for p in message.poses])
        if len(self._hands) > _POSES:
            del self._hands[next(iter(self._hands))]

    def _take_inputs(self, data: bytes, _sent: float, _received: float) -> None:
        message, stamp = deserialize_message(data, Joy), serialised_stamp(data)
        poses = self._hands.pop(stamp, None)
        if poses is not None and len(message.axes) == len(INPUTS):
            self._samples.add('operator', stamp * 1e-9, np.append(poses, message.axes))

    def _take_safety(self, data: bytes, _sent: float, _received: float) -> None:
        status = deserialize_message(data, SafetyStatus)
        moving = status.mode == SafetyStatus.ACTIVE
        source = status.control_source if moving else SafetyStatus.CONTROL_NOBODY
        self._samples.add_control(seconds(status.stamp), source)
        clamped = status.clamped
        if self._clamped is not None:
            self.health.clamped += max(0, clamped - self._clamped)
        self._clamped = clamped

    def _take_image(self, camera: str, data: bytes, _sent: float, received: float) -> None:
        """It stays serialised until it is known to be of a row."""
        self.rates[camera].tick()
        taken = serialised_stamp(data) * 1e-9
        self._images[camera] = received, taken, data
        if self._taker is not None:
            self.health.images[camera].add(taken, received)
            if abs(received - taken) < _OTHER_CLOCK:
                self._grid.add(camera, taken, data)

    def _add_rows(self, taker: RowTaker, now: float) -> None:
        """Adds the rows whose sources have all come to their time, or that are overdue."""
        self._rows += self._grid.rows(now - _CAMERA_WAIT)
        known = self._samples.known_until()
        if known == -np.inf:
            return  # the clock was set just now
        while self._rows and self._rows[0].time <= max(known, now - _WAIT):
            row = self._rows.popleft()
            for camera, shot in row.shots.items():
                self.health.residual[camera] = max(self.health.residual[camera], shot.residual)
            stamps = [serialised_stamp(shot.image) * 1e-9 for shot in row.shots.values()]
            taker.add(
                Frame(
                    *self._samples.vectors(row.time),
                    {camera: partial(_rgb, shot.image) for camera, shot in row.shots.items()},
                    self._samples.extras(row.time, stamps),
                )
            )

    def _notice_clock_step(self) -> None:
        """What came before the system's clock was set is of another time."""
        if self._node.get_parameter('use_sim_time').value:
            return
        clock = self._now() - time.monotonic()
        if abs(clock - self._clock) > _CLOCK_STEP:
            self.health.clock_step += clock - self._clock
            self._samples.clear()
            self._images.clear()
        self._clock = clock

    def _now(self) -> float:
        return float(self._node.get_clock().now().nanoseconds * 1e-9)


def _pose(pose: Pose) -> list[float]:
    p, q = pose.position, pose.orientation
    return [p.x, p.y, p.z, q.x, q.y, q.z, q.w]


def _rgb(data: bytes) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a serialised image; asked for on the writing thread."""
    return rgb_array(deserialize_message(data, Image))
