"""Names of the nodes that run in this ROS domain.

    python -m g1_ros.running_nodes

listens for a second and prints them, one a line; longer where somebody of this machine is in the
domain and nobody has answered. It is a process of its own for launchers: they fork, which a
middleware does not outlive.
"""

from __future__ import annotations

import os
import time

import rclpy

from g1_ros.middleware import is_used_here

_SECONDS = 1.0  # those who run answer a newcomer within a tenth of it,
_BUSY_SECONDS = 6.0  # on a busy computer within this


def main() -> None:
    """Listens, and prints."""
    somebody = is_used_here(int(os.environ.get('ROS_DOMAIN_ID') or 0))
    rclpy.init()
    node = rclpy.create_node('g1_launch')
    deadline = time.monotonic() + _BUSY_SECONDS
    time.sleep(_SECONDS)
    while somebody and len(node.get_node_names()) < 2 and time.monotonic() < deadline:
        time.sleep(_SECONDS)
    for name, place in node.get_node_names_and_namespaces():
        print(f'{place.rstrip("/")}/{name}')
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
