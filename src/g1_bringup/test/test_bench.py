"""`g1 bench`: its command line, and what its part "control" makes of its measurements."""

import numpy as np
import pytest

from g1_bringup.bench import main
from g1_bringup.control_bench import jitter


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
    assert 'expected 5 to 3600' in capsys.readouterr().err


def test_a_part_that_there_is_not_is_refused_with_those_there_are(capsys):
    with pytest.raises(SystemExit):
        main(['speed'])
    assert 'choose from control' in capsys.readouterr().err
