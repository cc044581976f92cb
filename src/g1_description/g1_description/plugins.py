"""Things found by name, so that adding one edits none of those that exist.

A package offers one by an entry point of the group. Whoever has no package writes the name as
`module:attribute`, which is found wherever Python finds the module.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any


def find_plugin(group: str, name: str) -> Any:
    """The object that `name` means in the entry-point group `group`, or at `module:attribute`.

    Raises ValueError naming the group's entries where there is none of that name.
    """
    if ':' in name:
        return EntryPoint(name, name, group).load()
    for entry in entry_points(group=group, name=name):
        return entry.load()
    raise ValueError(
        f'no {group} {name!r}; there are: {", ".join(plugin_names(group)) or "none"}; '
        'another one is named as module:attribute'
    )


def plugin_names(group: str) -> tuple[str, ...]:
    """Names of the entries of a group, sorted."""
    return tuple(sorted({entry.name for entry in entry_points(group=group)}))
