"""What every node tells /diagnostics: an entry, and who publishes them."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node


def diagnostic(name: str, ok: bool, message: str, **values: object) -> DiagnosticStatus:
    """One entry: `values` become its key-value pairs, floats with four digits."""
    return DiagnosticStatus(
        name=name,
        level=DiagnosticStatus.OK if ok else DiagnosticStatus.WARN,
        message=message,
        values=[
            KeyValue(key=key, value=f'{value:.4g}' if isinstance(value, float) else str(value))
            for key, value in values.items()
        ],
    )


class Diagnostics:
    """Publishes entries on /diagnostics on behalf of a node, stamped by the node's clock."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)

    def publish(self, *entries: DiagnosticStatus) -> None:
        """One message with these entries."""
        message = DiagnosticArray(status=list(entries))
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
