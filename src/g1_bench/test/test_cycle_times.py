"""What `g1 bench control` says of a cycle's cost: that the motions are what they are called."""

from g1_bench.cycle_times import cycle_times


def test_each_kind_of_motion_is_measured_and_the_harsh_one_goes_along_the_margin() -> None:
    found = cycle_times(runs=1)
    usual, wide, harsh = found.values()
    assert usual['cycles'] == wide['cycles'] == 2500
    assert 250 <= harsh['cycles'] <= 2500
    assert usual['slides'] < 0.3 < wide['slides']
    assert harsh['slides'] > 0.5
    for times in found.values():
        assert 0.0 < times['p50_ms'] <= times['p99_ms'] <= times['p999_ms']
