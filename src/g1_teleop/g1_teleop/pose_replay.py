"""A recorded operator: hands, grips, triggers and buttons of a recording, as they were in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.typesys import Stores, get_typestore

from g1_ros.operator import OperatorInput, operator_input
from g1_ros.stamps import nanoseconds

_TOPICS = {
    'teleop/hands': 'geometry_msgs/msg/PoseArray',
    'teleop/inputs': 'sensor_msgs/msg/Joy',
}
_LEAD = 500_000_000  # how long the grips are open before the first measurement [ns]


class PoseReplay:
    """Plays a recording once, from when the arms can follow; then it stops sending.

    Until then the hands rest with open grips where the recording begins. Like the operator, they
    move the robot from wherever it is.
    """

    def __init__(
        self,
        path: str | Path,
        ready: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            path: raw log of an episode: a folder with an MCAP file, or that file.
            ready: whether the arms can follow.
            clock: [s], increasing.

        Raises:
            ValueError: there is no such recording, or none of an operator.
        """
        self._inputs = read_operator(path)
        self._ready, self._clock = ready, clock
        self._shift: int | None = None  # from the recording's stamps to the clock's [ns]
        self._next = 0

    def read(self) -> OperatorInput:
        """What is measured at this moment; its stamp is on `clock` [ns]."""
        now = round(self._clock() * 1e9)
        if self._shift is None and self._ready():
            self._shift = now + _LEAD - self._inputs[0].stamp
        if self._shift is None or now < self._stamp(0):
            return self._resting(now)
        while self._next + 1 < len(self._inputs) and self._stamp(self._next + 1) <= now:
            self._next += 1
        return replace(self._inputs[self._next], stamp=self._stamp(self._next))

    def _stamp(self, index: int) -> int:
        assert self._shift is not None
        return self._inputs[index].stamp + self._shift

    def _resting(self, now: int) -> OperatorInput:
        first = self._inputs[0]
        return replace(
            first,
            stamp=now,
            left=replace(first.left, grip=0.0),
            right=replace(first.right, grip=0.0),
            buttons=frozenset(),
        )


def read_operator(path: str | Path) -> list[OperatorInput]:
    """Every measurement of a recording, at least one, in the order of their stamps.

    Raises ValueError when there is no such recording, or none of an operator.
    """
    hands, inputs, held = _messages(path)
    stamps = sorted(hands.keys() & inputs.keys())
    if not stamps:
        wanted = ' and '.join(f'{topic} ({kind})' for topic, kind in _TOPICS.items())
        raise ValueError(
            f'replay_file {path}: expected messages of {wanted} with the same stamps, got '
            f'{len(hands)} and {len(inputs)}; it holds: {held}'
        )
    return [operator_input(hands[stamp], inputs[stamp]) for stamp in stamps]


def _messages(path: str | Path) -> tuple[dict[int, Any], dict[int, Any], str]:
    """Messages of both topics by their stamps [ns], and in words what else there is."""
    if not str(path) or not Path(path).exists():
        raise ValueError(
            'parameter replay_file: expected the raw log of an episode, as recorder_node keeps it '
            f'with raw_log: true, got {str(path)!r}, which is not there'
        )
    messages: dict[str, dict[int, Any]] = {topic: {} for topic in _TOPICS}
    try:
        with AnyReader([Path(path)], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
            named = {
                connection.topic: topic
                for topic, kind in _TOPICS.items()
                for connection in reader.connections
                if connection.msgtype == kind and connection.topic.endswith(f'/{topic}')
            }
            held = ', '.join(f'{c.topic} ({c.msgtype})' for c in reader.connections)
            wanted = [c for c in reader.connections if c.topic in named]
            for connection, _, data in reader.messages(wanted) if wanted else ():
                message: Any = reader.deserialize(data, connection.msgtype)
                messages[named[connection.topic]][nanoseconds(message.header.stamp)] = message
    except (AnyReaderError, OSError) as error:
        raise ValueError(
            f'replay_file {path}: expected a folder with an MCAP file, or that file: {error}'
        ) from None
    hands, inputs = messages.values()
    return hands, inputs, held or 'nothing'
