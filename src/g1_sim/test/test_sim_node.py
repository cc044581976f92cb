"""The stand-in on its topics, over DDS, as control, policy and an operator meet it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import ListParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Bool, Int64
from std_srvs.srv import Trigger
from unitree_hg.msg import LowCmd, LowState

from g1_control.unitree import LowCmd as WireCommand
from g1_control.unitree import LowState as WireState
from g1_description import load_robot
from g1_ros import qos
from g1_test_support.waiting import wait_until

ROBOT = load_robot()
LEFT_ELBOW = 18
PATIENCE = 120.0  # s until something that should happen has to have happened


def start(*parameters: str) -> subprocess.Popen:
    given = [word for parameter in parameters for word in ('-p', parameter)]
    return subprocess.Popen(
        [sys.executable, '-m', 'g1_sim.nodes.sim_node', '--ros-args', *given],
        stderr=subprocess.PIPE,
        text=True,
    )


def children(process: subprocess.Popen) -> set[int]:
    """Process ids below `process`, of the camera among them."""
    tasks = Path(f'/proc/{process.pid}/task').glob('*/children')
    return {int(pid) for task in tasks for pid in task.read_text().split()}


class Client:
    """Keeps the newest message of every topic, and can command."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('client', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.images: list[Image] = []
        self.infos: list[CameraInfo] = []
        self.states: list[bytes] = []
        self.gripper: list[JointState] = []
        self.success: list[Bool] = []
        self.seeds: list[Int64] = []
        self.diagnostics: list[DiagnosticArray] = []
        for kind, topic, profile, raw, into in (
            (Image, 'camera/camera/color/image_raw', qos.SENSOR_DATA, False, self.images),
            (CameraInfo, 'camera/camera/color/camera_info', qos.SENSOR_DATA, False, self.infos),
            (LowState, 'lowstate', qos.SENSOR_DATA, True, self.states),
            (JointState, 'left_gripper/state', qos.COMMAND, False, self.gripper),
            (Bool, 'sim/success', qos.STATUS, False, self.success),
            (Int64, 'sim/seed', qos.STATUS, False, self.seeds),
            (DiagnosticArray, '/diagnostics', 10, False, self.diagnostics),
        ):
            self.node.create_subscription(kind, topic, into.append, profile, raw=raw)
        self.commands = self.node.create_publisher(LowCmd, 'arm_sdk', qos.COMMAND)
        self.grippers = self.node.create_publisher(JointState, 'left_gripper/command', qos.COMMAND)
        self.reset_client = self.node.create_client(Trigger, 'sim/reset')

    def spin(self) -> None:
        self.executor.spin_once(timeout_sec=0.1)

    def wait(self, until) -> None:
        wait_until(until, 'what this line says', PATIENCE, self.spin)

    def spin_for(self, duration: float) -> None:
        deadline = time.monotonic() + duration
        while time.monotonic() < deadline:
            self.spin()

    def elbow(self) -> float:
        """Newest measured angle of the left elbow [rad]."""
        self.states.clear()
        self.wait(lambda: self.states)
        state = WireState()
        state.load(self.states[-1])
        return float(state.q[LEFT_ELBOW])

    def command(self, weight: float, elbow: float, *, spoilt: bool = False) -> None:
        message = WireCommand()
        message.weight = weight
        for joint in ROBOT.joints[15:]:
            message.q[joint.motor] = joint.home
            message.kp[joint.motor], message.kd[joint.motor] = joint.kp, joint.kd
        message.q[LEFT_ELBOW] = elbow
        data = message.to_bytes()
        if spoilt:
            data = data[:-1] + bytes([data[-1] ^ 0xFF])
        self.commands.publish(data)

    def values(self) -> dict[str, str]:
        """Newest diagnostics of the simulation."""
        self.diagnostics.clear()
        self.wait(lambda: self.diagnostics)
        return {pair.key: pair.value for pair in self.diagnostics[-1].status[0].values}

    def reset(self) -> Trigger.Response:
        future = self.reset_client.call_async(Trigger.Request())
        self.wait(future.done)
        return future.result()

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture(scope='module')
def sim(ros_domain):
    process = start('task:=pick_and_place', 'seed:=3', 'seed_step:=0')
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope='module')
def client(sim):
    client = Client()
    client.wait(lambda: client.states and client.images and client.infos)
    client.wait(lambda: client.commands.get_subscription_count())
    yield client
    client.close()


