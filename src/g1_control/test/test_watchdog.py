"""The watchdog hands the arms back when control falls silent, and speaks at no other time."""

import numpy as np
import pytest

from g1_control.unitree import ARM_MOTORS, LowCmd
from g1_control.watchdog import RAMP, SILENCE, Watchdog, at_rest, weight_after

PERIOD = 0.004


def command(weight: float) -> LowCmd:
    message = LowCmd()
    message.mode_machine = 5
    message.mode[ARM_MOTORS] = 1
    message.q[ARM_MOTORS] = np.linspace(-1, 1, 14)
    message.dq[ARM_MOTORS] = 1.5
    message.kp[ARM_MOTORS], message.kd[ARM_MOTORS] = 80.0, 3.0
    message.tau[ARM_MOTORS] = 2.0
    message.weight = weight
    return message


def spoken(watchdog: Watchdog, begin: float, seconds: float) -> list[tuple[float, LowCmd]]:
    said = []
    for k in range(round(seconds / PERIOD)):
        now = begin + k * PERIOD
        if data := watchdog.say(now):
            message = LowCmd()
            message.load(data)
            said.append((now, message))
    return said


@pytest.mark.parametrize('weight', [1.0, 0.4])
def test_the_weight_goes_to_zero_within_six_tenths_of_a_second_and_then_it_is_silent(weight):
    watchdog, sent = Watchdog(), command(weight)
    watchdog.hear(sent.to_bytes(), 10.0)
    said = spoken(watchdog, 10.0, 3.0)
    times = np.array([time for time, _ in said])
    weights = np.array([message.weight for _, message in said])
    assert times[0] - 10.0 == pytest.approx(SILENCE, abs=2 * PERIOD)
    assert np.diff(times).max() < 1.5 * PERIOD
    assert times[weights == 0.0][0] - 10.0 < 0.6
    assert times[-1] - 10.0 < 0.65
    assert (np.diff(weights) <= 0).all() and np.diff(weights).min() > -1.1 * PERIOD / RAMP
    for _, message in said:
        assert message.crc_ok and message.mode_machine == 5
        for field in ('q', 'kp', 'kd', 'tau', 'mode'):
            wanted = getattr(sent, field)[ARM_MOTORS]
            np.testing.assert_array_equal(getattr(message, field)[ARM_MOTORS], wanted)
        assert not message.dq.any()
    assert watchdog.hand_backs == 1 and not watchdog.armed


def test_it_says_nothing_while_control_speaks_nor_when_nobody_is_armed():
    watchdog = Watchdog()
    for k in range(500):
        watchdog.hear(command(1.0).to_bytes(), k * 0.02)
        assert not spoken(watchdog, k * 0.02, 0.1)
    watchdog.hear(command(0.0).to_bytes(), 20.0)
    assert not spoken(watchdog, 20.0, 2.0)


def test_control_that_speaks_again_ends_it_with_the_weight_that_both_know():
    watchdog = Watchdog()
    watchdog.hear(command(1.0).to_bytes(), 0.0)
    last = spoken(watchdog, 0.0, 0.3)[-1]
    assert last[1].weight == pytest.approx(weight_after(1.0, last[0]))
    watchdog.hear(command(last[1].weight).to_bytes(), 0.3)
    assert not watchdog.handing_back
    assert not spoken(watchdog, 0.3, SILENCE)


def test_what_is_no_command_is_refused():
    with pytest.raises(ValueError, match='1004 bytes, got 3'):
        Watchdog().hear(b'abc', 0.0)


def test_a_command_at_rest_differs_in_weight_and_velocity_only():
    sent, changed = command(1.0), LowCmd()
    changed.load(at_rest(sent.to_bytes(), 0.25))
    sent.dq[:] = 0.0
    sent.weight = 0.25
    assert changed.to_bytes() == sent.to_bytes()
