"""From buttons that are held to what the operator asks for."""

import pytest

from g1_teleop.buttons import HOLD, ButtonParameters, Buttons

NONE: frozenset[str] = frozenset()


def asked(buttons: Buttons, pressed: set[str], now: float) -> list[str]:
    return list(buttons.actions(frozenset(pressed), now))


@pytest.fixture
def buttons() -> Buttons:
    made = Buttons(ButtonParameters())
    assert asked(made, set(), 0.0) == []
    return made


def test_a_press_asks_once(buttons: Buttons) -> None:
    assert asked(buttons, {'A'}, 0.1) == ['start']
    assert asked(buttons, {'A'}, 0.2) == []
    assert asked(buttons, set(), 0.3) == []
    assert asked(buttons, {'A'}, 0.4) == ['start']


def test_discarding_takes_a_button_held_without_a_break(buttons: Buttons) -> None:
    assert asked(buttons, {'X'}, 0.0) == []
    assert asked(buttons, {'X'}, HOLD - 0.01) == []
    assert asked(buttons, set(), HOLD) == []
    assert asked(buttons, {'X'}, HOLD + 0.1) == []
    assert asked(buttons, {'X'}, 2 * HOLD + 0.1) == ['discard']
    assert asked(buttons, {'X'}, 4 * HOLD) == []


def test_the_estop_comes_first_and_at_once(buttons: Buttons) -> None:
    assert asked(buttons, {'A', 'Y', 'right_stick'}, 0.1)[0] == 'estop'


@pytest.mark.parametrize('silent', [False, True])
def test_held_from_before_only_the_estop_counts(silent: bool) -> None:
    buttons = Buttons(ButtonParameters())
    if silent:
        assert asked(buttons, {'X'}, 0.0) == []
        buttons.forget()
    assert asked(buttons, {'A', 'X', 'right_stick'}, 5.0) == ['estop']
    assert asked(buttons, {'A', 'X', 'right_stick'}, 5.0 + HOLD) == []
    assert asked(buttons, set(), 7.0) == []
    assert asked(buttons, {'A'}, 7.1) == ['start']


def test_an_action_needs_no_button() -> None:
    buttons = Buttons(ButtonParameters(button_start='', button_save=''))
    assert asked(buttons, set(), 0.0) == []
    assert asked(buttons, {'A', 'B'}, 0.1) == []
    assert str(buttons) == (
        'X held discard, Y pause, right_stick estop, left_stick give_back, left_menu keep'
    )


def test_two_actions_on_one_button_are_refused() -> None:
    with pytest.raises(ValueError, match='got X for both; still free: A, right_menu'):
        Buttons(ButtonParameters(button_start='X'))