def test_everything_flows_at_about_its_rate(client):
    client.wait(lambda: client.gripper and client.success and client.diagnostics)
    assert client.success[0].data is False
    assert client.values()['task'] == 'pick_and_place'

    def at_its_rate() -> bool:
        values = client.values()
        least = {'lowstate_rate': 250.0, 'real_time_factor': 0.5, 'camera_rate': 5.0}
        return all(float(values[name]) > number for name, number in least.items())

    client.wait(at_its_rate)


def test_lowstate_is_what_the_robot_sends(client):
    client.states.clear()
    client.wait(lambda: len(client.states) >= 3)
    ticks = []
    for data in client.states[:3]:
        state = WireState()
        state.load(data)
        assert state.crc_ok
        ticks.append(state.tick)
    assert ticks == sorted(ticks)
    message = deserialize_message(client.states[0], LowState)
    assert message.mode_machine == 5
    np.testing.assert_allclose(message.imu_state.quaternion, (1.0, 0.0, 0.0, 0.0))
    assert message.imu_state.accelerometer[2] == pytest.approx(9.81)
    assert 20 < message.motor_state[LEFT_ELBOW].temperature[0] < 60
    assert message.motor_state[LEFT_ELBOW].mode == 1


def test_images_and_their_intrinsics_belong_together(client):
    client.images.clear()
    client.infos.clear()
    client.wait(lambda: len(client.images) >= 5 and len(client.infos) >= 5)
    image, info = client.images[-1], client.infos[-1]
    pinhole = ROBOT.embodiment.cameras['head'].intrinsics
    assert pinhole is not None
    assert (image.width, image.height, image.encoding, image.step) == (640, 480, 'rgb8', 1920)
    assert (info.width, info.height) == (640, 480)
    np.testing.assert_allclose(
        info.k, [pinhole.fx, 0.0, pinhole.cx, 0.0, pinhole.fy, pinhole.cy, 0.0, 0.0, 1.0]
    )
    assert image.header.frame_id == info.header.frame_id == 'camera_color_optical_frame'
    pictured = {(i.header.stamp.sec, i.header.stamp.nanosec) for i in client.images}
    described = {(i.header.stamp.sec, i.header.stamp.nanosec) for i in client.infos}
    assert len(pictured & described) >= 3
    pixels = np.frombuffer(image.data, np.uint8).reshape(480, 640, 3)
    assert pixels.std() > 10.0  # there is something to see


def test_the_stamp_is_the_time_of_what_is_seen(client):
    client.images.clear()
    client.wait(lambda: len(client.images) >= 5)
    now = client.node.get_clock().now().nanoseconds
    stamps = [i.header.stamp.sec * 10**9 + i.header.stamp.nanosec for i in client.images]
    assert stamps == sorted(stamps)
    assert len(set(stamps)) == len(stamps)
    assert 0 < now - stamps[-1] < 2e9


def test_arms_follow_a_command_only_with_the_right_crc_and_weight(client):
    home = client.elbow()
    refused = int(client.values()['arm_sdk_refused'])
    for _ in range(20):
        client.command(1.0, home + 0.4, spoilt=True)
        client.spin_for(0.02)
    client.wait(lambda: int(client.values()['arm_sdk_refused']) > refused)
    assert client.elbow() == pytest.approx(home, abs=0.02)

    client.command(0.0, home + 0.4)
    client.spin_for(0.5)
    assert client.elbow() == pytest.approx(home, abs=0.02)

    def moved() -> bool:
        client.command(1.0, home + 0.4)
        return client.elbow() > home + 0.25

    client.wait(moved)

    def returned() -> bool:
        client.command(0.0, home + 0.4)
        return abs(client.elbow() - home) < 0.02

    client.wait(returned)


