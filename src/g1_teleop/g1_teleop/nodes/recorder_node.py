"""Records demonstrations into a LeRobot dataset: camera, measured joints and commands as sent."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from dit4dit_msgs.msg import EpisodeStatus
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger
from unitree_hg.msg import LowCmd as LowCmdMessage

from g1_control.unitree import ARM_MOTORS, LowCmd
from g1_data import DatasetWriter
from g1_description import load_robot
from g1_node.config import load_tasks
from g1_node.main import run
from g1_node.parameters import declare, parameter
from g1_node.qos import COMMAND, SENSOR_DATA, STATUS
from g1_node.rates import RateMeter, diagnostic
from g1_teleop.recording import EpisodeRecording, Frame
from g1_teleop.synchronisation import FrameGrid, Row, Timeline

_CHANNELS = {'rgb8': (0, 1, 2), 'bgr8': (2, 1, 0)}
_SILENT_AFTER = 0.5  # a source that was last heard this long ago is missing [s]


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
        )
        self._recording: EpisodeRecording | None = None
        self._grid: FrameGrid[Image] = FrameGrid(fps)
        self._started = 0.0
        self._residual = 0.0
        self._measured = Timeline(500)
        self._commanded = Timeline(1000)
        self._gripper_commands: dict[str, float] = {}
        self._image_at = -np.inf
        self._images = RateMeter()
        self._low_cmd = LowCmd()
        self._columns: tuple[list[str], list[int]] = ([], [])
        self._state = EpisodeStatus.IDLE
        self._text = 'ready: call recorder/start'
        self._status = self.create_publisher(EpisodeStatus, 'recorder/status', STATUS)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._subscribe()
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
            self._recording.discard()
            self.get_logger().warning('stopped while recording: the episode was discarded')
        self._writer.close()
        super().destroy_node()

    def _subscribe(self) -> None:
        self.create_subscription(
            Image, 'camera/camera/color/image_raw', self._take_image, SENSOR_DATA
        )
        self.create_subscription(JointState, 'joint_states', self._take_joint_state, SENSOR_DATA)
        self.create_subscription(
            LowCmdMessage, 'arm_sdk', self._take_arm_command, COMMAND, raw=True
        )
        for name in self._robot.gripper_joints:
            side = name.split('_')[0]
            self.create_subscription(
                JointState,
                f'{side}_gripper/command',
                partial(self._take_gripper_command, name),
                COMMAND,
            )

    # What comes in.

    def _take_joint_state(self, message: JointState) -> None:
        if message.name != self._columns[0]:
            if not set(self._robot.chunk_joints) <= set(message.name):
                return  # somebody else's joints; `_missing` says that ours do not come
            columns = [message.name.index(name) for name in self._robot.chunk_joints]
            self._columns = (message.name, columns)
        positions = np.array([message.position[k] for k in self._columns[1]])
        self._measured.add(_seconds(message.header.stamp), positions)

    def _take_gripper_command(self, name: str, message: JointState) -> None:
        if message.position:
            self._gripper_commands[name] = message.position[0]

    def _take_arm_command(self, data: bytes) -> None:
        if len(self._gripper_commands) == len(self._robot.gripper_joints):
            self._low_cmd.load(data)
            grippers = [self._gripper_commands[name] for name in self._robot.gripper_joints]
            self._commanded.add(self._now(), np.append(self._low_cmd.q[ARM_MOTORS], grippers))

    def _take_image(self, message: Image) -> None:
        self._images.tick()
        self._image_at = self._now()
        if self._recording is None:
            return
        for row in self._grid.add(_seconds(message.header.stamp), message):
            self._add(row)

    def _add(self, row: Row[Image]) -> None:
        assert self._recording is not None
        self._residual = max(self._residual, row.residual)
        self._recording.add(
            Frame(
                state=self._measured.at(row.time),
                action=self._commanded.at(row.time),
                image=partial(_rgb, row.image),
            )
        )

    # What the operator asks for.

    def _start(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        missing = self._missing()
        if self._recording is not None:
            return self._answer(response, False, 'already recording: save or discard it first')
        if missing:
            return self._answer(response, False, f'cannot record: {missing}')
        try:
            self._recording = EpisodeRecording(self._writer, self._instruction)
        except OSError as error:
            return self._answer(response, False, f'cannot write to {self._writer.root}: {error}')
        self._grid = FrameGrid(self._settings.fps)
        self._started, self._residual = self._now(), 0.0
        self._state = EpisodeStatus.RECORDING
        return self._answer(
            response, True, f'recording episode {self._writer.total_episodes}: {self._instruction}'
        )

    def _save(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._recording is None:
            return self._answer(response, False, 'nothing to save: call recorder/start first')
        recording, dropped = self._recording, self._dropped()
        self._state, self._text = EpisodeStatus.SAVING, 'saving'
        self._publish_status()
        self._end()
        try:
            index = recording.save()
        except (OSError, ValueError) as error:
            return self._answer(response, False, f'the episode was lost: {error}')
        text = f'saved episode {index}: {recording.frames} frames, {dropped} of them missed'
        return self._answer(response, True, text)

    def _discard(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._recording is None:
            return self._answer(response, False, 'nothing to discard: call recorder/start first')
        recording = self._recording
        self._end()
        recording.discard()
        return self._answer(response, True, f'discarded {recording.frames} frames')

    def _end(self) -> None:
        self._recording = None

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
            missed = f'{self._dropped()} frames missed' if self._dropped() else ''
            fault = '; '.join(text for text in (error, missed, self._missing()) if text)
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
                largest_image_residual_s=self._residual,
            )
        ]
        self._diagnostics.publish(message)

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9


def _seconds(stamp: object) -> float:
    return Time.from_msg(stamp).nanoseconds * 1e-9


def _rgb(message: Image) -> np.ndarray:
    """(H, W, 3) uint8 RGB. Raises ValueError for an encoding other than rgb8 and bgr8."""
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
