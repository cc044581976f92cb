"""Shows in rviz what is about to happen: paths of the hands, where they go, mode in words."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from textwrap import fill

from builtin_interfaces.msg import Duration
from dit4dit_msgs.msg import ActionChunk, SafetyStatus
from geometry_msgs.msg import Point, Vector3
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from g1_console.plan_view import Colour, hand_paths, mode_colour
from g1_description import Side
from g1_description.kinematics import ArmKinematics
from g1_ros import qos
from g1_ros.main import run

_HAND_COLOURS: dict[Side, Colour] = {'left': (0.2, 0.5, 1.0), 'right': (1.0, 0.35, 0.7)}
_LINE = 40  # letters, so that no word is beyond the window
_OVER_THE_HEAD = Point(x=0.0, y=0.0, z=0.75)  # in the pelvis frame [m]


class PlanMarkers(Node):
    """Markers in the pelvis frame: of each hand a line and a ball where it goes; one text."""

    def __init__(self) -> None:
        super().__init__('plan_markers')
        self._kinematics = ArmKinematics()
        self._publisher = self.create_publisher(MarkerArray, 'control/plan_markers', 10)
        self.create_subscription(ActionChunk, 'policy/action_chunk', self._on_chunk, qos.COMMAND)
        self.create_subscription(JointState, 'policy/keyframe', self._on_keyframe, qos.COMMAND)
        self.create_subscription(SafetyStatus, 'control/safety_status', self._on_status, qos.STATUS)

    def _on_chunk(self, chunk: ActionChunk) -> None:
        positions = [point.positions for point in chunk.trajectory.points]
        self._show(chunk.trajectory.joint_names, positions, self._line)

    def _on_keyframe(self, keyframe: JointState) -> None:
        self._show(keyframe.name, [keyframe.position], self._ball)

    def _show(
        self,
        names: Sequence[str],
        positions: Sequence[Sequence[float]],
        marker: Callable[[Side, list[list[float]]], Marker],
    ) -> None:
        try:
            paths = hand_paths(names, positions, self._kinematics)
        except ValueError as error:
            self.get_logger().warning(f'not shown: {error}', throttle_duration_sec=5.0)
            return
        markers = [marker(side, path.tolist()) for side, path in paths.items()]
        self._publisher.publish(MarkerArray(markers=markers))

    def _line(self, side: Side, path: list[list[float]]) -> Marker:
        """The path of one hand, paler the further ahead; it goes when no new plan replaces it."""
        marker = self._marker(f'{side}_hand', Marker.LINE_STRIP)
        marker.scale.x = 0.008
        marker.lifetime = Duration(sec=1)
        marker.points = [Point(x=x, y=y, z=z) for x, y, z in path]
        marker.colors = [
            _rgba(_HAND_COLOURS[side], 1.0 - 0.7 * index / len(path)) for index in range(len(path))
        ]
        return marker

    def _ball(self, side: Side, path: list[list[float]]) -> Marker:
        """Where the policy expects the hand to be when a gripper moves next."""
        marker = self._marker(f'{side}_keyframe', Marker.SPHERE)
        (x, y, z), size = path[0], 0.03  # [m]
        marker.pose.position = Point(x=x, y=y, z=z)
        marker.scale = Vector3(x=size, y=size, z=size)
        marker.lifetime = Duration(sec=1)
        marker.color = _rgba(_HAND_COLOURS[side], 0.5)
        return marker

    def _on_status(self, status: SafetyStatus) -> None:
        marker = self._marker('safety', Marker.TEXT_VIEW_FACING)
        marker.pose.position = _OVER_THE_HEAD
        marker.scale = Vector3(x=0.02, z=0.06)  # x: between letters, in rviz
        marker.color = _rgba(mode_colour(status.mode), 1.0)
        marker.text = fill(status.text, _LINE)
        self._publisher.publish(MarkerArray(markers=[marker]))

    def _marker(self, namespace: str, kind: int) -> Marker:
        marker = Marker(ns=namespace, type=kind, action=Marker.ADD)
        marker.header.frame_id = 'pelvis'
        marker.header.stamp = self.get_clock().now().to_msg()
        return marker


def _rgba(colour: Colour, alpha: float) -> ColorRGBA:
    red, green, blue = colour
    return ColorRGBA(r=red, g=green, b=blue, a=alpha)


def main() -> int:
    """Runs the node."""
    return run(PlanMarkers)


if __name__ == '__main__':
    sys.exit(main())