def test_a_gripper_moves_and_tells(client):
    def closed() -> bool:
        client.grippers.publish(JointState(name=['left_gripper_joint'], position=[0.01]))
        client.spin()
        return bool(client.gripper) and abs(client.gripper[-1].position[0] - 0.01) < 0.003

    client.wait(closed)
    assert client.gripper[-1].name == ['left_gripper_joint']


def test_a_reset_lays_the_same_scene_for_the_same_seed(client):
    def view() -> np.ndarray:
        assert client.reset().success
        stamp = client.node.get_clock().now().nanoseconds
        client.images.clear()

        def newer() -> bool:
            stamps = [i.header.stamp.sec * 10**9 + i.header.stamp.nanosec for i in client.images]
            return bool(stamps) and stamps[-1] > stamp + 3e8

        client.wait(newer)
        return np.frombuffer(client.images[-1].data, np.uint8).astype(int)

    client.wait(lambda: client.seeds)
    announced = len(client.seeds)
    assert 'seed 3' in client.reset().message
    client.wait(lambda: len(client.seeds) > announced)
    assert {message.data for message in client.seeds} == {3}
    assert np.abs(view() - view()).mean() < 1.0


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGKILL])
def test_the_camera_process_never_outlives_the_node(number, ros_domain, tmp_path):
    log = tmp_path / 'motion.npz'
    process = start('task:=pick_and_place', f'log:={log}')
    assert 'the scene is up' in process.stderr.readline()
    below = children(process)
    assert len(below) >= 2, 'no camera process'
    process.send_signal(number)
    process.wait(timeout=PATIENCE)
    wait_until(lambda: not any(Path(f'/proc/{pid}').exists() for pid in below), 'their end')
    if number == signal.SIGINT:
        assert process.returncode == 0
        assert log.is_file()


def test_an_unknown_task_is_one_line_that_names_the_tasks(ros_domain):
    process = start('task:=nonsense')
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert errors.count('\n') == 1
    assert 'arrange_flower' in errors
    assert 'pick_and_place' in errors


def test_wrist_cameras_show_the_same_moment_as_the_head_camera(ros_domain):
    process = start('task:=pick_and_place', 'cameras:=[head, left_wrist]', 'camera_rate:=10.0')
    client = Client()
    try:
        seen: dict[str, list[Image]] = {'head': [], 'left_wrist': []}
        for name, images in seen.items():
            topic = f'{ROBOT.embodiment.cameras[name].topic}/image_raw'
            client.node.create_subscription(Image, topic, images.append, qos.SENSOR_DATA)

        def moments(name: str) -> set[tuple[int, int]]:
            return {(i.header.stamp.sec, i.header.stamp.nanosec) for i in seen[name]}

        client.wait(lambda: len(moments('head') & moments('left_wrist')) >= 5)
        wrist = seen['left_wrist'][-1]
        assert wrist.header.frame_id == 'left_wrist_color_optical_frame'
        assert (wrist.width, wrist.height) == (640, 480)
        parameters = client.node.create_client(ListParameters, 'sim_camera/list_parameters')
        client.wait(parameters.service_is_ready)
        answer = parameters.call_async(ListParameters.Request())
        client.wait(answer.done)  # by sim_camera
    finally:
        client.close()
        process.kill()
        process.wait()


def test_an_unknown_camera_is_one_line_that_names_the_cameras(ros_domain):
    process = start('cameras:=[neck]')
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert errors.count('\n') == 1
    assert 'left_wrist' in errors
