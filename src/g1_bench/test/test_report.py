"""The report's numbers, from a run made up of known ones."""

import json

import numpy as np
import pytest
from builtin_interfaces.msg import Duration, Time
from dit4dit_msgs.msg import ActionChunk, PolicyStatus, SafetyStatus
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectoryPoint

from g1_bench.monitor import Record
from g1_bench.report import DemoRun, rate, report, success_time
from g1_bench.run_plots import FPS, camera_frames, foresight_frames, plot_joints, write_video
from g1_control.unitree import ARM_MOTORS, LowCmd
from g1_data.video import decode
from g1_description import load_robot
from g1_ros.compressed import compressed_image
from g1_ros.stamps import time_message

MS = 1_000_000
START = 1_800_000_000_000_000_000
RUN = DemoRun('arrange_flower', 7, START, START + 2000 * MS)


def stamp(time):
    return Time(sec=time // 10**9, nanosec=time % 10**9)


def command(angle, weight=1.0):
    """All arm joints at 0 but the left elbow."""
    message = LowCmd()
    message.q[ARM_MOTORS] = 0.0
    message.q[15 + 3] = angle
    message.dq[15 + 9] = -0.5
    message.weight = weight
    return message.to_bytes()


def chunk(time, number):
    names = load_robot().action_joints
    message = ActionChunk(chunk_id=number)
    message.header.stamp = stamp(time)
    message.trajectory.joint_names = list(names)
    message.trajectory.points = [
        JointTrajectoryPoint(
            positions=[0.01 * k] * len(names), time_from_start=Duration(nanosec=k * 50 * MS)
        )
        for k in range(16)
    ]
    return message


def joint_state(time):
    names = load_robot().state_joints
    state = JointState(name=list(names), position=[0.1] * len(names), velocity=[0.2] * len(names))
    state.velocity[names.index('right_elbow_joint')] = -0.9
    state.header.stamp = stamp(time)
    return serialize_message(state)


@pytest.fixture
def record():
    """A second before the run, two of the run, a second after it."""
    record = Record()
    times = range(START - 1000 * MS, START + 3000 * MS, MS)
    record.lowstate = [(time,) for time in times[::2]]
    record.joint_states = [(time, joint_state(time)) for time in times[::8]]
    record.commands = [
        (time + (2 * MS if n % 10 == 0 else 0), command(0.001 * n))
        for n, time in enumerate(times[::4])
    ]
    record.chunks = [(time, chunk(time - 150 * MS, n)) for n, time in enumerate(times[50::200])]
    record.policy = [(START, PolicyStatus(model_id='nano', trained=True))]
    record.safety = [
        (START - MS, SafetyStatus(chunks_rejected=1, clamped=2, holds=3)),
        (
            START + 1000 * MS,
            SafetyStatus(chunks_rejected=2, clamped=12, holds=3, deadlines_missed=4),
        ),
        (START + 2500 * MS, SafetyStatus(chunks_rejected=9, clamped=99, holds=9)),
    ]
    record.success = [(START - MS, False), (START + 1900 * MS, True), (START + 2500 * MS, False)]
    record.real_time_factors = [(START - MS, 0.1), (START + MS, 0.9), (START + 1001 * MS, 1.0)]
    return record


def test_the_report_counts_what_happened_in_the_run_and_nothing_else(record):
    content = report(record, RUN)
    assert {key: content[key] for key in ('task', 'seed', 'success', 'checkpoint', 'trained')} == {
        'task': 'arrange_flower',
        'seed': 7,
        'success': True,
        'checkpoint': 'nano',
        'trained': True,
    }
    assert content['duration_s'] == 2.0
    assert content['real_time_factor'] == 0.95
    assert content['chunks'] == {
        'count': 10,
        'rate_hz': 5.0,
        'observation_age_p50_s': 0.15,
        'observation_age_p95_s': 0.15,
        'rejected': 1,
    }
    assert (content['commands']['clamps'], content['commands']['holds']) == (10, 0)
    assert content['commands']['rate_hz'] == pytest.approx(250, rel=0.01)
    assert content['commands']['jitter_p50_s'] == pytest.approx(0.0, abs=1e-9)
    assert content['commands']['jitter_p99_s'] == pytest.approx(0.002)
    assert content['commands']['largest_gap_s'] == pytest.approx(0.006)
    assert content['commands']['deadlines_missed'] == 4
    assert content['rates_hz'] == {
        '/lowstate': 500.0,
        '/joint_states': 125.0,
        '/camera/camera/color/image_raw': 0.0,
        '/arm_sdk': pytest.approx(250, rel=0.01),
        'policy/action_chunk': 5.0,
    }
    json.dumps(content)


def test_the_report_names_the_joint_of_the_largest_step_and_velocity(record):
    content = report(record, RUN)
    arms = load_robot().arm_joints
    assert content['commands']['largest_step_rad'] == {
        'value': pytest.approx(0.001, rel=1e-3),
        'joint': arms[3],
    }
    assert content['commands']['largest_velocity_rad_s'] == {'value': 0.5, 'joint': arms[9]}
    assert content['measured']['largest_velocity_rad_s'] == {
        'value': 0.9,
        'joint': 'right_elbow_joint',
    }


def test_the_jump_of_a_command_without_weight_moves_nothing(record):
    record.commands = [
        (time, command(9.0 if n == 100 else 0.0, weight=0.0 if n == 100 else 1.0))
        for n, (time, _) in enumerate(record.commands)
    ]
    assert report(record, RUN)['commands']['largest_step_rad']['value'] == 0.0


def test_a_run_in_which_nothing_came_is_reported_as_such():
    silent = Record(policy=[(START, PolicyStatus(model_id='nano'))])
    content = report(silent, RUN)
    assert content['success'] is False and content['trained'] is False
    assert content['real_time_factor'] is None
    assert content['chunks']['count'] == 0 and content['chunks']['observation_age_p50_s'] is None
    assert set(content['rates_hz'].values()) == {0.0}
    json.dumps(content)


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ([], None),
        ([(300, True)], 0.3),
        ([(300, True), (500, False)], None),
        ([(300, True), (500, False), (900, True), (2500, False)], 0.9),
    ],
)
def test_the_time_of_success_is_of_the_one_that_lasted(changes, expected):
    entries = [(START, False), *((START + when * MS, done) for when, done in changes)]
    assert success_time(entries, RUN) == expected


