"""Compares the chunks of a policy in shadow mode with the motion of the robot; commands nothing."""

from __future__ import annotations

import sys

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from dit4dit_msgs.msg import ActionChunk
from rclpy.node import Node
from rich.console import Console
from rich.table import Table
from sensor_msgs.msg import JointState

from g1_console.shadow import LOOK_AHEAD, Difference, Shadow
from g1_control.messages import to_chunk
from g1_description import load_robot
from g1_ros.diagnostics import diagnostic
from g1_ros.main import run
from g1_ros.qos import COMMAND, SENSOR_DATA
from g1_ros.stamps import seconds
from g1_ros.timers import steady_timer


class ShadowNode(Node):
    """Reports on /diagnostics every second, and as a table when it ends."""

    def __init__(self) -> None:
        super().__init__('shadow_node')
        self._robot = load_robot()
        self._joints = self._robot.action_joints
        self._shadow = Shadow(len(self._joints))
        self._chunks = self._states = 0
        self.create_subscription(ActionChunk, 'shadow/action_chunk', self._on_chunk, COMMAND)
        self.create_subscription(JointState, 'joint_states', self._on_state, SENSOR_DATA)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        steady_timer(self, 1.0, self._report)
        self.get_logger().info('watching: chunks are compared with the robot and not executed')

    def destroy_node(self) -> None:
        """Prints how far the policy would have been from what the robot did."""
        difference = self._shadow.difference
        console = Console(width=100)
        if difference.targets.any():
            console.print(table(self._joints, len(self._robot.arm_joints), difference))
        else:
            console.print(f'shadow: nothing was compared; {self._heard()}', soft_wrap=True)
        super().destroy_node()

    def _on_chunk(self, message: ActionChunk) -> None:
        chunk = to_chunk(message.trajectory, seconds(message.header.stamp))
        widths = {len(row) for row in chunk.positions}
        if chunk.names != self._joints or widths != {len(self._joints)}:
            self.get_logger().warning(
                f'a chunk is left out: expected the joints {", ".join(self._joints)}, '
                f'got {", ".join(chunk.names)} with points of {sorted(widths)} positions',
                throttle_duration_sec=5.0,
            )
            return
        self._chunks += 1
        self._shadow.plan(chunk, self.get_clock().now().nanoseconds * 1e-9)

    def _on_state(self, message: JointState) -> None:
        by_name = dict(zip(message.name, message.position, strict=True))
        self._states += 1
        self._shadow.observe(
            seconds(message.header.stamp), [by_name[name] for name in self._joints]
        )

    def _heard(self) -> str:
        return f'{self._chunks} chunks on shadow/action_chunk, {self._states} on joint_states'

    def _report(self) -> None:
        difference, arms = self._shadow.difference, len(self._robot.arm_joints)
        near = np.nan_to_num(difference.mean[0])
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status.append(
            diagnostic(
                'shadow_node: difference',
                bool(difference.targets.any()),
                self._heard(),
                targets=int(difference.targets.sum()),
                arms_mean=float(near[:arms].mean()),
                arms_largest=float(difference.largest[:arms].max()),
                **{name: float(value) for name, value in zip(self._joints, near, strict=True)},
            )
        )
        self._diagnostics.publish(message)


def table(joints: tuple[str, ...], arms: int, difference: Difference) -> Table:
    """Mean and largest difference of each joint, the first `arms` of them in rad, others in m."""
    edges = [f'up to {edge:g} s' for edge in LOOK_AHEAD[:-1]] + [f'over {LOOK_AHEAD[-2]:g} s']
    result = Table(title='What the policy would have done, against what the robot did')
    result.add_column('joint')
    for edge in edges:
        result.add_column(f'mean, {edge} ahead', justify='right')
    result.add_column('largest', justify='right')
    for k, name in enumerate(joints):
        unit = 'rad' if k < arms else 'm'
        values = [*difference.mean[:, k], difference.largest[k]]
        result.add_row(name, *('–' if np.isnan(v) else f'{v:.3f} {unit}' for v in values))
    result.add_row('targets compared', *(str(n) for n in difference.targets), '')
    return result


def main() -> None:
    """Entry point of `shadow_node`."""
    sys.exit(run(ShadowNode))
