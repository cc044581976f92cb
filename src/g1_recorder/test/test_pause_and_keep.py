"""Episodes that pause and go on, and the last seconds kept when something odd has happened."""

from pathlib import Path

import numpy as np
from dit4dit_msgs.msg import EpisodeStatus

from g1_data import Dataset
from g1_data.validate import validate
from g1_test_support.processes import Program
from g1_test_support.recorded_robot import RecordedRobot, recorder_node


def test_a_pause_leaves_no_gap_and_no_motion_in_the_episode(
    robot: RecordedRobot, recorder: Program, tmp_path: Path
) -> None:
    robot.record(10)
    robot.freeze(True)
    moved = robot.said.frames
    robot.wait_for(lambda: robot.said.frames >= moved + 10, 'rows of arms that rest')
    assert robot.call('recorder/pause').success
    robot.wait_for(lambda: robot.said.state == EpisodeStatus.PAUSED, 'the pause')
    frames = robot.said.frames
    assert not robot.call('recorder/pause').success
    robot.away = 0.2
    later = robot.now() + 1.0
    robot.wait_for(lambda: robot.now() > later, 'the recorder to have heard of it')
    assert 'moved by 0.20 in the pause' in robot.call('recorder/resume').message
    assert robot.said.frames == frames
    robot.away = 0.0
    robot.wait_for(lambda: robot.call('recorder/resume').success, 'the episode to go on')
    robot.wait_for(lambda: robot.said.frames >= frames + 10, 'more frames')
    assert robot.call('recorder/save').success

    assert validate(tmp_path / 'set') == []
    dataset = Dataset(tmp_path / 'set')
    health = dataset.episodes[0].health or {}
    (pause,) = health['pauses']
    assert pause['row'] == frames and pause['seconds'] > 0.1
    rows = dataset.read_episode(0)
    stamps = rows['capture_stamp'][:, 0]
    assert stamps[frames] - stamps[frames - 1] > pause['seconds']
    state = rows['observation.state'][:, :14]
    np.testing.assert_allclose(state[frames:], np.tile(state[frames - 1], (len(state) - frames, 1)))


def test_a_paused_episode_is_saved_or_discarded_as_it_is(
    robot: RecordedRobot, recorder: Program, tmp_path: Path
) -> None:
    assert 'nothing is recorded' in robot.call('recorder/pause').message
    assert 'nothing is paused' in robot.call('recorder/resume').message
    for end, saved in (('discard', 0), ('save', 1)):
        robot.record(5)
        robot.freeze(True)
        assert robot.call('recorder/pause').success
        robot.wait_for(lambda: robot.said.state == EpisodeStatus.PAUSED, 'the pause')
        assert robot.call(f'recorder/{end}').success
        robot.wait_for_saved(saved)
        robot.freeze(False)
    assert validate(tmp_path / 'set') == []


def test_the_last_seconds_are_kept_also_when_the_camera_has_just_died(
    robot: RecordedRobot, tmp_path: Path
) -> None:
    with recorder_node(tmp_path, keep_last=2.0) as recorder:
        words = 'recorder/keep saves the last 2 s'
        robot.wait_for(lambda: words in robot.said.text, words)
        robot.wait_for(lambda: robot.showed_evenly(2.5), 'even pictures')
        answer = robot.call('recorder/keep')
        assert answer.success and answer.message == 'kept the last 20 frames as episode 0'
        robot.wait_for(lambda: words in robot.said.text, f'again: {words}')
        robot.camera = ''
        later = robot.now() + 1.0
        robot.wait_for(lambda: robot.now() > later, 'a second without the camera')
        assert robot.call('recorder/keep').success
        robot.camera = 'wave'
        robot.record(5)
        assert 'save that' in robot.call('recorder/keep').message
        assert robot.call('recorder/save').success
        assert recorder.interrupt() == 0
    assert validate(tmp_path / 'set') == []
    first, second, third = Dataset(tmp_path / 'set').episodes
    assert first.length == second.length == 20 and third.length >= 5
    assert all((e.health or {})['flag'] == 'kept' for e in (first, second))
    stamps = Dataset(tmp_path / 'set').read_episode(0)['capture_stamp'][:, 0]
    np.testing.assert_allclose(np.diff(stamps), 0.1, atol=0.06)
    assert 'flag' not in (third.health or {})


def test_without_seconds_to_keep_it_says_how_to_have_some(
    robot: RecordedRobot, recorder: Program
) -> None:
    assert 'start with keep_last:=30' in robot.call('recorder/keep').message
