"""Rows of a dataset from streams of other rates."""

import numpy as np
import pytest

from g1_recorder.synchronisation import FrameGrid, Timeline


def rows(grid: FrameGrid[float], times: list[float]) -> list[tuple[float, float]]:
    """Time and image of the rows of one camera."""
    taken = []
    for time in times:
        grid.add('head', time, time)
        taken += [(row.time, row.shots['head'].image) for row in grid.rows()]
    return taken


def test_a_camera_three_times_as_fast_gives_every_third_image() -> None:
    grid: FrameGrid[float] = FrameGrid(10, ['head'])
    taken = rows(grid, [k / 30 for k in range(31)])
    assert [image for _, image in taken] == pytest.approx([k / 10 for k in range(11)])
    assert grid.missed == {'head': 0}


def test_jitter_takes_the_nearest_image() -> None:
    grid: FrameGrid[float] = FrameGrid(10, ['head'])
    taken = rows(grid, [0.0, 0.034, 0.069, 0.098, 0.131, 0.171, 0.202, 0.24])
    assert [image for _, image in taken] == [0.0, 0.098, 0.202]


def test_a_gap_is_counted_and_rows_stay_where_they_belong() -> None:
    grid: FrameGrid[float] = FrameGrid(10, ['head'])
    taken = rows(grid, [0.0, 0.1, 0.2, 0.61, 0.7])
    assert [time for time, _ in taken] == pytest.approx([k / 10 for k in range(8)])
    assert grid.missed == {'head': 3}  # the rows at 0.3, 0.4 and 0.5 s
    assert len(taken) == 8


def test_an_image_that_comes_twice_counts_once() -> None:
    grid: FrameGrid[float] = FrameGrid(10, ['head'])
    assert len(rows(grid, [0.0, 0.0, 0.1, 0.1, 0.05])) == 2


def two_cameras(head: list[float], wrist: list[float], overdue: float) -> list[tuple[float, float]]:
    """Images of both cameras in each row that is decided in the end."""
    grid: FrameGrid[float] = FrameGrid(10, ['head', 'wrist'])
    for time, camera in sorted([(t, 'head') for t in head] + [(t, 'wrist') for t in wrist]):
        grid.add(camera, time, time)
    return [
        (row.shots['head'].image, row.shots['wrist'].image) for row in grid.rows(overdue=overdue)
    ]


def test_each_camera_gives_the_image_nearest_to_the_row_of_the_first() -> None:
    taken = two_cameras([k / 30 for k in range(10)], [0.01 + k / 15 for k in range(6)], -np.inf)
    expected = [(0.0, 0.01), (0.1, 0.01 + 1 / 15), (0.2, 0.21), (0.3, 0.01 + 4 / 15)]
    np.testing.assert_allclose(taken, expected)


def test_a_row_waits_for_a_late_camera_but_not_for_ever() -> None:
    head, wrist = [k / 10 for k in range(11)], [0.0, 0.1, 0.2]
    assert len(two_cameras(head, wrist, overdue=-np.inf)) == 3
    taken = two_cameras(head, wrist, overdue=0.5)
    assert [image for image, _ in taken] == head[:6]
    assert [image for _, image in taken] == [0.0, 0.1, 0.2, 0.2, 0.2, 0.2]


def test_without_the_first_camera_there_are_no_rows_and_without_another_none_either() -> None:
    assert two_cameras([], [k / 10 for k in range(9)], overdue=np.inf) == []
    assert two_cameras([k / 10 for k in range(9)], [], overdue=np.inf) == []
    assert len(two_cameras([0.2, 0.3], [0.0, 0.1], overdue=np.inf)) == 2


def test_a_timeline_is_linear_between_samples() -> None:
    line = Timeline(10)
    assert line.newest == -np.inf
    for time in (1.0, 2.0, 3.0):
        line.add(time, np.array([time * 10, -time]))
    line.add(2.5, np.zeros(2))  # older than the newest: left out
    np.testing.assert_allclose(line.at(1.25), (12.5, -1.25))
    np.testing.assert_allclose(line.at(0.0), (10, -1))
    np.testing.assert_allclose(line.at(9.0), (30, -3))
    assert line.newest == 3.0
