"""Records demonstrations into a LeRobot dataset: camera, joints, commands as sent, the operator."""

from __future__ import annotations

import sys
import time
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
from rclpy.time import Time
from sensor_msgs.msg import Image, JointState, Joy
from std_srvs.srv import Trigger
from unitree_hg.msg import LowCmd as LowCmdMessage

from g1_control.unitree import ARM_MOTORS, LowCmd
from g1_data import DatasetWriter
from g1_data.layout import Extra
from g1_description import load_robot
from g1_node.config import load_tasks
from g1_node.main import run
from g1_node.parameters import declare, parameter
from g1_node.qos import COMMAND, SENSOR_DATA, STATUS
from g1_node.rates import RateMeter, diagnostic
from g1_node.stamps import serialised_stamp
from g1_teleop.health import EpisodeHealth, HealthLimits
from g1_teleop.nodes.raw_topics import RawTopics
from g1_teleop.recording import EpisodeRecording, Frame
from g1_teleop.synchronisation import FrameGrid, Row, Timeline

_CHANNELS = {'rgb8': (0, 1, 2), 'bgr8': (2, 1, 0)}
_SILENT_AFTER = 0.5  # a source that was last heard this long ago is missing [s]

_SOURCES = ('image', 'state', 'command', 'operator')
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

    Row k of an episode is taken k / fps after its first image: the image nearest to that moment,
    and the measured positions and the commands at that moment. The clocks of the machines must
    agree (chrony), as images are stamped where they are taken.
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
        self._robot = load_robot()
        self._writer = DatasetWriter.create(
            self._settings.dataset,
            fps,
            self._robot.chunk_joints,
            (self._settings.image_height, self._settings.image_width),
            extras=EXTRAS,
        )
        self._limits = declare(self, HealthLimits)
        self._health = EpisodeHealth()
        self._recording: EpisodeRecording | None = None
        self._grid: FrameGrid[bytes] = FrameGrid(fps)
        self._started = 0.0
        self._measured = Timeline(500)
        self._commanded = Timeline(1000)
        self._operator = Timeline(500)
        self._hands = np.zeros(len(_HANDS) * len(_POSE))
        self._clamped: int | None = None
        self._gripper_commands: dict[str, float] = {}
        self._image_at = -np.inf
        self._images = RateMeter()
        self._low_cmd = LowCmd()
        self._columns: tuple[list[str], list[int]] = ([], [])
        self._state = EpisodeStatus.IDLE
        self._text = 'ready: call recorder/start'
        self._status = self.create_publisher(EpisodeStatus, 'recorder/status', STATUS)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._gripper_topics = {
            name: f'{name.split("_")[0]}_gripper/command' for name in self._robot.gripper_joints
        }
        self._subscribe()
        self._raw = RawTopics(self, self._raw_topics()) if self._settings.raw_log else None
        for name, callback in (
            ('start', self._start),
            ('save', self._save),
            ('discard', self._discard),
        ):
            self.create_service(Trigger, f'recorder/{name}', callback)
        self.create_timer(0.5, self._publish_status)
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

    def _subscribe(self) -> None:
        self.create_subscription(
            Image, 'camera/camera/color/image_raw', self._take_image, SENSOR_DATA, raw=True
        )
        self.create_subscription(JointState, 'joint_states', self._take_joint_state, SENSOR_DATA)
        self.create_subscription(
            LowCmdMessage, 'arm_sdk', self._take_arm_command, COMMAND, raw=True
        )
        self.create_subscription(PoseArray, 'teleop/hands', self._take_hands, SENSOR_DATA)
        self.create_subscription(Joy, 'teleop/inputs', self._take_inputs, SENSOR_DATA)
        self.create_subscription(SafetyStatus, 'control/safety_status', self._take_safety, STATUS)
        for name, topic in self._gripper_topics.items():
            self.create_subscription(
                JointState, topic, partial(self._take_gripper_command, name), COMMAND
            )

    def _raw_topics(self) -> dict[str, tuple[Any, QoSProfile]]:
        return {
            'camera/camera/color/image_raw': (Image, SENSOR_DATA),
            'joint_states': (JointState, SENSOR_DATA),
            'arm_sdk': (LowCmdMessage, COMMAND),
            **{topic: (JointState, COMMAND) for topic in self._gripper_topics.values()},
            'teleop/hands': (PoseArray, SENSOR_DATA),
            'teleop/inputs': (Joy, SENSOR_DATA),
            'policy/action_chunk': (ActionChunk, COMMAND),
            'control/safety_status': (SafetyStatus, STATUS),
        }

    # What comes in.

    def _take_joint_state(self, message: JointState) -> None:
        if message.name != self._columns[0]:
            if not set(self._robot.chunk_joints) <= set(message.name):
                return  # somebody else's joints; `_missing` says that ours do not come
            columns = [message.name.index(name) for name in self._robot.chunk_joints]
            self._columns = (message.name, columns)
        positions = np.array([message.position[k] for k in self._columns[1]])
        taken = _seconds(message.header.stamp)
        self._measured.add(taken, positions)
        self._health.states.add(taken, self._now())

    def _take_gripper_command(self, name: str, message: JointState) -> None:
        if message.position:
            self._gripper_commands[name] = message.position[0]

    def _take_arm_command(self, data: bytes) -> None:
        if len(self._gripper_commands) == len(self._robot.gripper_joints):
            self._low_cmd.load(data)
            grippers = [self._gripper_commands[name] for name in self._robot.gripper_joints]
            now = self._now()
            self._commanded.add(now, np.append(self._low_cmd.q[ARM_MOTORS], grippers))
            self._health.commands.add(now, now)

    def _take_hands(self, message: PoseArray) -> None:
        """Head, left and right; `teleop/inputs` with the same stamp follows."""
        if len(message.poses) == len(_HANDS):
            self._hands = np.ravel([_pose(pose) for pose in message.poses])

    def _take_inputs(self, message: Joy) -> None:
        if len(message.axes) == len(_INPUTS):
            taken = _seconds(message.header.stamp)
            self._operator.add(taken, np.append(self._hands, message.axes))

    def _take_safety(self, message: SafetyStatus) -> None:
        if self._clamped is not None:
            self._health.clamped += max(0, message.clamped - self._clamped)
        self._clamped = message.clamped

    def _take_image(self, data: bytes) -> None:
        self._images.tick()
        self._image_at = now = self._now()
        if self._recording is None:
            return
        taken = serialised_stamp(data) * 1e-9
        self._health.images.add(taken, now)
        for row in self._grid.add(taken, data):
            self._add(row)
        self._health.missed = self._dropped()

    def _add(self, row: Row[bytes]) -> None:
        assert self._recording is not None
        self._health.residual = max(self._health.residual, row.residual)
        self._recording.add(
            Frame(
                state=self._measured.at(row.time),
                action=self._commanded.at(row.time),
                image=partial(_rgb, row.image),
                extras=self._extras(row),
            )
        )

    def _extras(self, row: Row[bytes]) -> dict[str, np.ndarray]:
        stamps = np.zeros(len(_SOURCES))
        stamps[0] = serialised_stamp(row.image) * 1e-9
        operator = np.zeros(len(EXTRAS['operator'].names))
        for k, source in enumerate((self._measured, self._commanded, self._operator), 1):
            if (sample := source.nearest(row.time)) is not None:
                stamps[k] = sample[0]
                if source is self._operator:
                    operator = sample[1]
        residual = np.where(stamps > 0, np.abs(stamps - row.time), 0.0)
        return {'capture_stamp': stamps, 'residual': residual, 'operator': operator}

    # What the operator asks for.

    def _start(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        missing = self._missing()
        if self._recording is not None:
            return self._answer(response, False, 'already recording: save or discard it first')
        if missing:
            return self._answer(response, False, f'cannot record: {missing}')
        try:
            self._recording = EpisodeRecording(self._writer, self._instruction)
            if self._raw:
                self._raw.start(self._writer.root / '.staging' / f'raw-{time.time_ns()}')
        except OSError as error:
            self._abandon()
            return self._answer(response, False, f'cannot write to {self._writer.root}: {error}')
        self._grid = FrameGrid(self._settings.fps)
        self._started = self._now()
        self._health = EpisodeHealth()
        self._state = EpisodeStatus.RECORDING
        return self._answer(
            response, True, f'recording episode {self._writer.total_episodes}: {self._instruction}'
        )

    def _save(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._recording is None:
            return self._answer(response, False, 'nothing to save: call recorder/start first')
        recording, health = self._recording, self._health.summary(self._limits)
        self._state, self._text = EpisodeStatus.SAVING, 'saving'
        self._publish_status()
        self._recording = None
        try:
            index = recording.save(health)
            if self._raw:
                self._raw.keep(self._writer.root / 'raw' / f'episode_{index:06d}')
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
        if self._raw:
            self._raw.discard()

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

    def _dropped(self) -> int:
        return self._grid.missed + (self._recording.dropped if self._recording else 0)

    def _missing(self) -> str:
        """Which sources are not there, in words; empty if all are."""
        now = self._now()
        sources = (
            ('no camera images; is the camera on?', self._image_at),
            (
                'no joint_states with arms and grippers; is control_node running?',
                self._measured.newest,
            ),
            (
                'no commands on arm_sdk and to both grippers; arm with control/arm',
                self._commanded.newest,
            ),
        )
        return '; '.join(text for text, at in sources if now - at > _SILENT_AFTER)

    def _publish_status(self) -> None:
        recording = self._recording
        fault = ''
        if recording is not None:
            error = '' if recording.error is None else f'writing failed: {recording.error}'
            faults = (error, *self._health.faults(self._limits), self._missing())
            fault = '; '.join(text for text in faults if text)
        self._status.publish(
            EpisodeStatus(
                stamp=self.get_clock().now().to_msg(),
                state=self._state,
                task=self._instruction,
                episode_index=self._writer.total_episodes,
                episodes_saved=self._writer.total_episodes,
                episodes_goal=self._settings.episodes_goal,
                frames=recording.frames if recording else 0,
                frames_dropped=self._dropped() if recording else 0,
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
                largest_image_residual_s=self._health.residual,
            )
        ]
        self._diagnostics.publish(message)

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9


def _seconds(stamp: object) -> float:
    return Time.from_msg(stamp).nanoseconds * 1e-9


def _pose(pose: Pose) -> list[float]:
    p, q = pose.position, pose.orientation
    return [p.x, p.y, p.z, q.x, q.y, q.z, q.w]


def _rgb(data: bytes) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a serialised image. ValueError for another encoding than rgb8, bgr8.

    Asked for on the writing thread, and only for images that become rows.
    """
    message = deserialize_message(data, Image)
    if message.encoding not in _CHANNELS:
        raise ValueError(
            f'camera: expected encoding {" or ".join(_CHANNELS)}, got {message.encoding}; set '
            'rgb_camera.color_format:=RGB8'
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    image = rows[:, : message.width * 3].reshape(message.height, message.width, 3)
    return image[..., _CHANNELS[message.encoding]]


def main(args: list[str] | None = None) -> int:
    return run(RecorderNode, args)


if __name__ == '__main__':
    sys.exit(main())
