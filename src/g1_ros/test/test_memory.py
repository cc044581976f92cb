"""Hours of work leave no memory behind."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from builtin_interfaces.msg import Time

from g1_ros.memory import return_freed, return_large_buffers
from g1_ros.operator import HandInput, OperatorInput, hands_message

_MIB = 2**20


def resident() -> int:
    """[B]"""
    return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def test_measurements_of_hands_leave_nothing_behind() -> None:
    hand = HandInput(np.eye(4), 0.0, 0.0)
    operator = OperatorInput(0, hand, hand, np.eye(4))
    hands_message(operator, Time())
    before = resident()
    for _ in range(10_000):  # two minutes of a headset
        hands_message(operator, Time())
    assert resident() - before < _MIB


FREED = """
from test_memory import resident, return_large_buffers
return_large_buffers()
images = [b'x' * 2**20 for _ in range(30)]
before = resident()
del images
print((before - resident()) / 2**20)
"""


def test_an_image_that_is_freed_goes_back_at_once() -> None:
    """In a process of its own: one that has freed much before puts images there."""
    path = [str(Path(__file__).parent), *sys.path]
    command = [sys.executable, '-c', f'import sys; sys.path = {path}\n{FREED}']
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert float(result.stdout) > 25, result.stderr


def test_what_refers_to_itself_goes_back_when_an_episode_ends() -> None:
    return_large_buffers()
    circles: list[list[object]] = [[b'x' * _MIB] for _ in range(30)]
    for circle in circles:
        circle.append(circle)
    before = resident()
    del circle, circles
    return_freed()
    assert resident() < before - 25 * _MIB
