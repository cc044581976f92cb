"""A hand's pose between measurements and without their noise, and when they were taken."""

import numpy as np
import pinocchio
import pytest

from g1_teleop.pose_filter import MeasurementTime, PoseFilter

DELAY = 0.05
MEASURED = np.arange(0.0, 4.0, 1 / 90)


def going(t: float) -> np.ndarray:
    """0.3 m/s and 0.5 rad/s."""
    pose = np.eye(4)
    pose[:3, :3], pose[0, 3] = pinocchio.exp3(np.array([0.0, 0.5 * t, 0.0])), 0.3 * t
    return pose


def filtered(way, times):
    """Poses at `times`, of measurements that come the moment they are taken."""
    hand, k, poses = PoseFilter(DELAY), 1, []
    hand.start(way(0.0), 0.0)
    for time in times:
        while k < len(MEASURED) and MEASURED[k] <= time:
            hand.add(way(MEASURED[k]), MEASURED[k])
            k += 1
        poses.append(hand.at(time))
    return poses


def test_a_steady_hand_is_followed_at_the_stated_delay_at_any_moment():
    times = np.arange(1.0, 3.0, 0.0031)
    for time, pose in zip(times, filtered(going, times), strict=True):
        np.testing.assert_allclose(pose, going(time - DELAY), atol=1e-4)


def test_noise_gets_less_and_a_hand_that_stops_does_not_overshoot():
    rng = np.random.default_rng(0)

    def noisy(_):
        pose = np.eye(4)
        pose[:3, 3] = rng.normal(0, 1e-3, 3)
        return pose

    def stopping(t):
        return going(min(t, 2.0))

    rest = np.array([pose[:3, 3] for pose in filtered(noisy, np.arange(0.5, 3.5, 0.01))])
    assert rest.std() < 0.5e-3
    assert np.diff(rest, axis=0).std() < 0.2e-3
    stop = [pose[0, 3] for pose in filtered(stopping, np.arange(1.5, 3.5, 1 / 90))]
    assert max(stop) == pytest.approx(0.6, abs=0.005)
    assert stop[-1] == pytest.approx(0.6, abs=1e-6)


def test_a_hand_without_measurements_does_not_go_on():
    hand = PoseFilter(DELAY)
    hand.start(going(0.0), 0.0)
    for time in MEASURED[1:90]:
        hand.add(going(time), time)
    np.testing.assert_array_equal(hand.at(1.1), hand.at(5.0))


def test_measurements_count_at_the_time_they_were_taken():
    rng, clock, errors = np.random.default_rng(0), MeasurementTime(), []
    for taken in MEASURED:
        read = taken + rng.uniform(0.001, 0.012)
        errors.append(clock.of(round((1e6 + taken) * 1e9), read) - taken)
    assert np.ptp(errors[90:]) < 0.002
    again = round((5e6 + 4.1) * 1e9)  # the device's clock was set
    assert clock.of(again, 4.105) == pytest.approx(4.105)
    assert clock.of(again, 4.2) == pytest.approx(4.105)
