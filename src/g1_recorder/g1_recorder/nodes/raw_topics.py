"""What the raw log of an episode has to know of its topics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from rclpy.node import Node

from g1_recorder.recording import RawTopics

_OWN_PACKAGES = ('unitree_hg', 'dit4dit_msgs')  # whose definitions ROS itself does not have


def raw_topics(node: Node, kinds: Mapping[str, Any]) -> RawTopics:
    """The topics of `kinds` (relative name to message class) as `node` hears them."""
    types = {}
    for name, kind in kinds.items():
        package, folder, _ = kind.__module__.split('.', 2)
        types[node.resolve_topic_name(name)] = f'{package}/{folder}/{kind.__name__}'
    return RawTopics(types, _definitions())


def _definitions() -> dict[str, str]:
    """Name to .msg text of every message type of our own packages."""
    return {
        f'{package}/msg/{path.stem}': path.read_text()
        for package in _OWN_PACKAGES
        for path in sorted(Path(get_package_share_directory(package), 'msg').glob('*.msg'))
    }
