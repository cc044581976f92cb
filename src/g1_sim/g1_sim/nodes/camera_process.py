"""The simulated D435i: the head camera, in its own process, on realsense2_camera's topics."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import rclpy
from rclpy.signals import SignalHandlerOptions

from g1_description import load_robot
from g1_ros.camera import CameraPublisher
from g1_sim.shared_state import SharedState
from g1_sim.simulation import Simulation


def run_camera(state: SharedState, task: str, seed: int, rate: float) -> None:
    """Publishes images at `rate` [Hz] until SIGTERM, or until the process that started it ends."""
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    node_process = multiprocessing.parent_process()
    assert node_process is not None
    os.nice(5)  # where cores are few, physics and control come first
    simulation = Simulation(task, seed)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('sim_camera', cli_args=['--ros-args', '-r', '__node:=sim_camera'])
    camera, shown = load_robot().embodiment.cameras['head'], seed
    publisher = CameraPublisher(node, camera)
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
        publisher.publish(simulation.render(camera.name, camera.width, camera.height), stamp)
        state.count_frame(time.monotonic() - started)
    simulation.close()
    node.destroy_node()
    rclpy.try_shutdown()
