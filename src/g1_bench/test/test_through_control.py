"""The operator's motion through control's limits, at their rates, without ROS."""

from collections.abc import Callable

import numpy as np
import pytest

from g1_bench.tracking import synthetic_stream, track, with_noise
from g1_control.safety import simulated_safety
from g1_ros.config import config_path
from g1_ros.operator import HandInput, OperatorInput
from g1_ros.parameters import load
from g1_teleop.retargeting import RetargetingParameters

PARAMETERS = load(RetargetingParameters, config_path('teleop.yaml'))
DELAY = PARAMETERS.filter_delay + PARAMETERS.lookahead

Way = Callable[[float], tuple[float, float, float]]


def moving(left: Way, right: Way, seconds: float) -> list[OperatorInput]:
    """Hands that are on their way by `left(t)` and `right(t)` [m] at t, grips pressed."""

    def hand(way: Way, t: float) -> HandInput:
        pose = np.eye(4)
        pose[:3, 3] = way(t)
        return HandInput(pose, grip=1.0, trigger=0.0)

    times = np.arange(0.0, seconds, 1 / 90)
    return [OperatorInput(round((1 + t) * 1e9), hand(left, t), hand(right, t)) for t in times]


def push(*way: float) -> Way:
    """To `way` [m] within a second, after a moment of rest."""
    return lambda t: tuple(np.clip(t - 0.3, 0.0, 1.0) * np.array(way))


def test_hands_follow_at_the_stated_delay_without_the_noise_of_their_tracking() -> None:
    stream = synthetic_stream(6.0)
    result = track(with_noise(stream), truth=stream)
    assert result.delay_ms == pytest.approx(DELAY * 1e3, abs=5)
    assert result.position_p95_mm < 2.0
    assert result.orientation_p95_deg < 1.0
    assert result.velocity_noise_mm_s < 15.0  # 0.5 mm at 90 Hz are 110 mm/s
    assert (result.refused, result.stopped, result.not_followed) == (0, 0, 0.0)


@pytest.mark.parametrize(
    ('left', 'right'),
    [
        (push(0.05, -0.4, 0.05), push(0.05, 0.4, 0.05)),  # each through the other
        (push(-0.25, -0.2, 0.1), push(0, 0, 0)),  # into the chest
        (push(0.6, 0.1, 0.0), push(0, 0.1, 0.8)),  # out of reach
        (push(-0.1, -0.1, -0.3), push(-0.4, 0, 0)),  # into the thigh, behind the back
    ],
)
def test_control_never_has_to_stop_an_operator(left: Way, right: Way) -> None:
    result = track(with_noise(moving(left, right, 4.0)))
    assert (result.refused, result.stopped) == (0, 0)
    assert result.not_followed > 0.3


def test_the_operator_is_held_before_control_would_stop_the_arms() -> None:
    safety = simulated_safety()
    assert PARAMETERS.self_collision_margin > safety.self_collision_margin
    assert PARAMETERS.range_margin > safety.range_margin
    assert PARAMETERS.joint_velocity < min(safety.arm_velocity)


def test_a_stream_with_no_grip_pressed_measures_nothing() -> None:
    idle = HandInput(np.eye(4), grip=0.0, trigger=0.0)
    stream = [OperatorInput(round((1 + t) * 1e9), idle, idle) for t in np.arange(0.0, 1.5, 0.01)]
    with pytest.raises(ValueError, match='press a grip longer'):
        track(stream)
