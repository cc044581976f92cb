import pytest

from g1_ros import rates
from g1_ros.diagnostics import diagnostic
from g1_ros.rates import RateMeter


def test_rate_over_the_window_only(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(rates.time, 'monotonic', lambda: clock[0])
    meter = RateMeter(window=2.0)
    assert meter.rate() == 0.0
    for _ in range(100):
        meter.tick()
        clock[0] += 0.1
    assert meter.rate() == pytest.approx(10.0)
    assert meter.count == 100
    clock[0] += 5.0
    assert meter.rate() == 0.0


def test_diagnostic_entry():
    status = diagnostic('sim', False, 'slow', real_time_factor=0.81234, resets=2)
    assert status.level == b'\x01'
    assert [(v.key, v.value) for v in status.values] == [
        ('real_time_factor', '0.8123'),
        ('resets', '2'),
    ]
