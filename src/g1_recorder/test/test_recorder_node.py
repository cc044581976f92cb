"""recorder_node as a process, beside a robot that publishes what the real one does."""

import random
import re
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import rclpy
from dit4dit_msgs.msg import EpisodeStatus
from geometry_msgs.msg import Point, Pose, PoseArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.task import Future
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import Image, JointState, Joy
from std_srvs.srv import Trigger
from unitree_hg.msg import LowCmd as LowCmdMessage

from g1_control.unitree import ARM_MOTORS, LowCmd
from g1_data import Dataset
from g1_data.validate import validate
from g1_description import load_robot
from g1_ros.qos import COMMAND, SENSOR_DATA, STATUS

ROBOT = load_robot()
HEIGHT, WIDTH = 48, 64
DEADLINE = 20.0  # [s]


class FakeRobot:
    """Joint k stands at wave(t) + k / 100, commanded 0.5 more; brightness is the wave.

    camera: what it shows: 'wave', 'noise', or '' where it is unplugged. unplugged: names of cameras
    that give nothing.
    """

    def __init__(self, cameras: Sequence[str] = ('head',)) -> None:
        self.camera = 'wave'
        self.unplugged: set[str] = set()
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('fake_robot', context=self.context)
        self.status: EpisodeStatus | None = None
        self._images = {
            camera.name: self.node.create_publisher(Image, f'{camera.topic}/image_raw', SENSOR_DATA)
            for camera in ROBOT.embodiment.select_cameras(cameras)
        }
        self._joints = self.node.create_publisher(JointState, 'joint_states', SENSOR_DATA)
        self._arms = self.node.create_publisher(LowCmdMessage, 'arm_sdk', COMMAND)
        self._grippers = {
            topic: [
                self.node.create_publisher(JointState, f'{side}_gripper/{topic}', COMMAND)
                for side in ('left', 'right')
            ]
            for topic in ('state', 'command')
        }
        self._hands = self.node.create_publisher(PoseArray, 'teleop/hands', SENSOR_DATA)
        self._inputs = self.node.create_publisher(Joy, 'teleop/inputs', SENSOR_DATA)
        self._low_cmd = LowCmd()
        for period, publish in (
            (1 / 30, self._publish_image),
            (1 / 125, self._publish_joints),
            (1 / 250, self._publish_command),
            (1 / 50, self._publish_grippers),
            (1 / 90, self._publish_hands),
        ):
            self.node.create_timer(period, publish)
        self.node.create_subscription(EpisodeStatus, 'recorder/status', self._take, STATUS)
        self.clients = {
            name: self.node.create_client(Trigger, f'recorder/{name}')
            for name in ('start', 'save', 'discard')
        }
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join(DEADLINE)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def ask(self, service: str) -> Future:
        client = self.clients[service]
        assert client.wait_for_service(DEADLINE)
        return client.call_async(Trigger.Request())

    def call(self, service: str) -> Trigger.Response:
        future = self.ask(service)
        wait_for(future.done)
        return future.result()

    def _take(self, message: EpisodeStatus) -> None:
        self.status = message

    def _wave(self) -> float:
        return 0.2 + 0.2 * np.sin(self.node.get_clock().now().nanoseconds * 1e-9)

    def _publish_image(self) -> None:
        if not self.camera:
            return
        pixels = np.full((HEIGHT, WIDTH, 3), round(self._wave() * 500), np.uint8)
        if self.camera == 'noise':
            pixels = np.random.default_rng().integers(0, 255, pixels.shape, np.uint8)
        message = Image(height=HEIGHT, width=WIDTH, step=WIDTH * 3, encoding='rgb8')
        message.header.stamp = self.node.get_clock().now().to_msg()
        message.data = pixels.tobytes()
        for camera, publisher in self._images.items():
            if camera not in self.unplugged:
                publisher.publish(message)

    def publish_foreign_joints(self) -> None:
        """What other nodes say on the same topics: no positions, or joints of their own."""
        for message in (
            JointState(name=list(ROBOT.state_joints)),
            JointState(name=['wheel'], position=[1.0]),
            JointState(),
        ):
            message.header.stamp = self.node.get_clock().now().to_msg()
            self._joints.publish(message)
            for publishers in self._grippers.values():
                for publisher in publishers:
                    publisher.publish(message)

    def _publish_joints(self) -> None:
        message = JointState(name=list(ROBOT.state_joints))
        message.header.stamp = self.node.get_clock().now().to_msg()
        wave = self._wave()
        places = {name: k for k, name in enumerate(ROBOT.action_joints)}
        message.position = [wave + places.get(name, 0) / 100 for name in message.name]
        self._joints.publish(message)

    def _publish_command(self) -> None:
        wave = self._wave() + 0.5
        self._low_cmd.q[ARM_MOTORS] = wave + np.arange(14) / 100
        self._arms.publish(self._low_cmd.to_bytes())

    def _publish_grippers(self) -> None:
        wave = self._wave()
        for topic, more in (('state', 0.0), ('command', 0.5)):
            for k, publisher in enumerate(self._grippers[topic]):
                name, opening = ROBOT.gripper_joints[k], wave + more + (14 + k) / 100
                message = JointState(name=[name], position=[opening])
                message.header.stamp = self.node.get_clock().now().to_msg()
                publisher.publish(message)

    def _publish_hands(self) -> None:
        stamp = self.node.get_clock().now().to_msg()
        poses = [Pose(position=Point(x=self._wave(), y=float(k))) for k in range(3)]
        hands, inputs = PoseArray(poses=poses), Joy(axes=[0.0, 0.1, 1.0, 0.3])
        hands.header.stamp = inputs.header.stamp = stamp
        self._hands.publish(hands)
        self._inputs.publish(inputs)


