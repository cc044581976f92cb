"""recorder_node as a process, beside a robot that publishes what the real one does."""

from pathlib import Path

import numpy as np
import pytest
from dit4dit_msgs.msg import SafetyStatus
from std_msgs.msg import Bool, String

from g1_data import Dataset
from g1_data.validate import validate
from g1_description.control_source import CONTROL_KEY, ControlSource
from g1_ros.qos import STATUS
from g1_test_support.outside import Outside
from g1_test_support.processes import Program
from g1_test_support.recorded_robot import RecordedRobot, recorder_node


def test_a_saved_episode_is_a_valid_dataset_of_what_happened(
    robot: RecordedRobot, recorder: Program, tmp_path: Path
) -> None:
    robot.record(20)
    answer = robot.call('recorder/save')
    assert answer.success, answer.message
    robot.wait_for_saved(1)

    assert validate(tmp_path / 'set') == []
    dataset = Dataset(tmp_path / 'set')
    assert dataset.episodes[0].length >= 20
    assert dataset.tasks == ('Pick up the flower and put it into the vase.',)
    columns = dataset.read_episode(0)
    state, action = columns['observation.state'], columns['action']
    away = state - state[:, :1] - np.arange(16) / 100
    np.testing.assert_allclose(away[:, :14], 0.0, atol=1e-5)
    assert np.abs(away[:, 14:]).max() < 0.02  # grippers are heard at times of their own
    assert np.median(np.abs(action - state - 0.5)) < 0.01
    brightness = np.array([frame.mean() for frame in dataset.frames(0)]) / 500
    assert np.median(np.abs(brightness - state[:, 0])) < 0.015

    stamps, residual = columns['capture_stamp'], columns['residual']
    assert np.all(np.abs(stamps[:, 1:] - stamps[:, :1]) < 1.0)
    rows = stamps[0, 0] + np.arange(len(state)) / 10
    np.testing.assert_allclose(np.abs(stamps - rows[:, None]), residual, atol=1e-5)
    operator = columns['operator']
    assert np.median(np.abs(operator[:, 0] - state[:, 0])) < 0.015  # the head's x is the wave
    np.testing.assert_allclose(operator[:, -4:], np.tile([0.0, 0.1, 1.0, 0.3], (len(state), 1)))
    health = dataset.episodes[0].health
    assert health['state_rate_hz'] > 30
    assert health['image_rate_hz'] > 10
    assert health['healthy'] == (health['text'] == '')
    assert health['image_residual_s'] == pytest.approx(residual[:, 0].max(), abs=1e-3)


def test_an_episode_beyond_a_limit_is_marked_and_told(robot: RecordedRobot, tmp_path: Path) -> None:
    recorder = recorder_node(tmp_path, image_gap=0.01)  # a 30 Hz camera cannot keep it
    robot.record(5)
    robot.wait_for_words('no image for')
    answer = robot.call('recorder/save')
    assert recorder.interrupt() == 0
    assert answer.success
    assert 'unhealthy' in answer.message
    health = Dataset(tmp_path / 'set').episodes[0].health
    assert not health['healthy']
    assert 'no image for' in health['text']


def test_three_cameras_are_recorded_in_step_and_a_lost_one_is_named(tmp_path: Path) -> None:
    cameras = ('head', 'left_wrist', 'right_wrist')
    with (
        RecordedRobot(cameras) as robot,
        recorder_node(tmp_path, cameras=f'[{",".join(cameras)}]') as recorder,
    ):
        robot.record(15)
        robot.publish_foreign_joints()
        assert robot.call('recorder/save').success
        robot.record(5)
        robot.unplugged = {'left_wrist'}
        robot.wait_for_words('left_wrist: no image for')
        frames = robot.said.frames
        robot.wait_for(lambda: robot.said.frames >= frames + 10, 'rows without a wrist')
        assert robot.call('recorder/save').success
        assert 'no camera images of left_wrist' in robot.call('recorder/start').message
        assert recorder.interrupt() == 0
    assert validate(tmp_path / 'set') == []
    dataset = Dataset(tmp_path / 'set')
    assert dataset.cameras == ('ego_view', 'left_wrist', 'right_wrist')
    names = dataset.extras['residual'].names
    assert names[:3] == ('image', 'left_wrist_image', 'right_wrist_image')
    columns = dataset.read_episode(0)
    stamps = columns['capture_stamp'][:, :3]
    assert np.median(np.abs(stamps - stamps[:, :1])) < 1e-6  # taken at once
    wave = columns['observation.state'][:, 0]
    for camera in dataset.cameras:
        brightness = np.array([frame.mean() for frame in dataset.frames(0, camera)]) / 500
        assert len(brightness) == len(wave)
        assert np.median(np.abs(brightness - wave)) < 0.015
    lost = dataset.episodes[1].health
    assert not lost['healthy']
    assert 'left_wrist: no image for' in lost['text']
    assert lost['left_wrist_image_gap_s'] > lost['right_wrist_image_gap_s']
    assert lost['left_wrist_image_residual_s'] > 0.5


