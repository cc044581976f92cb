"""Hours of work leave no memory behind."""

import os
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


def test_an_image_that_is_freed_goes_back_at_once() -> None:
    return_large_buffers()
    images = [bytes(_MIB) for _ in range(3)]
    kept = [bytearray(b'kept' * 64) for _ in range(100)]
    images += [b'x' * _MIB for _ in range(30)]
    before = resident()
    del images[3:]
    assert resident() < before - 25 * _MIB
    assert len(kept) == 100


def test_what_refers_to_itself_goes_back_when_an_episode_ends() -> None:
    return_large_buffers()
    circles: list[list[object]] = [[b'x' * _MIB] for _ in range(30)]
    for circle in circles:
        circle.append(circle)
    before = resident()
    del circle, circles
    return_freed()
    assert resident() < before - 25 * _MIB
