"""What the operator asks for with the controllers' buttons. No ROS; time is an argument [s]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from g1_ros.operator import BUTTONS
from g1_ros.parameters import parameter

ACTIONS = ('start', 'save', 'discard', 'pause', 'estop', 'give_back', 'keep')
HOLD = 1.0  # how long the button that discards is held [s]
_CHOICES = (*BUTTONS, '')


@dataclass(frozen=True)
class ButtonParameters:
    """Which button asks for what; '' for none. An action comes once, as its button goes down."""

    button_start: str = parameter('A', choices=_CHOICES, description='Starts an episode.')
    button_save: str = parameter('B', choices=_CHOICES, description='Saves the episode.')
    button_discard: str = parameter(
        'X',
        choices=_CHOICES,
        description=f'Discards the episode when it is held for {HOLD:g} s.',
    )
    button_pause: str = parameter(
        'Y',
        choices=_CHOICES,
        description='Lets go of both hands and pauses the episode; once more: goes on.',
    )
    button_estop: str = parameter('right_stick', choices=_CHOICES, description='E-stop.')
    button_give_back: str = parameter(
        'left_stick', choices=_CHOICES, description='Gives the arms to the policy at once.'
    )
    button_keep: str = parameter(
        'left_menu',
        choices=_CHOICES,
        description='Keeps the last seconds as an episode, where the recorder has any.',
    )


class Buttons:
    """Tells presses from what is held.

    Raises ValueError for a button that has two actions.
    """

    def __init__(self, parameters: ButtonParameters) -> None:
        self._table = {
            action: button
            for action, button in zip(ACTIONS, asdict(parameters).values(), strict=True)
            if button
        }
        for action, button in self._table.items():
            others = [a for a, b in self._table.items() if b == button and a != action]
            if others:
                free = ', '.join(b for b in BUTTONS if b not in self._table.values())
                raise ValueError(
                    f'parameters button_{action} and button_{others[0]}: expected a button each, '
                    f"got {button} for both; still free: {free}; '' for none"
                )
        self._down: dict[str, float] = {}
        self.forget()

    def __str__(self) -> str:
        words = [
            f'{button} {"held " if action == "discard" else ""}{action}'
            for action, button in self._table.items()
        ]
        return ', '.join(words) or 'none'

    def of(self, action: str) -> str:
        """The button that asks for `action`; '' where there is none."""
        return self._table.get(action, '')

    def forget(self) -> None:
        """After silence: what is held by then asks for nothing, except for an e-stop."""
        self._done = set(ACTIONS) - {'estop'}
        self._down = {}

    def actions(self, pressed: frozenset[str], now: float) -> Iterator[str]:
        """What the operator asks for by these buttons, each once; the e-stop first."""
        for action in sorted(self._table, key=lambda name: name != 'estop'):
            if self._table[action] not in pressed:
                self._done.discard(action)
                self._down.pop(action, None)
            elif action not in self._done:
                since = self._down.setdefault(action, now)
                if action != 'discard' or now - since >= HOLD:
                    self._done.add(action)
                    yield action