def test_a_camera_that_the_robot_has_not_is_named(tmp_path: Path) -> None:
    with recorder_node(tmp_path, cameras='[head,belly]') as recorder:
        recorder.wait_for('error: cameras: g1_aloha has head, left_wrist, right_wrist')
        assert recorder.ended() == 2
    assert not (tmp_path / 'set').exists()


def test_a_discarded_episode_leaves_nothing(
    robot: RecordedRobot, recorder: Program, tmp_path: Path
) -> None:
    robot.record(3)
    assert robot.call('recorder/discard').success
    assert not robot.call('recorder/save').success
    assert Dataset(tmp_path / 'set').episodes == ()
    assert not (tmp_path / 'set' / '.staging').exists()
    robot.record(3)
    assert robot.call('recorder/save').success
    assert [e.index for e in Dataset(tmp_path / 'set').episodes] == [0]


def test_what_a_scene_asks_for_is_the_instruction_of_its_episode(
    robot: RecordedRobot, recorder: Program, tmp_path: Path
) -> None:
    scene = robot.node.create_publisher(String, 'sim/instruction', STATUS)
    scene.publish(String(data='Take the red can.'))
    robot.wait_for(lambda: robot.said.task == 'Take the red can.', 'the sentence to be told')
    robot.record(3)
    assert robot.call('recorder/save').success
    robot.wait_for_saved(1)
    assert Dataset(tmp_path / 'set').tasks == ('Take the red can.',)


def test_without_a_robot_start_says_what_is_missing(tmp_path: Path) -> None:
    with recorder_node(tmp_path), Outside('operator') as operator:
        answer = operator.call('recorder/start')
    assert not answer.success
    for missing in ('no camera images', 'no joint_states', 'no commands on arm_sdk'):
        assert missing in answer.message


def test_without_a_task_it_does_not_start(tmp_path: Path) -> None:
    with recorder_node(tmp_path, task="''") as recorder:
        recorder.wait_for('parameter task')
        recorder.wait_for('arrange_flower')
        assert recorder.ended() == 2


def test_every_row_says_who_moved_the_arms_and_the_episode_how_it_went(
    robot: RecordedRobot, recorder: Program, tmp_path: Path
) -> None:
    assert not robot.call('recorder/success').success  # of what?
    safety = robot.node.create_publisher(SafetyStatus, 'control/safety_status', STATUS)
    done = robot.node.create_publisher(Bool, 'sim/success', STATUS)

    def moves(source: int, mode: int = SafetyStatus.ACTIVE) -> None:
        stamp = robot.node.get_clock().now().to_msg()
        safety.publish(SafetyStatus(stamp=stamp, mode=mode, control_source=source))

    robot.wait_for(lambda: safety.get_subscription_count() > 0, 'the recorder to hear of modes')
    moves(SafetyStatus.CONTROL_POLICY)
    robot.record(5)
    moves(SafetyStatus.CONTROL_OPERATOR)
    robot.wait_for(lambda: robot.said.frames >= 10, 'rows of the operator')
    moves(SafetyStatus.CONTROL_OPERATOR, SafetyStatus.HOLD)  # who stands still moves nothing
    robot.wait_for(lambda: robot.said.frames >= 15, 'rows of nobody')
    assert robot.call('recorder/failure').success
    robot.wait_for(lambda: robot.said.outcome == 'failure', 'the outcome to be told')
    assert robot.call('recorder/save').success
    done.publish(Bool(data=True))
    robot.record(3)
    robot.wait_for(lambda: robot.said.outcome == 'success', 'the word of the simulator')
    assert robot.call('recorder/save').message.endswith('a success')
    dataset = Dataset(tmp_path / 'set')
    said = [episode.health['outcome'] for episode in dataset.episodes]
    assert said == ['failure', 'success']
    sources = dataset.read_episode(0)[CONTROL_KEY][:, 0].tolist()
    assert set(sources) == set(ControlSource)
    heard = sources[sources.index(ControlSource.POLICY) :]  # before the first word: nobody
    assert heard == sorted(heard)  # policy, operator, nobody
