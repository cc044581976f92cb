"""Records demonstrations as a LeRobot dataset: cameras, joints, commands as sent, the operator."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable

import numpy as np
from dit4dit_msgs.msg import EpisodeStatus
from rclpy.node import Node
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from g1_data import DatasetWriter, Schema
from g1_description import load_robot
from g1_recorder.health import HealthLimits, image_name
from g1_recorder.nodes.rolling import RollingRows
from g1_recorder.nodes.sources import RowTaker, Sources
from g1_recorder.parameters import RecorderParameters
from g1_recorder.pause import MOVED, Pause
from g1_recorder.recording import EpisodeRecording
from g1_recorder.rows import row_extras
from g1_ros.config import load_tasks
from g1_ros.diagnostics import Diagnostics, diagnostic
from g1_ros.main import run
from g1_ros.memory import return_freed, return_large_buffers
from g1_ros.parameters import declare
from g1_ros.qos import STATUS
from g1_ros.timers import steady_timer

_POLL = 0.01  # [s] between two looks at what has come
_STATUS = 0.5  # [s] between two reports when nothing changes
_TOLD = 5.0  # [s] how long the status tells of a request that was refused
_READY = 'ready: call recorder/start'


class RecorderNode(Node):
    """Services recorder/start, recorder/save and recorder/discard; state on recorder/status.

    recorder/pause and recorder/resume leave out what is between them; recorder/keep makes an
    episode of the last seconds while nothing is recorded, where `keep_last` says how many.
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
        self._pause: Pause | None = None
        self._pauses: list[dict[str, float]] = []  # of the episode being recorded
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
        seconds = self._settings.keep_last
        self._rolling = RollingRows(self._sources, self._writer, seconds) if seconds else None
        for name, callback in (
            ('start', self._start),
            ('save', self._save),
            ('discard', self._discard),
            ('pause', self._ask_pause),
            ('resume', self._resume),
            ('keep', self._keep),
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
        self._sources.poll(self._taker())
        if self._recording is not None and self._pause is not None:
            self._look_at_arms(self._recording, self._pause)
        changed = bool(self._find_fault()) != bool(self._fault)
        if changed or time.monotonic() - self._reported >= _STATUS:
            self._publish_status()

    def _taker(self) -> RowTaker | None:
        """Where rows go now."""
        if self._recording is not None:
            return None if self._state == EpisodeStatus.PAUSED else self._recording
        return None if self._rolling is None else self._rolling.taker(self._now())

    def _look_at_arms(self, recording: EpisodeRecording, pause: Pause) -> None:
        """Rows end once the arms rest, so that those after the pause follow these."""
        pose = self._sources.pose()
        if pose is not None and pause.look(pose, self._now()):
            self._sources.finish(recording)
            self._state = EpisodeStatus.PAUSED
            self._publish_status()

    # What the operator asks for.

    def _start(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._sources.poll(self._taker())
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
        self._judged, self._pause, self._pauses = '', None, []
        if self._rolling is not None:
            self._rolling.forget()
        return self._answer(
            response, True, f'recording episode {self._writer.total_episodes}: {self._instruction}'
        )

    def _save(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._recording is None:
            return self._refuse(response, 'nothing to save: call recorder/start first')
        recording = self._recording
        paused = self._pause.began if self._pause is not None else None
        self._sources.poll(self._taker())
        self._sources.finish(recording)
        now = self._now() if paused is None else paused
        self._state, self._text = EpisodeStatus.SAVING, 'saving'
        self._publish_status()
        self._recording = None
        try:
            recording.finish()
            health = self._sources.health.summary(
                self._limits, now, recording.dropped, recording.problems
            ) | {'outcome': self._outcome}
            if self._pauses:
                health['pauses'] = self._pauses
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

    def _ask_pause(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._recording is None:
            return self._refuse(response, 'nothing is recorded that could pause')
        if self._pause is not None:
            return self._refuse(response, 'paused already: resume, save or discard it')
        self._pause = Pause(self._now())
        return self._answer(response, True, 'paused: resume, save or discard the episode')

    def _resume(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._sources.poll(self._taker())
        pause, recording = self._pause, self._recording
        if pause is None or recording is None:
            return self._refuse(response, 'nothing is paused that could be resumed')
        missing, pose = self._missing(), self._sources.pose()
        if missing or pose is None:
            return self._refuse(response, f'cannot go on: {missing}')
        moved = pause.moved(pose)
        if pause.began is not None and moved > MOVED:
            return self._refuse(
                response,
                f'the arms were moved by {moved:.2f} in the pause, at most {MOVED:g} rad or m is '
                'expected, or the episode would jump; bring them back, or save it and start '
                'another',
            )
        if pause.began is not None:  # or else the rows have not ended yet
            seconds = round(self._now() - pause.began, 2)
            self._pauses.append({'row': recording.frames, 'seconds': seconds})
            self._sources.resume(self._settings.fps)
        self._pause, self._state = None, EpisodeStatus.RECORDING
        return self._answer(response, True, 'the episode goes on')

    def _keep(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._recording is not None:
            return self._refuse(response, 'the episode being recorded holds it: save that')
        if self._rolling is None:
            return self._refuse(response, 'keep_last is 0 s; start with keep_last:=30 to have 30 s')
        self._sources.poll(self._taker())
        frames = len(self._rolling.rows.frames)
        if not frames:
            return self._refuse(response, f'no rows to keep: {self._missing() or "none have come"}')
        self._state, self._text = EpisodeStatus.SAVING, 'saving'
        self._publish_status()
        try:
            index = self._rolling.save(self._instruction, self._limits)
        except (OSError, ValueError) as error:
            return self._answer(response, False, f'the last seconds were not kept: {error}')
        finally:
            return_freed()
        return self._answer(response, True, f'kept the last {frames} frames as episode {index}')

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
        if time.monotonic() - self._refused < _TOLD:
            return self._refusal
        rows = None if self._rolling is None else self._rolling.rows
        if self._state == EpisodeStatus.IDLE and rows is not None and rows.full:
            return f'{self._text}; recorder/keep saves the last {rows.seconds:g} s'
        return self._text

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
        if self._recording is None or self._state == EpisodeStatus.PAUSED:
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
                duration=recording.frames / self._settings.fps if recording else 0.0,
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
