"""What was imagined is shown beside the picture of the moment it shows."""

import numpy as np
import pytest

from g1_console.web.imagined_view import Foresight

PERIOD = 1_000_000_000 // 15  # [ns]


def picture(value: int) -> np.ndarray:
    return np.full((480, 640, 3), value, np.uint8)


def test_a_picture_waits_for_its_moment_and_is_shown_once_beside_the_nearest() -> None:
    foresight = Foresight()
    foresight.came(0, picture(0))
    foresight.imagined(8 * PERIOD + 20_000_000, picture(200))
    for k in range(1, 9):
        foresight.came(k * PERIOD, picture(10 * k))
        assert foresight.pair() is None
    foresight.came(9 * PERIOD, picture(90))
    pair = foresight.pair()
    assert pair is not None
    apart, pixels = pair
    assert apart == pytest.approx(-0.02)
    half = pixels.shape[1] // 2
    assert (pixels[0, 0, 0], pixels[0, half, 0]) == (200, 80)
    assert foresight.pair() is None


def test_a_moment_that_the_camera_missed_is_left_out() -> None:
    foresight = Foresight()
    foresight.imagined(5 * PERIOD, picture(200))
    foresight.came(0, picture(0))
    foresight.came(60 * PERIOD, picture(1))  # after a standstill
    assert foresight.pair() is None
