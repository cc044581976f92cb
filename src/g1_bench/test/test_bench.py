"""`g1 bench`: its command line, and what its parts make of their measurements."""

import json

import numpy as np
import pytest

from g1_bench.benchmarks.command import main
from g1_bench.benchmarks.control import jitter
from g1_bench.benchmarks.teleop import first_commands, following


def test_an_even_loop_has_no_jitter_and_one_late_cycle_shows():
    even = np.arange(501) * 4_000_000
    assert jitter(even) == {'rate_hz': 250.0, 'p50_ms': 0.0, 'p99_ms': 0.0, 'max_ms': 0.0}
    late = even.copy()
    late[250] += 3_000_000
    assert jitter(late)['max_ms'] == pytest.approx(3.0)
    assert jitter(late)['p50_ms'] == 0.0


def test_a_time_too_short_to_measure_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(['--seconds', '0.1'])
    assert 'expected 5 to 7200' in capsys.readouterr().err


def test_a_part_that_there_is_not_is_refused_with_those_there_are(capsys):
    with pytest.raises(SystemExit):
        main(['speed'])
    assert 'choose from control, teleop' in capsys.readouterr().err


TIMES = np.arange(0.0, 12.0, 0.004)  # [s] of commands


def test_the_wait_from_each_step_to_the_first_command_that_shows_it():
    """Hands 3 cm higher 0.1 s after the first step, and back 0.14 s after the second one."""
    up = np.abs(TIMES - 2.62) < 0.52
    heights = np.transpose([0.3 + 0.03 * up, 0.3 + 0.03 * up])
    found = first_commands([2.0, 3.0], TIMES, heights)
    assert found['steps'] == 2
    assert found['p50'] == pytest.approx(120, abs=5)
    assert found['max'] == pytest.approx(140, abs=5)


def test_the_delay_at_which_hands_follow_and_what_is_left_then():
    taken = np.arange(0.0, 10.0, 1 / 90)
    hands = np.full((len(TIMES), 2, 3), 0.3)
    hands[:, :, 2] += swinging(TIMES - 0.15)[:, None]
    exact = following(np.transpose([taken, swinging(taken)]), TIMES, hands)
    assert exact['delay_ms'] == pytest.approx(150, abs=1)
    assert exact['p95_mm'] < 0.1
    hands[:, 0, 0] += 0.002 * np.sign(np.sin(50 * TIMES))
    assert following(np.transpose([taken, swinging(taken)]), TIMES, hands)['p95_mm'] > 1.5


def swinging(times):
    return 0.05 * np.sin(2.5 * times) + 0.01 * np.sin(9.0 * times)


@pytest.mark.slow
def test_a_server_is_measured_with_one_client_and_with_four(tmp_path):
    assert main(['server', '--seconds', '6', '--out', str(tmp_path)]) == 0
    measured = json.loads((tmp_path / 'server.json').read_text())['infer_ms']
    assert list(measured) == ['in process', 'one client', 'four clients']
    assert all(values['count'] > 5 for values in measured.values())
