"""Who moves a robot's arms: as control says it, and as every row of a dataset does."""

from __future__ import annotations

from enum import IntEnum

#: Column of a dataset that says it; see `ControlSource`.
CONTROL_KEY = 'in_control'


class ControlSource(IntEnum):
    """As dit4dit_msgs/SafetyStatus has it; an operator may be a person or a scripted expert."""

    POLICY = 0
    OPERATOR = 1
    NOBODY = 2

    @property
    def words(self) -> str:
        """What an operator is told."""
        who = 'nobody' if self is ControlSource.NOBODY else f'the {self.name.lower()}'
        return f'{who} has the arms'
