"""One row of the fault table, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from g1_bench.faults.processes import SystemName
from g1_bench.faults.system_under_test import SystemUnderTest

#: Added to every stated time: the status's way to here, on a computer that is busy [s].
MARGIN = 0.3

#: What was seen, and seconds from the fault to it.
Reaction = tuple[str, float]
#: Hurts the system and says how it reacted in the seconds given, or raises NotSeenError.
Injection = Callable[[SystemUnderTest, float], Reaction]


@dataclass(frozen=True)
class Fault:
    """One row; system: which one is hurt. within: time stated for the reaction [s]."""

    name: str
    system: SystemName
    expected: str
    within: float
    inject: Injection


@dataclass(frozen=True)
class Outcome:
    """A row of the report; milliseconds: None when the reaction did not come."""

    name: str
    expected: str
    seen: str
    milliseconds: float | None
    allowed_milliseconds: float
    commands: int
    velocity: float
    acceleration: float
    holds: bool
