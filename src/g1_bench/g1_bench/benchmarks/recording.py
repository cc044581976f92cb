"""`g1 bench recording`: 640x480 at 30 fps with commands at 250 Hz, as recorder_node takes them.

A clip made here plays on the camera's topics, control_node commands a fake robot of Unitree's SDK,
and the arms follow chunks that never end. What was recorded is read from the dataset, which is
checked before it is thrown away.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from dit4dit_msgs.msg import ActionChunk, SafetyStatus
from numpy.typing import NDArray
from rich.table import Table
from std_srvs.srv import Trigger

from g1_bench.benchmarks.rig import Rig, armed_rig, milliseconds, process, processor_time
from g1_bringup.launcher import command
from g1_bringup.system import Node
from g1_bringup.systems import find
from g1_console.services import NoAnswer, ask
from g1_control.unitree import ARM_MOTORS, LowCmd
from g1_data import Dataset
from g1_data.validate import validate
from g1_data.video import VideoEncoder
from g1_description import load_robot
from g1_ros.conversions import joint_trajectory
from g1_ros.qos import COMMAND
from g1_ros.stamps import time_message_of

SECONDS = 180.0  # of recording
_FPS, _HEIGHT, _WIDTH = 30, 480, 640
_CLIP = 4.0  # [s]
_READY = 30.0  # [s]
_CHUNK_EVERY, _STEPS, _STEP = 0.5, 16, 0.1  # [s], number, [s] as the policy's
_SWING, _TURN = 0.05, 2.0  # [rad] of the left elbow, [rad/s]


def measure(seconds: float) -> dict[str, Any]:
    """The numbers of one episode of so many seconds. Raises NoAnswer when it is not recorded."""
    with TemporaryDirectory(prefix='g1_bench_') as folder, armed_rig() as rig:
        clip, root = Path(folder, 'clip.mp4'), Path(folder, 'set')
        _make_clip(clip)
        camera = Node('g1_fakes', 'camera_replay', parameters=(('path', str(clip)),))
        with (
            process(command(camera, {})),
            process(command(_recorder(root), {}), stdout=None) as recorder,
        ):
            motion = _EndlessMotion(rig)
            motion.start()
            began, used = time.monotonic(), processor_time(recorder.pid)
            motion.run(seconds)
            share = (processor_time(recorder.pid) - used) / (time.monotonic() - began)
            motion.save()
        return {
            'seconds': seconds,
            'cores': os.cpu_count(),
            'load': round(os.getloadavg()[0], 1),
            'cpu_share': round(share, 3),
            'commands_sent_hz': round(motion.commands / (motion.ended - motion.began), 1),
            **recorded(root),
        }


def recorded(root: Path) -> dict[str, Any]:
    """What the first episode of the dataset says of itself, and whether the dataset is valid."""
    dataset = Dataset(root)
    episode = dataset.episodes[0]
    residual = dataset.read_episode(0)['residual']
    names = dataset.extras['residual'].names
    return {
        'frames': episode.length,
        'faults': validate(root),
        **dict(episode.health or {}),
        'residual_ms': {
            name: milliseconds(values, 50)
            for name, values in zip(names, residual.T, strict=True)
            if name != 'operator'
        },
    }


def table(content: dict[str, Any]) -> Table:
    """The numbers for people."""
    result = Table(
        title=f'Recording {_WIDTH}x{_HEIGHT} at {_FPS} fps, {content["seconds"]:g} s',
        show_header=False,
    )
    result.add_row(
        'frames',
        f'{content["frames"]} recorded, {content["frames_missed"]} missed, '
        f'{content["frames_dropped"]} dropped',
    )
    result.add_row(
        'images',
        f'{content["image_rate_hz"]} Hz; largest gap {content["image_gap_s"] * 1e3:.0f} ms, '
        f'oldest {content["image_age_s"] * 1e3:.0f} ms',
    )
    result.add_row(
        'commands', f'{content["command_rate_hz"]} Hz of {content["commands_sent_hz"]} Hz sent'
    )
    for name, values in content['residual_ms'].items():
        result.add_row(
            f'{name} off its row'.replace('_', ' '),
            f'p50 {values["p50"]} ms, max {values["max"]} ms',
        )
    result.add_row('recorder_node', f'{content["cpu_share"]:.0%} of a core')
    result.add_row('episode', content['text'] or 'healthy')
    result.add_row('dataset', '; '.join(content['faults']) or 'valid')
    return result


def _recorder(root: Path) -> Node:
    """As teleop_record.launch.py starts it, but for the camera's own rate and size."""
    node = next(n for n in find('teleop_record.launch.py').nodes if n.executable == 'recorder_node')
    return Node(
        node.package,
        node.executable,
        node.config,
        parameters=(
            ('task', 'A pattern moves and an elbow swings.'),
            ('dataset', str(root)),
            ('fps', _FPS),
            ('image_height', _HEIGHT),
            ('image_width', _WIDTH),
        ),
    )


