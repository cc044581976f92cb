"""The simulated cameras, in a process of their own, on realsense2_camera's topics."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Sequence

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from g1_description import load_robot
from g1_ros.camera import CameraPublisher
from g1_ros.parameters import keep_clock
from g1_sim.rendering import RenderingError, check_rendering
from g1_sim.shared_state import SharedState
from g1_sim.simulation import Simulation


def run_cameras(
    state: SharedState, task: str, seed: int, names: Sequence[str], rate: float
) -> None:
    """Publishes an image of each camera in `names`, all of one state, `rate` times a second.

    Ends at SIGTERM, or when the process that started it does; with a sentence, where nothing can be
    drawn on this computer.
    """
    try:
        check_rendering()
    except RenderingError as error:
        raise SystemExit(f'error: {error}') from None
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    node_process = multiprocessing.parent_process()
    assert node_process is not None
    os.nice(5)  # where cores are few, physics and control come first
    simulation, shown = Simulation(task, seed), seed
    cameras = load_robot().embodiment.select_cameras(names)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('sim_camera', cli_args=['--ros-args', '-r', '__node:=sim_camera'])
    keep_clock(node)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    publishers = [CameraPublisher(node, camera) for camera in cameras]
    deadline = time.monotonic()
    while not stopping and node_process.is_alive():
        deadline = max(deadline + 1.0 / rate, time.monotonic())
        _spin_until(executor, deadline)
        newest = state.read()
        if newest is None:
            continue
        qpos, stamp, seed = newest
        started = time.monotonic()
        if seed != shown:
            simulation.reset(seed)
            shown = seed
        simulation.show(qpos)
        for camera, publisher in zip(cameras, publishers, strict=True):
            publisher.publish(simulation.render(camera.name, camera.width, camera.height), stamp)
        state.count_frame(time.monotonic() - started)
    simulation.close()
    node.destroy_node()
    rclpy.try_shutdown()


def _spin_until(executor: SingleThreadedExecutor, deadline: float) -> None:
    """Answers whoever asks this node for its parameters, until `deadline` and at least once."""
    while True:
        ahead = deadline - time.monotonic()
        executor.spin_once(timeout_sec=max(ahead, 0.0))
        if ahead <= 0.0:
            return
