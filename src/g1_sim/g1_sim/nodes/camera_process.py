"""The simulated D435i: the head camera, in its own process, on realsense2_camera's topics."""

from __future__ import annotations

import array
import multiprocessing
import os
import signal
import time

import rclpy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from g1_description import load_robot
from g1_node import qos
from g1_sim.shared_state import SharedState
from g1_sim.simulation import Simulation

TOPIC = 'camera/camera/color'


def camera_info() -> CameraInfo:
    """Intrinsics of the head camera, without distortion; the header is the image's."""
    camera = load_robot().camera
    fx, fy, cx, cy = camera.fx, camera.fy, camera.cx, camera.cy
    return CameraInfo(
        width=camera.width,
        height=camera.height,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def run_camera(state: SharedState, task: str, seed: int, rate: float) -> None:
    """Publishes images at `rate` [Hz] until SIGTERM, or until the process that started it ends."""
    stopping = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the node ends this one
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    node_process = multiprocessing.parent_process()
    assert node_process is not None
    os.nice(5)  # where cores are few, physics and control come first
    simulation = Simulation(task, seed)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('sim_camera', cli_args=['--ros-args', '-r', '__node:=sim_camera'])
    images = node.create_publisher(Image, f'{TOPIC}/image_raw', qos.SENSOR_DATA)
    infos = node.create_publisher(CameraInfo, f'{TOPIC}/camera_info', qos.SENSOR_DATA)
    camera, info, shown = load_robot().camera, camera_info(), seed
    image = Image(width=camera.width, height=camera.height, encoding='rgb8', step=3 * camera.width)
    deadline = time.monotonic()
    while not stopping and node_process.is_alive():
        now = time.monotonic()
        deadline = max(deadline + 1.0 / rate, now)
        time.sleep(deadline - now)
        newest = state.read()
        if newest is None:
            continue
        qpos, stamp, seed = newest
        started = time.monotonic()
        if seed != shown:
            simulation.reset(seed)
            shown = seed
        simulation.show(qpos)
        pixels = simulation.render(camera.name, camera.width, camera.height)
        header = Header(frame_id=camera.frame)
        header.stamp.sec, header.stamp.nanosec = divmod(stamp, 10**9)
        image.header = info.header = header
        image.data = array.array('B', pixels.tobytes())
        images.publish(image)
        infos.publish(info)
        state.count_frame(time.monotonic() - started)
    simulation.close()
    node.destroy_node()
    rclpy.try_shutdown()
