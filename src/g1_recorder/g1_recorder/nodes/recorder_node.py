"""Records demonstrations into a LeRobot dataset: camera, joints, commands as sent, the operator."""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from dit4dit_msgs.msg import ActionChunk, EpisodeStatus, SafetyStatus
from geometry_msgs.msg import Pose, PoseArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, JointState, Joy
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory
from unitree_hg.msg import LowCmd as LowCmdMessage

from g1_control.unitree import ARM_MOTORS, LowCmd
from g1_data import DatasetWriter, Extra, Schema
from g1_description import load_robot
from g1_recorder.health import EpisodeHealth, HealthLimits
from g1_recorder.nodes.raw_topics import raw_topics
from g1_recorder.recording import EpisodeRecording, Frame
from g1_recorder.synchronisation import FrameGrid, Row, Timeline
from g1_ros.config import load_tasks
from g1_ros.diagnostics import diagnostic
from g1_ros.main import run
from g1_ros.parameters import declare, parameter
from g1_ros.polling import PolledSubscription
from g1_ros.qos import SENSOR_DATA, STATUS, STREAM
from g1_ros.rates import RateMeter
from g1_ros.stamps import serialised_stamp

_POLL = 0.01  # [s] between two looks at what has come
_STATUS = 0.5  # [s] between two reports when nothing changes
_WAIT = 0.1  # [s] that a row waits for samples from after it
_SILENT_AFTER = 0.5  # a source that was last heard this long ago is missing [s]
_OTHER_CLOCK = 10.0  # [s] what is stamped this far away, or not at all, is of no row
_SAMPLES = 1000  # kept of each source, several seconds

_IMAGE = 'camera/camera/color/image_raw'
_SIDES = ('left', 'right')
#: What a row's state is made of, and its action.
_STATE = ('state', *(f'{side}_gripper' for side in _SIDES))
_ACTION = ('command', *(f'{side}_gripper_command' for side in _SIDES))
_SOURCES = ('image', *_STATE, *_ACTION, 'operator')
_POSE = ('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw')
_HANDS = ('head', 'left', 'right')  # of teleop/hands
_INPUTS = ('left_grip', 'left_trigger', 'right_grip', 'right_trigger')  # of teleop/inputs
#: What every row holds beside LeRobot's columns. Stamps of what it was made of [s, Unix], 0: there
#: was none; their distance from the row's time [s]; poses [m] and inputs of the operator.
EXTRAS = {
    'capture_stamp': Extra(_SOURCES, 'float64'),
    'residual': Extra(_SOURCES),
    'operator': Extra((*(f'{hand}_{axis}' for hand in _HANDS for axis in _POSE), *_INPUTS)),
}

#: Takes a serialised message and when it was sent and received [s, Unix].
_Take = Callable[[bytes, float, float], None]


@dataclass(frozen=True)
class RecorderParameters:
    """What to record, and where."""

    task: str = parameter(
        '', description='Task of config/tasks.yaml, or an instruction in words of its own.'
    )
    dataset: str = parameter(
        'runs/teleop', description='Folder of the dataset; new episodes are added to what it holds.'
    )
    fps: int = parameter(
        10, unit='Hz', minimum=1, maximum=60, description='Frames per second of the dataset.'
    )
    image_height: int = parameter(
        240, unit='px', minimum=16, maximum=2160, description='Height of the stored video.'
    )
    image_width: int = parameter(
        320, unit='px', minimum=16, maximum=3840, description='Width of the stored video.'
    )
    disk_free: int = parameter(
        500,
        unit='MB',
        minimum=0,
        maximum=1_000_000_000,
        description='With less on the disk no episode is started, and the operator is told.',
    )
    raw_log: bool = parameter(
        False,
        description='Keep the raw topics of each episode too, as MCAP in raw/ of the dataset; '
        'images at 640x480 and 30 Hz take 1.7 GB a minute.',
    )
    episodes_goal: int = parameter(
        200, minimum=1, maximum=100000, description='How many episodes the operator wants.'
    )


