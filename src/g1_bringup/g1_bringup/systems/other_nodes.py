"""Nodes that are none of ours, named by a person in a launch argument."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from g1_bringup.system import Node

#: How they are named.
HOW = 'PACKAGE/EXECUTABLE of a node that is installed here, or MODULE:FUNCTION of one in PYTHONPATH'


def other_node(name: str, config: tuple[str, ...] = ()) -> Node:
    """The node of that name; `is_node` holds for it."""
    if ':' in name:
        return Node('g1_console', 'module_node', config=config, arguments=(name,))
    package, executable = name.split('/')
    return Node(package, executable, config=config)


def is_node(name: str) -> bool:
    """Whether a node of this name can be started."""
    module, colon, function = name.partition(':')
    if colon:
        return function.isidentifier() and _is_module(module)
    package, separator, executable = name.partition('/')
    if not separator or not executable or '/' in executable:
        return False
    try:
        return Path(get_package_prefix(package), 'lib', package, executable).is_file()
    except (PackageNotFoundError, ValueError):
        return False


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