def wait_for(condition: object, what: str = '', deadline: float = DEADLINE) -> None:
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, what or 'waited too long'
        time.sleep(0.02)


@pytest.fixture
def robot() -> Iterator[FakeRobot]:
    fake = FakeRobot()
    yield fake
    fake.close()


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = start_recorder(tmp_path)
    yield process
    process.send_signal(signal.SIGINT)
    process.wait(DEADLINE)


def start_recorder(
    folder: Path, task: str = 'arrange_flower', **changes: object
) -> subprocess.Popen[str]:
    parameters = {
        'task': task,
        'dataset': str(folder / 'set'),
        'image_height': HEIGHT,
        'image_width': WIDTH,
        'fps': 10,
        **changes,
    }
    arguments = [word for name, value in parameters.items() for word in ('-p', f'{name}:={value}')]
    module = 'g1_recorder.nodes.recorder_node'
    return subprocess.Popen(
        [sys.executable, '-m', module, '--ros-args', *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def record(robot: FakeRobot, frames: int) -> None:
    """Starts an episode as soon as all sources are heard, and waits for its frames."""
    wait_for(lambda: robot.call('start').success, 'recorder/start never succeeded')
    wait_for(lambda: robot.status is not None and robot.status.frames >= frames)
    assert robot.status.state == EpisodeStatus.RECORDING


def test_a_saved_episode_is_a_valid_dataset_of_what_happened(
    robot: FakeRobot, recorder: subprocess.Popen, tmp_path: Path
) -> None:
    record(robot, 20)
    answer = robot.call('save')
    assert answer.success, answer.message
    wait_for(lambda: robot.status.state == EpisodeStatus.IDLE and robot.status.episodes_saved == 1)

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


def test_an_episode_beyond_a_limit_is_marked_and_told(robot: FakeRobot, tmp_path: Path) -> None:
    recorder = start_recorder(tmp_path, image_gap=0.01)  # a 30 Hz camera cannot keep it
    record(robot, 5)
    wait_for(lambda: not robot.status.healthy and 'no image for' in robot.status.text)
    answer = robot.call('save')
    recorder.send_signal(signal.SIGINT)
    recorder.wait(DEADLINE)
    assert answer.success
    assert 'unhealthy' in answer.message
    health = Dataset(tmp_path / 'set').episodes[0].health
    assert not health['healthy']
    assert 'no image for' in health['text']


def mcap_schemas(path: Path) -> dict[str, tuple[str, str]]:
    """Name to encoding and text of each schema in the summary of an MCAP file (mcap.dev/spec)."""
    data = path.read_bytes()
    magic = b'\x89MCAP0\r\n'
    assert (data[:8], data[-8:]) == (magic, magic)
    place = struct.unpack_from('<Q', data, len(data) - 28)[0]  # the footer's first number
    schemas = {}
    while (kind := data[place]) != 2:  # the footer
        (length,) = struct.unpack_from('<Q', data, place + 1)
        record = data[place + 9 : place + 9 + length]
        place += 9 + length
        if kind == 3:
            texts, at = [], 2
            for _ in ('name', 'encoding', 'text'):
                (size,) = struct.unpack_from('<I', record, at)
                texts.append(record[at + 4 : at + 4 + size].decode())
                at += 4 + size
            schemas[texts[0]] = (texts[1], texts[2])
    return schemas


def undefined(name: str, text: str) -> set[str]:
    """Types that a ros2msg definition uses and does not contain; Foxglove needs them all."""
    definitions = {name.replace('/msg/', '/'): ''}
    owner = next(iter(definitions))
    for line in text.splitlines():
        if line.startswith('MSG: '):
            owner = line.removeprefix('MSG: ').replace('/msg/', '/')
        definitions[owner] = definitions.get(owner, '') + line + '\n'
    used = set()
    for owner, lines in definitions.items():
        for line in lines.splitlines():
            kind = re.match(r'([A-Za-z][\w/]*)(\[.*?\])?\s+\w', line)
            if kind and kind[1][0].isupper():
                used.add(f'{owner.split("/")[0]}/{kind[1]}')
            elif kind and '/' in kind[1]:
                used.add(kind[1].replace('/msg/', '/'))
    return used - definitions.keys()


def test_three_cameras_are_recorded_in_step_and_a_lost_one_is_named(tmp_path: Path) -> None:
    cameras = ('head', 'left_wrist', 'right_wrist')
    robot = FakeRobot(cameras)
    recorder = start_recorder(tmp_path, cameras=f'[{",".join(cameras)}]')
    try:
        record(robot, 15)
        robot.publish_foreign_joints()
        assert robot.call('save').success
        record(robot, 5)
        robot.unplugged = {'left_wrist'}
        wait_for(lambda: 'left_wrist: no image for' in robot.status.text)
        frames = robot.status.frames
        wait_for(lambda: robot.status.frames >= frames + 10, 'rows do not go on without a wrist')
        assert robot.call('save').success
        assert 'no camera images of left_wrist' in robot.call('start').message
    finally:
        recorder.send_signal(signal.SIGINT)
        recorder.wait(DEADLINE)
        robot.close()
    assert recorder.returncode == 0
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
    output, _ = start_recorder(tmp_path, cameras='[head,belly]').communicate(timeout=DEADLINE)
    assert 'error: cameras: g1_aloha has head, left_wrist, right_wrist' in output
    assert not (tmp_path / 'set').exists()


def test_raw_topics_are_kept_as_mcap(robot: FakeRobot, tmp_path: Path) -> None:
    recorder = start_recorder(tmp_path, raw_log=True)
    record(robot, 5)
    assert robot.call('save').success
    record(robot, 2)
    assert robot.call('discard').success
    recorder.send_signal(signal.SIGINT)
    recorder.wait(DEADLINE)
    assert [path.name for path in (tmp_path / 'set/raw').iterdir()] == ['episode_000000']
    with AnyReader([tmp_path / 'set/raw/episode_000000']) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        image = next(
            reader.deserialize(data, connection.msgtype)
            for connection, _, data in reader.messages()
            if connection.topic == '/camera/camera/color/image_raw'
        )
    assert (image.height, image.width) == (HEIGHT, WIDTH)
    schemas = mcap_schemas(tmp_path / 'set/raw/episode_000000/episode_000000.mcap')
    assert {'sensor_msgs/msg/Image', 'unitree_hg/msg/LowCmd'} <= schemas.keys()
    for name, (encoding, text) in schemas.items():
        assert encoding == 'ros2msg'
        assert undefined(name, text) == set(), name
    assert counts['/arm_sdk'] > counts['/camera/camera/color/image_raw'] > 5
    assert validate(tmp_path / 'set') == []


def test_a_discarded_episode_leaves_nothing(
    robot: FakeRobot, recorder: subprocess.Popen, tmp_path: Path
) -> None:
    record(robot, 3)
    assert robot.call('discard').success
    assert not robot.call('save').success
    assert Dataset(tmp_path / 'set').episodes == ()
    assert not (tmp_path / 'set' / '.staging').exists()
    record(robot, 3)
    assert robot.call('save').success
    assert [e.index for e in Dataset(tmp_path / 'set').episodes] == [0]


def test_killed_while_recording_the_next_start_sets_it_aside(
    robot: FakeRobot, tmp_path: Path
) -> None:
    first = start_recorder(tmp_path)
    record(robot, 3)
    assert robot.call('save').success
    record(robot, 3)
    first.kill()
    first.wait(DEADLINE)
    second = start_recorder(tmp_path)
    wait_for(lambda: robot.status.state == EpisodeStatus.IDLE and robot.status.episodes_saved == 1)
    second.send_signal(signal.SIGINT)
    output, _ = second.communicate(timeout=DEADLINE)
    assert second.returncode == 0
    assert 'set aside' in output
    assert validate(tmp_path / 'set') == []


def started_again(robot: FakeRobot, folder: Path) -> subprocess.Popen[str]:
    """A recorder that has said something; one killed before may be remembered for some seconds."""
    began = time.time()
    process = start_recorder(folder, raw_log=True, fps=30)
    wait_for(
        lambda: robot.status is not None and robot.status.stamp.sec >= began,
        'the recorder says nothing',
        3 * DEADLINE,
    )
    return process


def start_episode(robot: FakeRobot) -> None:
    """A request may go to a recorder that was killed just now, and is sent again then."""
    end = time.monotonic() + 3 * DEADLINE
    while time.monotonic() < end:
        future = robot.ask('start')
        retry = time.monotonic() + 2.0
        while not future.done() and time.monotonic() < retry:
            time.sleep(0.02)
        if future.done():
            answer = future.result()
            if answer.success or 'already recording' in answer.message:
                return
            time.sleep(0.1)
    raise AssertionError('recorder/start never succeeded')


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for folder in ('data', 'videos', 'raw')
        for path in (root / folder).rglob('*')
        if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_fifty_times_no_finished_episode_is_lost(robot: FakeRobot, tmp_path: Path) -> None:
    """While it starts, waits, records or saves, with raw topics too."""
    rng = random.Random(0)
    root, finished, unsure, aside = tmp_path / 'set', 0, 0, 0
    before: dict[str, bytes] = {}
    for number in range(50):
        stage = ('start', 'idle', 'record', 'save', 'save')[number % 5]
        if stage == 'start':
            process = start_recorder(tmp_path, raw_log=True, fps=30)
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
        output, _ = process.communicate(timeout=DEADLINE)
        if stage == 'save' and saved.done() and saved.result().success:
            finished, unsure = finished + 1, 0
        aside += 'set aside' in output
    process = started_again(robot, tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE) == 0
    assert validate(root) == []
    assert len(Dataset(root).episodes) in (finished, finished + unsure)
    assert finished >= 5
    assert aside >= 10


def test_a_camera_unplugged_while_recording_is_told_at_once_and_marked(
    robot: FakeRobot, recorder: subprocess.Popen, tmp_path: Path
) -> None:
    record(robot, 5)
    assert robot.call('save').success
    record(robot, 5)
    robot.camera = ''
    wait_for(lambda: not robot.status.healthy and 'is the camera on?' in robot.status.text)
    answer = robot.call('save')
    assert answer.success
    assert 'unhealthy: ' in answer.message
    assert not robot.call('start').success
    assert 'no camera images' in robot.status.text
    robot.camera = 'wave'
    record(robot, 5)
    assert robot.call('save').success
    assert validate(tmp_path / 'set') == []
    health = [episode.health for episode in Dataset(tmp_path / 'set').episodes]
    assert len(health) == 3
    assert not health[1]['healthy']
    assert 'no image for' in health[1]['text']
    assert 'no image for' not in health[2]['text']


def test_a_disk_that_fills_while_recording_is_told_at_once_and_loses_that_episode_only(
    robot: FakeRobot, recorder: subprocess.Popen, tmp_path: Path
) -> None:
    record(robot, 5)
    assert robot.call('save').success
    before = Dataset(tmp_path / 'set').content_hash()
    record(robot, 1)
    resource.prlimit(recorder.pid, resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
    robot.camera = 'noise'
    wait_for(lambda: not robot.status.healthy and 'writing failed' in robot.status.text)
    answer = robot.call('save')
    assert not answer.success
    assert 'the episode was lost: writing failed' in answer.message
    assert robot.status.text == answer.message
    record(robot, 1)
    wait_for(lambda: 'writing failed' in robot.status.text)
    assert robot.call('discard').success
    assert Dataset(tmp_path / 'set').content_hash() == before
    assert not (tmp_path / 'set' / '.staging').exists()
    resource.prlimit(recorder.pid, resource.RLIMIT_FSIZE, 2 * (resource.RLIM_INFINITY,))
    robot.camera = 'wave'
    record(robot, 5)
    assert robot.call('save').success
    assert validate(tmp_path / 'set') == []
    assert len(Dataset(tmp_path / 'set').episodes) == 2


def test_with_too_little_space_no_episode_is_started(robot: FakeRobot, tmp_path: Path) -> None:
    recorder = start_recorder(tmp_path, disk_free=1_000_000_000)  # a petabyte
    wait_for(lambda: 'MB left on the disk' in robot.call('start').message)
    recorder.send_signal(signal.SIGINT)
    recorder.wait(DEADLINE)


def test_a_dataset_that_another_recorder_holds_is_said_in_one_line(
    robot: FakeRobot, recorder: subprocess.Popen, tmp_path: Path
) -> None:
    wait_for(lambda: robot.status is not None)
    output, _ = start_recorder(tmp_path).communicate(timeout=DEADLINE)
    assert 'error: another process is writing to' in output
    assert 'Traceback' not in output


def test_without_a_robot_start_says_what_is_missing(tmp_path: Path) -> None:
    recorder = start_recorder(tmp_path)
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('operator', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    client = node.create_client(Trigger, 'recorder/start')
    assert client.wait_for_service(DEADLINE)
    future = client.call_async(Trigger.Request())
    executor.spin_until_future_complete(future, DEADLINE)
    answer = future.result()
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)
    recorder.send_signal(signal.SIGINT)
    recorder.wait(DEADLINE)
    assert not answer.success
    for missing in ('no camera images', 'no joint_states', 'no commands on arm_sdk'):
        assert missing in answer.message


def test_without_a_task_it_does_not_start(tmp_path: Path) -> None:
    recorder = start_recorder(tmp_path, task="''")
    output, _ = recorder.communicate(timeout=DEADLINE)
    assert recorder.returncode == 2
    assert 'parameter task' in output
    assert 'arrange_flower' in output
