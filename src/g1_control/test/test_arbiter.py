"""An operator takes the arms from a policy and gives them back: one source at a time, no jump."""

import numpy as np
import pytest
from controller_bench import ACCELERATION, OUTWARD, PERIOD, ROBOT, Bench

from g1_control.safety import Mode, Reason
from g1_description.control_source import ControlSource

AHEAD = 0.05  # [s] of an operator's targets
ARMS = slice(0, 14)


def sweep(begin):
    """Both arms outward and back, at 1.2 rad/s at most."""

    def motion(time):
        angle = 0.3 * (1 - np.cos(4.0 * max(time - begin, 0.0)))
        return ROBOT.home + angle * np.append(OUTWARD, [0.0, 0.0])

    return motion


def squeeze(bench, target):
    """A message as teleop_node sends it."""
    return bench.send(
        lambda _time: target,
        times=[0.0, AHEAD],
        positions=[target, target],
        source=ControlSource.OPERATOR,
    )


def driven(number=0):
    """A bench in the middle of a policy's sweep, and the sweep."""
    bench = Bench().armed()
    motion = sweep(bench.time)
    assert bench.send(motion, number=number)
    bench.run(0.4)
    assert bench.controller.source is ControlSource.POLICY
    return bench, motion


def operate(bench, target, seconds):
    for _ in range(round(seconds / 0.012)):
        squeeze(bench, target)
        bench.run(0.012)


def test_the_operator_takes_the_arms_with_the_first_targets_and_without_a_jump():
    bench, motion = driven()
    first = len(bench.commands)
    here = bench.pose.copy()
    operate(bench, here, 1.0)
    assert bench.status.source is ControlSource.OPERATOR
    assert (bench.status.mode, bench.status.holds) == (Mode.ACTIVE, 0)
    np.testing.assert_allclose(bench.pose[ARMS], here[ARMS], atol=1e-3)
    positions = bench.positions[first - 3 :, ARMS]
    assert np.abs(np.diff(positions, axis=0)).max() <= 1.3 * PERIOD
    acceleration = np.abs(np.diff(positions, n=2, axis=0)) / PERIOD**2
    assert acceleration.max() <= 1.01 * ACCELERATION[0]
    left_alone = np.array([motion(time)[ARMS] for time in bench.times[first:]])
    away = np.abs(bench.positions[first:, ARMS] - left_alone).max(axis=1)
    assert away[round(0.04 / PERIOD)] > 1e-3  # within 40 ms the commands are not the policy's


def test_chunks_are_left_alone_until_the_arms_are_given_back():
    bench, motion = driven()
    operate(bench, bench.pose.copy(), 0.5)
    rejected = bench.status.chunks_rejected
    assert not bench.send(motion)
    bench.run(2.0)  # an operator who is silent has the arms all the same
    assert (bench.status.mode, bench.status.source) == (Mode.HOLD, ControlSource.OPERATOR)
    stale = bench.time - 0.01
    assert bench.controller.give_back(bench.time)[0]
    assert bench.status.source is ControlSource.NOBODY
    assert not bench.send(lambda _time: bench.pose, stamp=stale)  # of a picture from before
    bench.run(0.01)
    assert bench.send(lambda _time: bench.pose)
    assert bench.status.source is ControlSource.POLICY
    assert bench.status.chunks_rejected == rejected


def test_giving_back_what_nobody_took_changes_nothing():
    bench, motion = driven()
    assert bench.controller.give_back(bench.time) == (True, 'the operator does not have the arms')
    assert bench.status.source is ControlSource.POLICY
    assert bench.send(motion)


def test_bad_targets_of_an_operator_stop_the_policy_too():
    bench, motion = driven()
    first = len(bench.commands)
    assert not squeeze(bench, np.full(16, np.nan))
    bench.run(0.5)
    assert (bench.status.mode, bench.status.source) == (Mode.HOLD, ControlSource.OPERATOR)
    assert np.abs(np.diff(bench.positions[-10:], axis=0)).max() < 1e-9
    acceleration = np.abs(np.diff(bench.positions[first - 3 :, ARMS], n=2, axis=0)) / PERIOD**2
    assert acceleration.max() <= 1.01 * ACCELERATION[0]
    assert not bench.send(motion)


def test_an_operator_takes_the_arms_also_while_they_are_held_for_a_fault():
    bench, motion = driven()
    bench.facts = {'temperature': np.full(29, 99.0)}
    bench.run(0.3)
    assert bench.status.mode is Mode.HOLD
    assert not squeeze(bench, bench.pose)
    bench.facts = {}
    bench.run(0.1)
    assert not bench.send(motion)  # the policy does not come first when the fault has passed
    assert squeeze(bench, bench.pose)


@pytest.mark.parametrize('numbers', [(1,), (1, 2, 3, 9)])
def test_a_policy_that_restarts_while_the_operator_has_the_arms_does_not_get_them(numbers):
    bench, motion = driven(number=5)
    operate(bench, bench.pose.copy(), 0.3)
    for number in numbers:
        assert not bench.send(motion, number=number)
        bench.run(0.05)
    assert bench.status.mode is Mode.ACTIVE or bench.status.source is ControlSource.OPERATOR
    bench.controller.give_back(bench.time)
    bench.run(0.01)
    assert not bench.send(lambda _time: bench.pose, number=10)
    assert (bench.status.mode, bench.status.reason) == (Mode.DISARMING, Reason.POLICY_RESTARTED)


def test_nobody_has_arms_that_are_not_armed():
    bench, _ = driven()
    operate(bench, bench.pose.copy(), 0.3)
    bench.controller.disarm(bench.time)
    bench.run(0.1)
    assert bench.status.source is ControlSource.NOBODY
