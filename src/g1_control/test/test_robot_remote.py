"""The remote control's bytes, as Unitree's remote sends them."""

import struct

import pytest

from g1_control.remote import BUTTONS, combination, parse, press


def test_buttons_are_the_bits_of_bytes_two_and_three():
    data = bytearray(40)
    data[2], data[3] = 1 << 5, 1 << 1  # L2 and B
    assert parse(bytes(data)).buttons == {'L2', 'B'}


def test_sticks_are_the_floats_behind_them():
    data = bytearray(40)
    struct.pack_into('<5f', data, 4, 0.1, 0.2, 0.3, 9.0, 0.4)  # lx, rx, ry, L2, ly
    remote = parse(bytes(data))
    assert remote.left == pytest.approx((0.1, 0.4))
    assert remote.right == pytest.approx((0.2, 0.3))


def test_a_remote_that_is_off_presses_nothing():
    assert parse(bytes(40)).buttons == frozenset()


@pytest.mark.parametrize('button', BUTTONS)
def test_what_is_pressed_is_read(button):
    assert parse(press(button)).buttons == {button}


def test_a_combination_is_read_and_its_mistakes_named():
    assert combination('L2+B') == {'L2', 'B'}
    assert combination('') == frozenset()
    with pytest.raises(ValueError, match='no button C'):
        combination('L2+C')


def test_other_lengths_are_refused():
    with pytest.raises(ValueError, match='40 bytes, got 3'):
        parse(b'abc')
