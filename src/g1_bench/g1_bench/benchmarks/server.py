"""`g1 bench server`: how much later a chunk comes from `dit4dit serve` than from one's own process.

One client asks the server and a policy in this process in turns, as fast as they answer, so that
load of the computer falls on both alike; each computes with one thread, or those of one would wait
for work on the cores that the other needs. Then four clients ask at once, each as often as a robot
does: what waits for others is inferred with them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from dit4dit_policy.inference.chunk_policy import ChunkPolicy, Observation
from dit4dit_policy.inference.remote import RemotePolicy
from dit4dit_policy.inference.shipped import DEFAULT, load_policy
from g1_bench.benchmarks.rig import milliseconds, process
from g1_console.services import NoAnswer
from g1_description import load_robot

SECONDS = 60.0
_TASK = 'pick_and_place'
_CLIENTS = 4
_PERIOD = 0.2  # [s] between two chunks of a robot
_READY = 60.0  # [s] until the server answers
_PERCENTILES = ('p50', 'p99')


def measure(seconds: float) -> dict[str, Any]:
    """Half of the time one client, half of it four. Raises NoAnswer when no server comes."""
    os.environ['OMP_NUM_THREADS'] = '1'  # read when torch is imported here, as many as the server's
    robot, checkpoint = load_robot(), DEFAULT
    own = load_policy(checkpoint, robot.embodiment)
    seen = _observation(own, robot.home)
    serve = [
        shutil.which('dit4dit') or 'dit4dit',
        'serve',
        '--checkpoint',
        checkpoint,
        '--port',
        '0',
    ]
    with process(serve, stdout=subprocess.PIPE) as server:
        address = _address(server)
        client = RemotePolicy(address, robot.embodiment)
        for policy in (own, client):
            policy.infer(seen)
        times: dict[str, list[float]] = {'in process': [], 'one client': []}
        end = time.monotonic() + seconds / 2
        while time.monotonic() < end:
            for name, policy in (('in process', own), ('one client', client)):
                times[name].append(_timed(policy, seen))
        many = _many(
            [RemotePolicy(address, robot.embodiment) for _ in range(_CLIENTS)], seen, seconds / 2
        )
        times['four clients'] = many
    return {
        'seconds': seconds,
        'cores': os.cpu_count(),
        'load': round(os.getloadavg()[0], 1),
        'checkpoint': checkpoint,
        'infer_ms': {name: _summary(values) for name, values in times.items()},
    }


def table(content: dict[str, Any]) -> Table:
    """The numbers for people."""
    result = Table(title=f'Policy server, {content["checkpoint"]}, load {content["load"]}')
    for column in ('chunks from', 'how many', 'p50', 'p99', 'added p50', 'added p99'):
        result.add_column(column, justify='left' if column == 'chunks from' else 'right')
    own = content['infer_ms']['in process']
    for name, values in content['infer_ms'].items():
        added = [f'{values[p] - own[p]:.1f} ms' if values is not own else '' for p in _PERCENTILES]
        times = [f'{values[p]:.1f} ms' for p in _PERCENTILES]
        result.add_row(name, str(values['count']), *times, *added)
    return result


def _summary(seconds: list[float]) -> dict[str, float]:
    return {'count': len(seconds), **milliseconds(seconds, 50, 99)}


def _observation(policy: ChunkPolicy, state: NDArray[np.float64]) -> Observation:
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 255, (240, 320, 3), np.uint8) for name in policy.cameras}
    return Observation(images, state, 'Pick up the object and put it onto the plate.')


def _timed(policy: ChunkPolicy, seen: Observation) -> float:
    began = time.monotonic()
    policy.infer(seen)
    return time.monotonic() - began


def _many(clients: list[RemotePolicy], seen: Observation, seconds: float) -> list[float]:
    """What each of their requests takes [s], for so many seconds."""
    times: list[float] = []
    end = time.monotonic() + seconds

    def ask(client: RemotePolicy, offset: float) -> None:
        due = time.monotonic() + offset
        while due < end:
            time.sleep(max(0.0, due - time.monotonic()))
            times.append(_timed(client, seen))
            due = max(due + _PERIOD, time.monotonic())

    rng = np.random.default_rng(0)
    threads = [threading.Thread(target=ask, args=(c, rng.uniform(0, _PERIOD))) for c in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def _address(server: subprocess.Popen[str]) -> str:
    """Where it says that it is."""
    assert server.stdout is not None
    timer = threading.Timer(_READY, server.kill)
    timer.start()
    try:
        for line in server.stdout:
            if 'ws://' in line:
                return 'ws://' + line.split('ws://')[1].split()[0]
    finally:
        timer.cancel()
    raise NoAnswer(f'the server has not begun within {_READY:g} s')