class RecorderNode(Node):
    """Services recorder/start, recorder/save and recorder/discard; state on recorder/status.

    Row k of an episode is taken k / fps after its first image: the image nearest to that moment;
    measured positions and commands interpolated to it, of arms and grippers each by their own
    stamps; the operator's input nearest to it. A command has no stamp: its time is when it was
    sent. The clocks of the machines must agree (chrony).
    """

    def __init__(self) -> None:
        super().__init__('recorder_node')
        self._settings = declare(self, RecorderParameters)
        task, fps = self._settings.task, self._settings.fps
        if not task.strip():
            raise ValueError(
                'parameter task: expected what is being demonstrated, got nothing; '
                f'choose one of {", ".join(load_tasks())}, or write an instruction'
            )
        self._instruction = load_tasks().get(task, task)
        self._limits = declare(self, HealthLimits)
        self._robot = load_robot()
        self._writer = DatasetWriter.create(
            self._settings.dataset,
            Schema.of(
                self._robot.embodiment,
                {'head': (self._settings.image_height, self._settings.image_width)},
                fps,
                EXTRAS,
            ),
        )
        self._recording: EpisodeRecording | None = None
        self._started = 0.0
        self._health = EpisodeHealth(self._started)
        self._grid: FrameGrid[bytes] = FrameGrid(fps)
        self._rows: deque[Row[bytes]] = deque()
        self._timelines = {name: Timeline(_SAMPLES) for name in (*_STATE, *_ACTION, 'operator')}
        self._hands: dict[int, np.ndarray] = {}  # poses by their stamp [ns], until inputs come
        self._clamped: int | None = None
        self._image_at = -np.inf
        self._images = RateMeter()
        self._low_cmd = LowCmd()
        self._columns: tuple[list[str], list[int]] = ([], [])
        self._state = EpisodeStatus.IDLE
        self._text = 'ready: call recorder/start'
        self._fault = ''
        self._reported = -np.inf
        self._status = self.create_publisher(EpisodeStatus, 'recorder/status', STATUS)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        sources = self._sources() | (self._raw_sources() if self._settings.raw_log else {})
        self._raw = raw_topics(self, {name: kind for name, (kind, _, _) in sources.items()})
        self._topics = [
            (self.resolve_topic_name(name), PolledSubscription(self, kind, name, qos), take)
            for name, (kind, qos, take) in sources.items()
        ]
        for name, callback in (
            ('start', self._start),
            ('save', self._save),
            ('discard', self._discard),
        ):
            self.create_service(Trigger, f'recorder/{name}', callback)
        self.create_timer(_POLL, self._step)
        for path in self._writer.set_aside:
            self.get_logger().warning(f'left by an interrupted recording, set aside: {path}')
        self.get_logger().info(
            f'dataset {self._writer.root}: {self._writer.total_episodes} episodes; task: '
            f'{self._instruction}'
        )
        self._publish_status()

    def destroy_node(self) -> None:
        if self._recording is not None:
            self._abandon()
            self.get_logger().warning('stopped while recording: the episode was discarded')
        self._writer.close()
        super().destroy_node()

    def _sources(self) -> dict[str, tuple[Any, QoSProfile, _Take | None]]:
        """Type, QoS and taker of every topic that is recorded."""
        return {
            'joint_states': (JointState, STREAM, self._take_joint_state),
            'arm_sdk': (LowCmdMessage, STREAM, self._take_arm_command),
            **{
                f'{side}_gripper/{topic}': (JointState, STREAM, partial(self._take_gripper, name))
                for side in _SIDES
                for topic, name in (
                    ('state', f'{side}_gripper'),
                    ('command', f'{side}_gripper_command'),
                )
            },
            'teleop/hands': (PoseArray, STREAM, self._take_hands),
            'teleop/inputs': (Joy, STREAM, self._take_inputs),
            'control/safety_status': (SafetyStatus, STATUS, self._take_safety),
            _IMAGE: (Image, SENSOR_DATA, self._take_image),
        }

    def _raw_sources(self) -> dict[str, tuple[Any, QoSProfile, _Take | None]]:
        """Topics that are kept in the raw log only."""
        return {
            'camera/camera/color/camera_info': (CameraInfo, STREAM, None),
            'teleop/joint_targets': (JointTrajectory, STREAM, None),
            'policy/action_chunk': (ActionChunk, STREAM, None),
        }

    # What comes in.

    def _step(self) -> None:
        self._poll()
        changed = bool(self._find_fault()) != bool(self._fault)
        if changed or self._now() - self._reported >= _STATUS:
            self._publish_status()

    def _poll(self) -> None:
        """Takes all that has come. The middleware's stamps are of the system's clock."""
        offset = self.get_clock().now().nanoseconds - time.time_ns()
        for name, topic, take in self._topics:
            for data, info in topic.take():
                received = info['received_timestamp'] + offset
                if self._recording is not None and self._settings.raw_log:
                    self._recording.add_raw(name, received, data)
                if take is not None:
                    take(data, (info['source_timestamp'] + offset) * 1e-9, received * 1e-9)
        if self._recording is not None:
            self._add_rows(self._recording, self._now() - _WAIT)

    def _take_joint_state(self, data: bytes, _sent: float, received: float) -> None:
        message = deserialize_message(data, JointState)
        if message.name != self._columns[0]:
            if not set(self._robot.arm_joints) <= set(message.name):
                return  # somebody else's joints; `_missing` says that ours do not come
            columns = [message.name.index(name) for name in self._robot.arm_joints]
            self._columns = (message.name, columns)
        taken = serialised_stamp(data) * 1e-9
        if abs(received - taken) < _OTHER_CLOCK:
            self._timelines['state'].add(taken, np.array(message.position)[self._columns[1]])
            self._health.states.add(taken, received)

    def _take_gripper(self, name: str, data: bytes, _sent: float, received: float) -> None:
        """A state or command, finger opening [m]."""
        message, taken = deserialize_message(data, JointState), serialised_stamp(data) * 1e-9
        if message.position and abs(received - taken) < _OTHER_CLOCK:
            self._timelines[name].add(taken, np.array(message.position[:1]))

    def _take_arm_command(self, data: bytes, sent: float, received: float) -> None:
        self._low_cmd.load(data)
        self._timelines['command'].add(sent, self._low_cmd.q[ARM_MOTORS].astype(float))
        self._health.commands.add(sent, received)

    def _take_hands(self, data: bytes, _sent: float, _received: float) -> None:
        """Head, left and right; `teleop/inputs` with the same stamp follows."""
        message = deserialize_message(data, PoseArray)
        if len(message.poses) == len(_HANDS):
            poses = np.ravel([_pose(pose) for pose in message.poses])
            self._hands[serialised_stamp(data)] = poses
        if len(self._hands) > _SAMPLES:
            del self._hands[next(iter(self._hands))]

    def _take_inputs(self, data: bytes, _sent: float, _received: float) -> None:
        message, stamp = deserialize_message(data, Joy), serialised_stamp(data)
        poses = self._hands.pop(stamp, None)
        if poses is not None and len(message.axes) == len(_INPUTS):
            self._timelines['operator'].add(stamp * 1e-9, np.append(poses, message.axes))

    def _take_safety(self, data: bytes, _sent: float, _received: float) -> None:
        clamped = deserialize_message(data, SafetyStatus).clamped
        if self._clamped is not None:
            self._health.clamped += max(0, clamped - self._clamped)
        self._clamped = clamped

    def _take_image(self, data: bytes, _sent: float, received: float) -> None:
        self._images.tick()
        self._image_at = received
        if self._recording is None:
            return
        taken = serialised_stamp(data) * 1e-9
        self._health.images.add(taken, received)
        if abs(received - taken) < _OTHER_CLOCK:
            self._rows += self._grid.add(taken, data)
            self._health.missed = self._grid.missed

    def _add_rows(self, recording: EpisodeRecording, overdue: float) -> None:
        """Adds the rows whose sources have all come to their time, or that are from `overdue`."""
        known = min(self._timelines[name].newest for name in (*_STATE, *_ACTION))
        while self._rows and self._rows[0].time <= max(known, overdue):
            row = self._rows.popleft()
            self._health.residual = max(self._health.residual, row.residual)
            state, action = (
                np.concatenate([self._timelines[name].at(row.time) for name in names])
                for names in (_STATE, _ACTION)
            )
            recording.add(Frame(state, action, partial(_rgb, row.image), self._extras(row)))

    def _extras(self, row: Row[bytes]) -> dict[str, np.ndarray]:
        """An operator is not there when a policy moves the robot."""
        stamps = np.zeros(len(_SOURCES))
        stamps[0] = serialised_stamp(row.image) * 1e-9
        operator = np.zeros(len(EXTRAS['operator'].names))
        for k, name in enumerate(_SOURCES[1:], 1):
            if self._timelines[name].newest > 0:
                stamps[k], value = self._timelines[name].nearest(row.time)
                if name == 'operator':
                    operator = value
        residual = np.where(stamps > 0, np.abs(stamps - row.time), 0.0)
        return {'capture_stamp': stamps, 'residual': residual, 'operator': operator}

    # What the operator asks for.

    def _start(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._poll()
        missing = self._missing()
        if self._recording is not None:
            return self._answer(response, False, 'already recording: save or discard it first')
        if missing:
            return self._answer(response, False, f'cannot record: {missing}')
        raw = self._raw if self._settings.raw_log else None
        try:
            recording = EpisodeRecording(self._writer, self._instruction, raw)
        except OSError as error:
            return self._answer(response, False, f'cannot write to {self._writer.root}: {error}')
        self._poll()  # what came before this moment is of no row
        self._recording, self._state = recording, EpisodeStatus.RECORDING
        self._grid = FrameGrid(self._settings.fps)
        self._rows.clear()
        self._started = self._now()
        self._health = EpisodeHealth(self._started)
        return self._answer(
            response, True, f'recording episode {self._writer.total_episodes}: {self._instruction}'
        )

    def _save(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._recording is None:
            return self._answer(response, False, 'nothing to save: call recorder/start first')
        self._poll()
        recording, now = self._recording, self._now()
        self._add_rows(recording, np.inf)
        self._state, self._text = EpisodeStatus.SAVING, 'saving'
        self._publish_status()
        self._recording = None
        try:
            recording.finish()
            health = self._health.summary(self._limits, now, recording.dropped, recording.problems)
            index = recording.save(health)
        except (OSError, ValueError) as error:
            return self._answer(response, False, f'the episode was lost: {error}')
        text = f'saved episode {index}: {recording.frames} frames'
        if not health['healthy']:
            text += f', marked as unhealthy: {health["text"]}'
        return self._answer(response, True, text)

    def _discard(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._recording is None:
            return self._answer(response, False, 'nothing to discard: call recorder/start first')
        frames = self._recording.frames
        self._abandon()
        return self._answer(response, True, f'discarded {frames} frames')

    def _abandon(self) -> None:
        """Nothing of the episode being recorded stays."""
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.discard()

    def _answer(self, response: Trigger.Response, success: bool, text: str) -> Trigger.Response:
        """What the caller, the log and the status are told."""
        if self._recording is None:
            self._state = EpisodeStatus.IDLE
        self._text = text
        if success:
            self.get_logger().info(text)
        else:
            self.get_logger().error(text)
        response.success, response.message = success, text
        self._publish_status()
        return response

    # How it goes.

    def _missing(self) -> str:
        """Which sources are not there, in words; empty if all are."""
        now, newest = self._now(), {name: line.newest for name, line in self._timelines.items()}
        sources = (
            ('no camera images; is the camera on?', self._image_at),
            ('no joint_states with both arms; is control_node running?', newest['state']),
            (
                'no states of both grippers; is gripper_node running?',
                min(newest[name] for name in _STATE[1:]),
            ),
            (
                'no commands on arm_sdk and to both grippers; arm with control/arm',
                min(newest[name] for name in _ACTION),
            ),
        )
        texts = [text for text, at in sources if now - at > _SILENT_AFTER]
        free = shutil.disk_usage(self._writer.root).free // 1_000_000
        if free < self._settings.disk_free:
            texts.append(
                f'{free} MB left on the disk of {self._writer.root}, expected '
                f'{self._settings.disk_free} or more'
            )
        return '; '.join(texts)

    def _find_fault(self) -> str:
        """What the operator has to know of the episode being recorded; empty if all is well."""
        if self._recording is None:
            return ''
        faults = self._health.faults(self._limits, self._now())
        return '; '.join(filter(None, (*self._recording.problems, *faults, self._missing())))

    def _publish_status(self) -> None:
        recording, fault = self._recording, self._find_fault()
        if fault and not self._fault:
            self.get_logger().error(f'the episode being recorded: {fault}')
        self._fault, self._reported = fault, self._now()
        self._status.publish(
            EpisodeStatus(
                stamp=self.get_clock().now().to_msg(),
                state=self._state,
                task=self._instruction,
                episode_index=self._writer.total_episodes,
                episodes_saved=self._writer.total_episodes,
                episodes_goal=self._settings.episodes_goal,
                frames=recording.frames if recording else 0,
                frames_dropped=recording.dropped + self._grid.missed if recording else 0,
                duration=self._now() - self._started if recording else 0.0,
                healthy=not fault,
                text=fault or self._text,
            )
        )
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status = [
            diagnostic(
                'recorder_node',
                not fault,
                fault or self._text,
                image_rate_hz=self._images.rate(),
                state_rate_hz=self._health.states.rate,
                command_rate_hz=self._health.commands.rate,
                largest_image_residual_s=self._health.residual,
            )
        ]
        self._diagnostics.publish(message)

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9


def _pose(pose: Pose) -> list[float]:
    p, q = pose.position, pose.orientation
    return [p.x, p.y, p.z, q.x, q.y, q.z, q.w]


def _rgb(data: bytes) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a serialised image. ValueError for another encoding than rgb8, bgr8.

    Asked for on the writing thread, and only for images that become rows.
    """
    message = deserialize_message(data, Image)
    if message.encoding not in ('rgb8', 'bgr8'):
        raise ValueError(
            f'camera: expected encoding rgb8 or bgr8, got {message.encoding}; set '
            'rgb_camera.color_format:=RGB8'
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    image = rows[:, : message.width * 3].reshape(message.height, message.width, 3)
    return image if message.encoding == 'rgb8' else image[..., ::-1]


def main(args: list[str] | None = None) -> int:
    return run(RecorderNode, args)


if __name__ == '__main__':
    sys.exit(main())
