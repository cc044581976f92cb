"""Records demonstrations as a LeRobot dataset: cameras, joints, commands as sent, the operator."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from dit4dit_msgs.msg import EpisodeStatus
from rclpy.node import Node
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from g1_data import DatasetWriter, Schema
from g1_description import load_robot
from g1_recorder.health import HealthLimits, image_name
from g1_recorder.nodes.sources import Sources
from g1_recorder.recording import EpisodeRecording
from g1_recorder.rows import row_extras
from g1_ros.config import load_tasks
from g1_ros.diagnostics import Diagnostics, diagnostic
from g1_ros.main import run
from g1_ros.memory import return_freed, return_large_buffers
from g1_ros.parameters import declare, parameter
from g1_ros.qos import STATUS
from g1_ros.timers import steady_timer

_POLL = 0.01  # [s] between two looks at what has come
_STATUS = 0.5  # [s] between two reports when nothing changes
_TOLD = 5.0  # [s] how long the status tells of a request that was refused
_READY = 'ready: call recorder/start'


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
    cameras: list[str] = parameter(
        ['head'],
        description='Cameras to record, of the embodiment: head, left_wrist, right_wrist. Rows '
        'begin with the first image of the first.',
    )
    image_height: int = parameter(
        240, unit='px', minimum=16, maximum=2160, description='Height of the stored videos.'
    )
    image_width: int = parameter(
        320, unit='px', minimum=16, maximum=3840, description='Width of the stored videos.'
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

    recorder/success and recorder/failure say how the episode being recorded went; without a word, a
    simulator's is kept.

    What a row of an episode is made of: see `Sources`.
    """

    def __init__(self) -> None:
        super().__init__('recorder_node')
        self._settings = declare(self, RecorderParameters)
        self._limits = declare(self, HealthLimits)
        self._instruction = _instruction(self._settings.task)
        self.create_subscription(String, 'sim/instruction', self._take_instruction, STATUS)
        robot = load_robot()
        cameras = robot.embodiment.select_cameras(self._settings.cameras)
        shape = self._settings.image_height, self._settings.image_width
        schema = Schema.of(
            robot.embodiment,
            dict.fromkeys(self._settings.cameras, shape),
            self._settings.fps,
            row_extras(self._settings.cameras),
        )
        self._writer = DatasetWriter.create(self._settings.dataset, schema)
        self._recording: EpisodeRecording | None = None
        self._started = 0.0  # [s] of the steady clock, as all times that only pass here
        self._state = EpisodeStatus.IDLE
        self._text = _READY
        self._refusal, self._refused = '', -np.inf  # of the newest request, and when [s]
        self._fault = ''
        self._done: bool | None = None  # whether the simulated task is; None without a simulator
        self._judged = ''  # the outcome of the episode being recorded, where a person has said it
        self.create_subscription(Bool, 'sim/success', self._take_success, STATUS)
        self._reported = -np.inf
        self._status = self.create_publisher(EpisodeStatus, 'recorder/status', STATUS)
        self._diagnostics = Diagnostics(self)
        self._sources = Sources(self, robot, cameras, self._settings.raw_log)
        for name, callback in (
            ('start', self._start),
            ('save', self._save),
            ('discard', self._discard),
            ('success', self._judge('success')),
            ('failure', self._judge('failure')),
        ):
            self.create_service(Trigger, f'recorder/{name}', callback)
        steady_timer(self, _POLL, self._step)
        for path in self._writer.set_aside:
            self.get_logger().warning(f'left by an interrupted recording, set aside: {path}')
        self.get_logger().info(
            f'dataset {self._writer.root}: {self._writer.total_episodes} episodes of '
            f'{", ".join(self._settings.cameras)}; task: {self._instruction}'
        )
        self._publish_status()

    def destroy_node(self) -> None:
        """Discards the episode being recorded, and lets others write to the dataset."""
        if self._recording is not None:
            self._abandon()
            self.get_logger().warning('stopped while recording: the episode was discarded')
        self._writer.close()
        super().destroy_node()

    def _take_instruction(self, message: String) -> None:
        """What a simulated scene asks for, in place of the task's sentence: of the next episode."""
        self._instruction = message.data

    def _take_success(self, message: Bool) -> None:
        self._done = message.data

    def _step(self) -> None:
        self._sources.poll(self._recording)
        changed = bool(self._find_fault()) != bool(self._fault)
        if changed or time.monotonic() - self._reported >= _STATUS:
            self._publish_status()

    # What the operator asks for.

    def _start(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._sources.poll(self._recording)
        missing = self._missing()
        if self._recording is not None:
            return self._refuse(response, 'already recording: save or discard it first')
        if missing:
            return self._refuse(response, f'cannot record: {missing}')
        raw = self._sources.raw if self._settings.raw_log else None
        try:
            recording = EpisodeRecording(self._writer, self._instruction, raw)
        except OSError as error:
            return self._refuse(response, f'cannot write to {self._writer.root}: {error}')
        self._sources.poll(None)  # what came before this moment is of no row
        self._sources.begin(self._settings.fps)
        self._recording, self._state = recording, EpisodeStatus.RECORDING
        self._started, self._judged = time.monotonic(), ''
        return self._answer(
            response, True, f'recording episode {self._writer.total_episodes}: {self._instruction}'
        )

    def _save(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._recording is None:
            return self._refuse(response, 'nothing to save: call recorder/start first')
        recording = self._recording
        self._sources.poll(recording)
        self._sources.finish(recording)
        now = self._now()
        self._state, self._text = EpisodeStatus.SAVING, 'saving'
        self._publish_status()
        self._recording = None
        try:
            recording.finish()
            health = self._sources.health.summary(
                self._limits, now, recording.dropped, recording.problems
            ) | {'outcome': self._outcome}
            index = recording.save(health)
        except (OSError, ValueError) as error:
            return self._answer(response, False, f'the episode was lost: {error}')
        finally:
            return_freed()
        text = f'saved episode {index}: {recording.frames} frames'
        if self._outcome:
            text += f', a {self._outcome}'
        if not health['healthy']:
            text += f', marked as unhealthy: {health["text"]}'
        return self._answer(response, True, text)

    def _discard(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._recording is None:
            return self._refuse(response, 'nothing to discard: call recorder/start first')
        frames = self._recording.frames
        self._abandon()
        return self._answer(response, True, f'discarded {frames} frames')

    def _judge(
        self, outcome: str
    ) -> Callable[[Trigger.Request, Trigger.Response], Trigger.Response]:
        def answer(_request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            if self._recording is None:
                return self._refuse(response, f'nothing is recorded that could be a {outcome}')
            self._judged = outcome
            return self._answer(response, True, f'the episode being recorded is a {outcome}')

        return answer

    @property
    def _outcome(self) -> str:
        """Of the episode being recorded, as far as anybody said."""
        if self._judged or self._done is None:
            return self._judged
        return 'success' if self._done else 'failure'

    def _abandon(self) -> None:
        """Nothing of the episode being recorded stays."""
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.discard()

    def _answer(self, response: Trigger.Response, success: bool, text: str) -> Trigger.Response:
        """What the caller, the log and the status are told."""
        if self._recording is None:
            self._state = EpisodeStatus.IDLE
        self._text, self._refused = text, -np.inf
        if success:
            self.get_logger().info(text)
        else:
            self.get_logger().error(text)
        response.success, response.message = success, text
        self._publish_status()
        return response

    def _refuse(self, response: Trigger.Response, text: str) -> Trigger.Response:
        """As `_answer`, but nothing has changed: the status tells of it for a while only."""
        self._refusal, self._refused = text, time.monotonic()
        self.get_logger().error(text)
        response.success, response.message = False, text
        self._publish_status()
        return response

    def _told(self) -> str:
        """A refusal just now, or else how it is."""
        return self._refusal if time.monotonic() - self._refused < _TOLD else self._text

    # How it goes.

    def _missing(self) -> str:
        """Which sources are not there, in words; empty if all are."""
        texts = self._sources.missing()
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
        faults = self._sources.health.faults(self._limits, self._now())
        return '; '.join(filter(None, (*self._recording.problems, *faults, self._missing())))

    def _publish_status(self) -> None:
        recording, fault = self._recording, self._find_fault()
        if fault and not self._fault:
            self.get_logger().error(f'the episode being recorded: {fault}')
        self._fault, self._reported = fault, time.monotonic()
        self._status.publish(
            EpisodeStatus(
                stamp=self.get_clock().now().to_msg(),
                state=self._state,
                task=self._instruction,
                episode_index=self._writer.total_episodes,
                episodes_saved=self._writer.total_episodes,
                episodes_goal=self._settings.episodes_goal,
                frames=recording.frames if recording else 0,
                frames_dropped=recording.dropped + self._sources.missed if recording else 0,
                duration=time.monotonic() - self._started if recording else 0.0,
                outcome=self._outcome if recording else '',
                healthy=not fault,
                text=fault or self._told(),
            )
        )
        health, rates = self._sources.health, enumerate(self._sources.rates.items())
        self._diagnostics.publish(
            diagnostic(
                'recorder_node',
                not fault,
                fault or self._told(),
                **{
                    f'{image_name(k, camera)}_rate_hz': meter.rate() for k, (camera, meter) in rates
                },
                state_rate_hz=health.states.rate,
                command_rate_hz=health.commands.rate,
                largest_image_residual_s=max(health.residual.values()),
            )
        )

    def _now(self) -> float:
        return float(self.get_clock().now().nanoseconds * 1e-9)


def _instruction(task: str) -> str:
    """What a task of config/tasks.yaml asks for, or the instruction that `task` is."""
    if not task.strip():
        raise ValueError(
            'parameter task: expected what is being demonstrated, got nothing; '
            f'choose one of {", ".join(load_tasks())}, or write an instruction'
        )
    return str(load_tasks().get(task, task))


def main(args: list[str] | None = None) -> int:
    """Runs the node until it is stopped."""
    return_large_buffers()
    return run(RecorderNode, args)


if __name__ == '__main__':
    sys.exit(main())
