"""A recorded operator as teleop/hands and teleop/inputs."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

from dit4dit_msgs.msg import SafetyStatus
from rclpy.node import Node

from g1_ros.main import run
from g1_ros.operator import OperatorPublisher
from g1_ros.parameters import declare, parameter
from g1_ros.qos import STATUS
from g1_ros.timers import steady_timer
from g1_teleop.pose_replay import PoseReplay

_PERIOD = 1 / 250  # [s] between two looks at what is due
_SHORTEST = 8_000_000  # [ns] between two measurements while the hands rest


@dataclass(frozen=True)
class ReplayParameters:
    """What replay_node takes."""

    replay_file: str = parameter(
        '', description='Raw log of an episode (MCAP) whose operator is played.'
    )


class ReplayNode(Node):
    """Plays a recording once, from when the arms can follow; see `PoseReplay`."""

    def __init__(self) -> None:
        super().__init__('replay_node')
        self._armed = False
        self._replay = PoseReplay(declare(self, ReplayParameters).replay_file, lambda: self._armed)
        self._publisher = OperatorPublisher(self)
        self._publisher.say('the recording is over; start replay_node again to play it again')
        self._stamp = 0
        self.create_subscription(SafetyStatus, 'control/safety_status', self._take_safety, STATUS)
        steady_timer(self, _PERIOD, self._play)

    def _take_safety(self, message: SafetyStatus) -> None:
        self._armed = message.mode in (SafetyStatus.ACTIVE, SafetyStatus.HOLD)

    def _play(self) -> None:
        measured = self._replay.read()
        if measured.stamp - self._stamp >= _SHORTEST:
            self._stamp = measured.stamp
            stamp = self.get_clock().now().nanoseconds
            self._publisher.publish(replace(measured, stamp=stamp))


def main(args: list[str] | None = None) -> int:
    """Runs the node."""
    return run(ReplayNode, args)


if __name__ == '__main__':
    sys.exit(main())
