"""Names of the nodes that run in this ROS domain.

    python -m g1_ros.running_nodes

listens for a second and prints them, one a line. It is a process of its own for launchers: they
fork, which a middleware does not outlive.
"""

from __future__ import annotations

import time

import rclpy

_SECONDS = 1.0  # those who run answer a newcomer within a tenth of it


def main() -> None:
    """Listens, and prints."""
    rclpy.init()
    node = rclpy.create_node('g1_launch')
    time.sleep(_SECONDS)
    for name, place in node.get_node_names_and_namespaces():
        print(f'{place.rstrip("/")}/{name}')
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
