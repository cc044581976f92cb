"""`g1 grippers`: the motor angles of both grippers, and their calibration, step by step."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from g1_console.listening import operator_node
from g1_console.services import NoAnswer, ask
from g1_description import SIDES, Side
from g1_ros.stamps import seconds

_PATIENCE = 5.0  # [s]; gripper_node tells once a second
_APART = 0.3  # [rad] that shut and open fingers are at least


def main(words: list[str]) -> int:
    """Prints both angles, or leads through a calibration; 1 where gripper_node is not heard."""
    parser = argparse.ArgumentParser(
        prog='g1 grippers',
        description='Shows what gripper_node measures. With --calibrate you push the fingers of '
        'each gripper shut, then open, and it prints the lines for config/grippers.yaml.',
    )
    parser.add_argument('--calibrate', action='store_true', help='torque comes off first')
    given = parser.parse_args(words)
    with operator_node('g1_grippers') as node:
        heard = _Heard(node)
        try:
            if not given.calibrate:
                for side in SIDES:
                    print(f'{side}: motor angle {heard.angle(side):.4f} rad')
                return 0
            print(ask(node, 'grippers/release').message)
            return _calibrate(heard)
        except NoAnswer as error:
            print(f'error: {error}', file=sys.stderr)
            return 1
        except (KeyboardInterrupt, EOFError):
            print('not calibrated', file=sys.stderr)
            return 130


def _calibrate(heard: _Heard) -> int:
    lines = []
    for side in SIDES:
        angles = {}
        for name, how in (('closed', 'together until the pads touch'), ('open', 'fully open')):
            print(f'Push the {side} fingers {how}, hold them there and press Enter.', flush=True)
            input()
            angles[name] = heard.angle(side)
            lines.append(f'    {side}_{name}: {angles[name]:.4f}')
        if abs(angles['open'] - angles['closed']) < _APART:
            print(
                f'error: {side}: expected shut and open at least {_APART:g} rad apart, got '
                f'{angles["closed"]:.4f} and {angles["open"]:.4f} rad; did the fingers move?',
                file=sys.stderr,
            )
            return 1
    print('Put these into config/grippers.yaml, and start gripper_node again:')
    print('\n'.join(lines))
    return 0


class _Heard:
    """What gripper_node tells in /diagnostics."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._angles: dict[str, float] = {}
        self._since = 0.0  # [s] of the node's clock
        node.create_subscription(DiagnosticArray, '/diagnostics', self._hear, 10)

    def _hear(self, message: DiagnosticArray) -> None:
        if seconds(message.header.stamp) < self._since:
            return  # it waited here, from before the fingers were where they are
        for status in message.status:
            values: dict[str, Any] = {pair.key: pair.value for pair in status.values}
            for side in SIDES:
                if status.name == f'gripper_node: {side} gripper' and 'motor_angle' in values:
                    self._angles[side] = float(values['motor_angle'])

    def angle(self, side: Side) -> float:
        """As measured from now on [rad]; NoAnswer when nothing comes."""
        self._angles.clear()
        self._since = self._node.get_clock().now().nanoseconds * 1e-9
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            rclpy.spin_once(self._node, timeout_sec=0.1)
            if side in self._angles:
                return self._angles[side]
        raise NoAnswer(
            f'no motor angle of the {side} gripper within {_PATIENCE:g} s; is gripper_node running '
            'in this ROS_DOMAIN_ID, and its gripper well (g1 status)?'
        )
