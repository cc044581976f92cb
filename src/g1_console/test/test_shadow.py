"""A policy that only watches: its targets against the robot at their times."""

import numpy as np
import pytest

from g1_console.shadow import Shadow
from g1_control.chunk_buffer import Chunk

JOINTS = ('a', 'b')


def chunk(stamp, position, steps=16):
    return Chunk(
        stamp=stamp,
        names=JOINTS,
        times=[0.1 * k for k in range(steps)],
        positions=[position(stamp + 0.1 * k) for k in range(steps)],
    )


def robot(time):
    """Both joints move steadily."""
    return np.array([0.5 * time, -0.2 * time])


def watch(shadow, start, end, rate=125.0):
    for k in range(round((end - start) * rate)):
        shadow.observe(start + k / rate, robot(start + k / rate))


def test_a_policy_that_would_do_just_what_the_robot_does_differs_by_nothing():
    shadow = Shadow(2)
    shadow.observe(9.99, robot(9.99))
    shadow.plan(chunk(10.0, robot), now=10.0)
    watch(shadow, 10.0, 12.0)
    difference = shadow.difference
    assert difference.targets.tolist() == [5, 5, 5]  # the one at the stamp itself is past
    assert difference.largest == pytest.approx([0, 0], abs=1e-9)


def test_differences_are_told_apart_by_joint_and_look_ahead():
    shadow = Shadow(2)
    shadow.plan(chunk(10.0, lambda t: robot(t) + np.array([0.0, 0.3 * (t - 10.0)])), now=10.0)
    watch(shadow, 9.9, 12.0)
    difference = shadow.difference
    assert difference.mean[:, 0] == pytest.approx([0, 0, 0], abs=1e-9)
    assert difference.mean[:, 1] == pytest.approx([0.09, 0.24, 0.39])
    assert difference.largest == pytest.approx([0, 0.45])


def test_targets_that_were_due_when_the_chunk_came_do_not_count():
    shadow = Shadow(2)
    shadow.plan(chunk(10.0, lambda t: robot(t) + (9.0 if t < 10.35 else 0.0)), now=10.35)
    watch(shadow, 10.3, 12.0)
    assert shadow.difference.targets.sum() == 12
    assert shadow.difference.largest == pytest.approx([0, 0], abs=1e-9)


def test_nothing_is_made_up_where_the_robot_was_not_heard():
    shadow = Shadow(2)
    shadow.plan(chunk(10.0, robot), now=10.0)
    watch(shadow, 9.9, 10.45)
    watch(shadow, 11.25, 12.0)
    difference = shadow.difference
    assert difference.targets.sum() == 4 + 3
    assert np.isnan(difference.mean[1]).all()
