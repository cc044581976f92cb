"""What a check is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from g1_console.snapshot import Snapshot


class Level(Enum):
    """How bad it is; only FAIL keeps the arms from being moved."""

    PASS = 'pass'
    WARN = 'warn'
    FAIL = 'fail'


@dataclass(frozen=True)
class Finding:
    """What a check found, and its remedy in words."""

    check: str
    level: Level
    found: str
    remedy: str = ''


#: None where the check does not apply.
Check = Callable[[Snapshot], 'Finding | None']


def grade(
    check: str, found: str, remedy: str, *, fail: bool = False, warn: bool = False
) -> Finding:
    """PASS, or what is given, with its remedy."""
    level = Level.FAIL if fail else Level.WARN if warn else Level.PASS
    return Finding(check, level, found, '' if level is Level.PASS else remedy)
