"""Rows of a dataset from streams of other rates."""

import numpy as np
import pytest

from g1_recorder.synchronisation import FrameGrid, Timeline


def rows(grid: FrameGrid[float], times: list[float]) -> list[tuple[float, float]]:
    return [(row.time, row.image) for time in times for row in grid.add(time, time)]


def test_a_camera_three_times_as_fast_gives_every_third_image() -> None:
    grid: FrameGrid[float] = FrameGrid(10)
    taken = rows(grid, [k / 30 for k in range(31)])
    assert [image for _, image in taken] == pytest.approx([k / 10 for k in range(11)])
    assert grid.missed == 0


def test_jitter_takes_the_nearest_image() -> None:
    grid: FrameGrid[float] = FrameGrid(10)
    taken = rows(grid, [0.0, 0.034, 0.069, 0.098, 0.131, 0.171, 0.202, 0.24])
    assert [image for _, image in taken] == [0.0, 0.098, 0.202]


def test_a_gap_is_counted_and_rows_stay_where_they_belong() -> None:
    grid: FrameGrid[float] = FrameGrid(10)
    taken = rows(grid, [0.0, 0.1, 0.2, 0.61, 0.7])
    assert [time for time, _ in taken] == pytest.approx([k / 10 for k in range(8)])
    assert grid.missed == 3  # the rows at 0.3, 0.4 and 0.5 s
    assert len(taken) == 8


def test_an_image_that_comes_twice_counts_once() -> None:
    grid: FrameGrid[float] = FrameGrid(10)
    assert len(rows(grid, [0.0, 0.0, 0.1, 0.1, 0.05])) == 2


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
