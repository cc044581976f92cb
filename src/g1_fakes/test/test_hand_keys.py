"""The stand-in headset moved by keys: what each does to what is measured."""

import numpy as np
import pytest

from g1_fakes.hand_keys import HandKeys


def measured(*pressed: str, after: float = 1.0):
    """Left and right pose and all else, `after` [s] the last key."""
    hands = HandKeys()
    hands.measure(0.0)
    for key in pressed:
        hands.press(key, 0.0)
    return hands.measure(after)


def moved(*pressed: str) -> tuple[np.ndarray, np.ndarray]:
    before, after = measured(), measured(*pressed)
    return tuple(np.array(getattr(after, s)) - getattr(before, s) for s in ('left', 'right'))


@pytest.mark.parametrize(
    ('key', 'direction'),
    [
        ('w', (0, 0, -1)), ('s', (0, 0, 1)), ('a', (-1, 0, 0)),
        ('d', (1, 0, 0)), ('r', (0, 1, 0)), ('f', (0, -1, 0)),
    ],
)  # fmt: skip
def test_a_key_moves_the_chosen_hand_two_centimetres(key, direction):
    left, right = moved('2', key, key)
    np.testing.assert_allclose(left, 0.0, atol=1e-9)
    np.testing.assert_allclose(right[:3], 0.04 * np.array(direction), atol=1e-9)


@pytest.mark.parametrize(('key', 'axis', 'sign'), [('j', 1, 1), ('k', 0, 1), ('u', 2, 1)])
def test_a_key_turns_it_six_degrees(key, axis, sign):
    left, _ = moved('1', key)
    assert left[3 + axis] == pytest.approx(sign * np.sin(np.radians(3.0)))
    assert np.linalg.norm(measured('1', 'j', 'k', 'u').left[3:]) == pytest.approx(1.0)


def test_hands_come_after_the_keys_no_faster_than_a_hand():
    hands = HandKeys()
    x = hands.measure(0.0).left[0]
    for _ in range(10):
        hands.press('d', 0.0)
    assert hands.measure(0.1).left[0] - x == pytest.approx(0.015, abs=1e-4)
    assert hands.measure(5.0).left[0] - x == pytest.approx(0.2, abs=1e-4)


def test_grip_trigger_and_buttons():
    assert measured('1', 'g').grips == (1.0, 0.0)
    assert measured('3', 'g', 'g').grips == (0.0, 0.0)
    assert measured('2', ' ').triggers == (0.0, 1.0)
    assert measured('A', after=0.1).buttons == {'A'}
    assert measured('A', after=0.3).buttons == frozenset()
    assert measured('X', after=1.1).buttons == {'X'}  # long enough to discard
    assert measured('E', after=0.1).buttons == {'right_stick'}


def test_it_says_what_a_key_did():
    hands = HandKeys()
    assert hands.press('w', 0.0) == 'left and right: moved (no grip: g)'
    assert hands.press('g', 0.0) == 'left and right: grips'
    assert hands.press('?', 0.0) == ''
