"""Runs a node that belongs to no ROS package: `module_node MODULE:FUNCTION [--ros-args ...]`."""

from __future__ import annotations

import sys

from g1_description.plugins import find_plugin


def main() -> int:
    """Calls the function, which finds its ROS arguments in `sys.argv`. Returns the exit code."""
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ''
    if ':' not in name:
        print(f'error: expected MODULE:FUNCTION of a node, got {name!r}', file=sys.stderr)
        return 2
    try:
        start = find_plugin('nodes', name)
    except (ImportError, AttributeError) as error:
        print(f'error: {name}: {error}; is its folder in PYTHONPATH?', file=sys.stderr)
        return 2
    return int(start() or 0)
