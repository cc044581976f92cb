"""What goes wrong while episodes are recorded: it is told, and no finished episode is lost."""

import random
import resource
import time
from pathlib import Path

import pytest
from dit4dit_msgs.msg import EpisodeStatus

from g1_data import Dataset
from g1_data.validate import validate
from g1_test_support.processes import Program
from g1_test_support.recorded_robot import RecordedRobot, recorder_node


def started_again(robot: RecordedRobot, folder: Path) -> Program:
    """A recorder that has said something; one killed before may be remembered for some seconds."""
    began = time.time()
    process = recorder_node(folder, raw_log=True, fps=30)
    robot.wait_for(lambda: robot.said.stamp.sec >= began, 'a word of the recorder')
    return process


def start_episode(robot: RecordedRobot) -> None:
    """A request may go to a recorder that was killed just now, and is sent again then."""
    sent = [(time.monotonic(), robot.ask('start'))]

    def started() -> bool:
        moment, future = sent[-1]
        if future.done():
            answer = future.result()
            if answer.success or 'already recording' in answer.message:
                return True
        elif time.monotonic() < moment + 2.0:
            return False
        sent.append((time.monotonic(), robot.ask('start')))
        return False

    robot.wait_for(started, 'recorder/start')


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for folder in ('data', 'videos', 'raw')
        for path in (root / folder).rglob('*')
        if path.is_file()
    }


def test_killed_while_recording_the_next_start_sets_it_aside(
    robot: RecordedRobot, tmp_path: Path
) -> None:
    first = recorder_node(tmp_path)
    robot.record(3)
    assert robot.call('recorder/save').success
    robot.record(3)
    first.kill()
    second = recorder_node(tmp_path)
    robot.wait_for_saved(1)
    assert second.interrupt() == 0
    assert 'set aside' in second.output
    assert validate(tmp_path / 'set') == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_fifty_times_no_finished_episode_is_lost(
    robot: RecordedRobot, tmp_path: Path
) -> None:
    """While it starts, waits, records or saves, with raw topics too."""
    rng = random.Random(0)
    root, finished, unsure, aside = tmp_path / 'set', 0, 0, 0
    before: dict[str, bytes] = {}
    for number in range(50):
        stage = ('start', 'idle', 'record', 'save', 'save')[number % 5]
        if stage == 'start':
            process = recorder_node(tmp_path, raw_log=True, fps=30)
            time.sleep(rng.uniform(0.2, 3.0))
        else:
            process = started_again(robot, tmp_path)
            assert validate(root) == []
            episodes = len(Dataset(root).episodes)
            assert episodes in (finished, finished + unsure)
            after = files(root)
            assert {name: after.get(name) for name in before} == before
            before, finished, unsure = after, episodes, 0
        if stage in ('record', 'save'):
            start_episode(robot)
            time.sleep(rng.uniform(0.0, 1.0))
        if stage == 'save':
            saved = robot.ask('save')
            time.sleep(rng.uniform(0.0, 0.3))
            unsure = 1
        process.kill()
        if stage == 'save' and saved.done() and saved.result().success:
            finished, unsure = finished + 1, 0
        aside += 'set aside' in process.output
    process = started_again(robot, tmp_path)
    assert process.interrupt() == 0
    assert validate(root) == []
    assert len(Dataset(root).episodes) in (finished, finished + unsure)
    assert finished >= 5
    assert aside >= 10


def test_the_status_tells_of_a_refusal_for_a_while_only(
    robot: RecordedRobot, recorder: Program
) -> None:
    assert not robot.call('recorder/save').success
    robot.wait_for(lambda: 'nothing to save' in robot.said.text, 'the refusal')
    robot.wait_for(lambda: robot.said.text.startswith('ready'), 'how it is')


def test_a_camera_unplugged_while_recording_is_told_at_once_and_marked(
    robot: RecordedRobot, recorder: Program, tmp_path: Path
) -> None:
    robot.record(5)
    assert robot.call('recorder/save').success
    robot.record(5)
    robot.camera = ''
    robot.wait_for_words('is the camera on?')
    answer = robot.call('recorder/save')
    assert answer.success
    assert 'unhealthy: ' in answer.message
    assert not robot.call('recorder/start').success
    assert 'no camera images' in robot.said.text
    robot.camera = 'wave'
    robot.record(5)
    assert robot.call('recorder/save').success
    assert validate(tmp_path / 'set') == []
    health = [episode.health for episode in Dataset(tmp_path / 'set').episodes]
    assert len(health) == 3
    assert not health[1]['healthy']
    assert 'no image for' in health[1]['text']
    assert 'no image for' not in health[2]['text']


def test_a_disk_that_fills_while_recording_is_told_at_once_and_loses_that_episode_only(
    robot: RecordedRobot, tmp_path: Path
) -> None:
    recorder = recorder_node(tmp_path, fps=30)  # the encoder keeps some forty frames back
    robot.record(5)
    assert robot.call('recorder/save').success
    before = Dataset(tmp_path / 'set').content_hash()
    robot.record(1)
    resource.prlimit(recorder.process.pid, resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
    robot.camera = 'noise'
    robot.wait_for_words('writing failed')
    answer = robot.call('recorder/save')
    assert not answer.success
    assert 'the episode was lost: writing failed' in answer.message
    assert robot.said.text == answer.message
    robot.record(1)
    robot.wait_for_words('writing failed')
    assert robot.call('recorder/discard').success
    assert Dataset(tmp_path / 'set').content_hash() == before
    assert not (tmp_path / 'set' / '.staging').exists()
    resource.prlimit(recorder.process.pid, resource.RLIMIT_FSIZE, 2 * (resource.RLIM_INFINITY,))
    robot.camera = 'wave'
    robot.record(5)
    assert robot.call('recorder/save').success
    assert recorder.interrupt() == 0
    assert validate(tmp_path / 'set') == []
    assert len(Dataset(tmp_path / 'set').episodes) == 2


def test_with_too_little_space_no_episode_is_started(robot: RecordedRobot, tmp_path: Path) -> None:
    recorder = recorder_node(tmp_path, disk_free=1_000_000_000)  # a petabyte
    robot.wait_for(lambda: 'MB left' in robot.call('recorder/start').message, 'the refusal')
    assert recorder.interrupt() == 0


def test_a_dataset_that_another_recorder_holds_is_said_in_one_line(
    robot: RecordedRobot, recorder: Program, tmp_path: Path
) -> None:
    assert robot.said.state == EpisodeStatus.IDLE
    with recorder_node(tmp_path) as second:
        second.wait_for('error: another process is writing to')
        second.ended()
    assert 'Traceback' not in second.output
