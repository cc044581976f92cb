"""Who else speaks on /arm_sdk: the watchdog, which has to be there, and strangers; and for whom."""

from __future__ import annotations

import time

from dit4dit_msgs.msg import WatchdogStatus
from rclpy.node import Node
from rclpy.serialization import deserialize_message

from g1_ros.polling import PolledSubscription
from g1_ros.qos import COMMAND

_SIMULATOR = 'sim_node'
_NAMELESS = '_NODE_NAME_UNKNOWN_'  # of rmw, for a publisher whose node is not known yet
_LOST = 0.5  # [s] without a word of the watchdog, which says one twenty times a second


class ArmSdkWatch:
    """Call `look` ten times a second.

    stranger: who but this node and its watchdog has a publisher on /arm_sdk, or that there is a
    simulated robot beside another one, in a sentence; empty where all is as it should be.
    """

    def __init__(self, node: Node) -> None:
        self.stranger = ''
        self._node, self._topic = node, node.resolve_topic_name('arm_sdk')
        self._robots = node.resolve_topic_name('lowstate')
        self._statuses = PolledSubscription(node, WatchdogStatus, 'control/watchdog', COMMAND)
        self._gid = ''
        self._heard_at: float | None = None  # steady clock [s]
        #: Publishers of commands and of states, and the watchdog's, at the last look.
        self._known: tuple[int, int, str] = (-1, -1, '')

    @property
    def age(self) -> float:
        """Since the watchdog was heard [s]; negative before the first time."""
        return time.monotonic() - self._heard_at if self._heard_at is not None else -1.0

    @property
    def watchdog_fault(self) -> str:
        """What is wrong with the watchdog, and what to do; empty if nothing."""
        if self._heard_at is None:
            return 'no watchdog yet; start it: g1 run g1_control watchdog'
        if self.age > _LOST:
            return f'the watchdog is silent for {self.age:.1f} s; has it died? start it again'
        return ''

    def look(self) -> None:
        """Takes what the watchdog said and sees who is there."""
        for data, _ in self._statuses.take():
            self._gid = deserialize_message(data, WatchdogStatus).publisher
            self._heard_at = time.monotonic()
        count = self._node.count_publishers
        known = (count(self._topic), count(self._robots), self._gid)
        if known != self._known:  # to ask for each costs more than to count them
            robots = self._robot_names()
            self.stranger = self._strangers() or _second_robot(robots)
            if _NAMELESS not in robots:  # its name follows, and the numbers stay as they are
                self._known = known

    def _strangers(self) -> str:
        infos = self._node.get_publishers_info_by_topic(self._topic)
        mine = (self._node.get_name(), self._node.get_namespace())
        others = [
            (i.node_name, i.node_namespace)
            for i in infos
            if bytes(i.endpoint_gid).hex() != self._gid
        ]
        if mine in others:
            others.remove(mine)  # a second control_node is a stranger too
        if not others:
            return ''
        return (
            f'somebody else publishes on /arm_sdk: {", ".join(sorted(n for n, _ in others))}; end '
            'what else commands the arms, as another system in this ROS_DOMAIN_ID, or a program '
            "that speaks Unitree's SDK (it has no ROS name)"
        )

    def _robot_names(self) -> list[str]:
        infos = self._node.get_publishers_info_by_topic(self._robots)
        return sorted(info.node_name for info in infos)


def _second_robot(names: list[str]) -> str:
    if len(names) < 2 or _SIMULATOR not in names:
        return ''
    return (
        f'several robots publish /lowstate: {", ".join(names)}; end all systems in this '
        'ROS_DOMAIN_ID but one'
    )