def test_rate_is_that_of_the_intervals():
    assert rate([START + n * 10 * MS for n in range(11)]) == pytest.approx(100.0)
    assert rate([START]) == rate([]) == 0.0


def test_the_plot_and_the_video_of_a_run_are_made(record, tmp_path):
    plot_joints(record, RUN, tmp_path / 'joints.png')
    assert (tmp_path / 'joints.png').read_bytes().startswith(b'\x89PNG')

    images = tmp_path / 'images.cdr'
    with images.open('wb') as file:
        for n in range(20):  # 10 Hz, brighter and brighter
            image = Image(height=48, width=64, encoding='rgb8', step=192, data=[10 * n] * 48 * 192)
            entry = (START + 100 * n * MS, file.tell())
            record.images.append((*entry, file.write(serialize_message(image))))
    write_video(camera_frames(record, RUN, images), tmp_path / 'ego.mp4')
    frames = list(decode(tmp_path / 'ego.mp4'))
    assert len(frames) == pytest.approx(2 * FPS, abs=1)
    brightness = [frame.mean() for frame in frames]
    assert np.all(np.diff(brightness) > -3) and brightness[-1] > brightness[0] + 150


def test_what_was_imagined_is_seen_beside_what_came_at_that_moment(record, tmp_path):
    images = tmp_path / 'images.cdr'
    with images.open('wb') as file:
        for n in range(20):
            stamp = START + 100 * n * MS
            image = Image(height=48, width=64, encoding='rgb8', step=192, data=[10 * n] * 48 * 192)
            image.header.stamp = time_message(stamp)
            record.images.append(
                (stamp + 30 * MS, file.tell(), file.write(serialize_message(image)))
            )
    for n in (8, 13):
        guess = np.full((48, 64, 3), 10 * n, np.uint8)
        record.imagined.append((START + 100 * n * MS, compressed_image(Header(), guess)))
    frames = list(foresight_frames(record, RUN, images))
    assert len(frames) == pytest.approx(0.1 * (20 - 8) * FPS, abs=2)
    for frame, brightness in ((frames[0], 80), (frames[-1], 130)):
        half = frame.shape[1] // 2
        assert frame[150, half - 100].mean() == pytest.approx(brightness, abs=3)
        assert frame[150, half + 100].mean() == pytest.approx(brightness, abs=3)