def _make_clip(path: Path) -> None:
    """A pattern that moves all over the picture, a little more in every frame."""
    rows, columns = np.mgrid[:_HEIGHT, :_WIDTH]
    encoder = VideoEncoder(path, _FPS, (_HEIGHT, _WIDTH))
    count = round(_CLIP * _FPS)
    for k in range(count):
        turn = math.tau * k / count
        waves = (
            np.sin(columns / 23 + 3 * turn),
            np.sin(rows / 17 - 2 * turn),
            np.sin((rows + columns) / 31 + turn) * np.cos(columns / 7),
        )
        encoder.add(np.stack([127.5 + 120 * wave for wave in waves], axis=-1).astype(np.uint8))
    encoder.finish()


class _EndlessMotion:
    """Chunks without end, and how many commands they make.

    began, ended: when the first and the last command was sent [s]. commands: between the two.
    """

    def __init__(self, rig: Rig) -> None:
        self.began = self.ended = 0.0
        self.commands = -1
        self._rig, self._robot = rig, load_robot()
        self._command, self._standing = LowCmd(), np.zeros(0)
        self._sent = -math.inf
        self._first = time.time()
        self._chunks = rig.node.create_publisher(ActionChunk, 'policy/action_chunk', COMMAND)
        rig.keep = self._keep

    def start(self) -> None:
        """Raises NoAnswer when recorder_node does not record."""
        deadline = time.monotonic() + _READY
        answer = Trigger.Response(message='no answer')
        while not answer.success:
            self.run(1.0)
            if time.monotonic() > deadline:
                raise NoAnswer(f'recorder_node does not record: {answer.message}')
            answer = ask(self._rig.node, 'recorder/start', _READY)
        self.commands = -1

    def save(self) -> None:
        answer = ask(self._rig.node, 'recorder/save', 60.0)
        if not answer.success:
            raise NoAnswer(f'recorder_node does not save: {answer.message}')

    def run(self, seconds: float) -> None:
        """Lets the robot move for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._rig.poll()
            if self._rig.status.mode not in (SafetyStatus.HOLD, SafetyStatus.ACTIVE):
                raise NoAnswer(f'the robot does not move: {self._rig.status.text}')
            if len(self._standing) and time.monotonic() > self._sent + _CHUNK_EVERY:
                self._sent = time.monotonic()
                self._send_chunk(time.time())

    def _keep(self, data: bytes, sent: int) -> None:
        self.commands += 1
        self.ended = sent * 1e-9
        if self.commands == 0:
            self.began = self.ended
        if not len(self._standing):
            self._command.load(data)
            self._standing = self._command.q[ARM_MOTORS].astype(float)

    def _send_chunk(self, now: float) -> None:
        times = _STEP * np.arange(_STEPS)
        trajectory = joint_trajectory(
            time_message_of(now),
            self._robot.action_joints,
            [self._pose(now + t) for t in times],
            times,
        )
        self._chunks.publish(ActionChunk(header=trajectory.header, trajectory=trajectory))

    def _pose(self, moment: float) -> NDArray[np.float64]:
        """Where the arms are to be then [rad], and the grippers [m]; the elbow swings."""
        pose = np.append(self._standing, (0.02, 0.02))
        elbow = self._robot.arm_joints.index('left_elbow_joint')
        pose[elbow] += _SWING * math.sin(_TURN * (moment - self._first))
        return pose
