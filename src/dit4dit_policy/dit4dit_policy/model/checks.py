"""Checks that frozen configurations share, and how one is built from JSON."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints


def check_choices(config: Any) -> None:
    """ValueError where a field with named choices has another value."""
    for name, hint in get_type_hints(type(config)).items():
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        if choices and getattr(config, name) not in choices:
            raise ValueError(
                f'{name}: expected {" or ".join(map(repr, choices))}, got {getattr(config, name)!r}'
            )


def check_positive(config: Any, *names: str) -> None:
    """ValueError where a field of `names` is below 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f'{name}: expected 1 or more, got {getattr(config, name)}')


def from_json(kind: type[Any], values: Any, where: str) -> Any:
    """A dataclass `kind`, nested ones included, of what `json` reads: lists become tuples.

    ValueError names an entry of `where` that is missing or unknown.
    """
    if not isinstance(values, dict):
        raise ValueError(f'{where}: expected entries by name, got {values!r}')
    types = get_type_hints(kind)
    known = {f.name for f in fields(kind)}
    if unknown := set(values) - known:
        raise ValueError(f'{where}: unknown {sorted(unknown)}; known are {sorted(known)}')
    entries = {
        name: from_json(types[name], value, f'{where}.{name}')
        if is_dataclass(types[name])
        else tuple(value)
        if isinstance(value, list)
        else value
        for name, value in values.items()
    }
    try:
        return kind(**entries)
    except TypeError as error:
        raise ValueError(f'{where}: {error}') from None
