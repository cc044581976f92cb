"""A PICO headset and its controllers as teleop/hands and teleop/inputs."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, replace
from typing import NoReturn

from rclpy.node import Node

from g1_ros.main import run
from g1_ros.operator import OperatorPublisher
from g1_ros.parameters import declare, parameter
from g1_ros.timers import steady_timer
from g1_teleop.pose_filter import MeasurementTime
from g1_teleop.xrobotoolkit import XRoboToolkit

_SILENT_AFTER = 0.5  # without a new measurement the reason is looked for, a second at most [s]


@dataclass(frozen=True)
class DeviceParameters:
    """What xrobotoolkit_node takes."""

    poll_rate: float = parameter(
        250.0,
        unit='Hz',
        minimum=90.0,
        maximum=1000.0,
        description='How often the headset is asked for something new; a PICO measures at 90 Hz.',
    )


class XRoboToolkitNode(Node):
    """Publishes every measurement once, stamped with the time it was taken at.

    The stamps of a headset's clock, which agrees with nobody's, become those of this computer's;
    see `MeasurementTime`.
    """

    def __init__(self) -> None:
        super().__init__('xrobotoolkit_node')
        parameters = declare(self, DeviceParameters)
        self._device = XRoboToolkit()
        self._taken = MeasurementTime()
        self._publisher = OperatorPublisher(self)
        self._stamp = 0
        self._heard = time.monotonic() - _SILENT_AFTER
        steady_timer(self, 1 / parameters.poll_rate, self._read)
        steady_timer(self, _SILENT_AFTER, self._say_what_helps)
        self._say_what_helps()

    def _read(self) -> None:
        measured, now = self._device.read(), time.monotonic()
        if measured.stamp == self._stamp:
            return
        self._stamp, self._heard = measured.stamp, now
        age = now - self._taken.of(measured.stamp, now)
        stamp = self.get_clock().now().nanoseconds - round(age * 1e9)
        self._publisher.publish(replace(measured, stamp=stamp))

    def _say_what_helps(self) -> None:
        if time.monotonic() - self._heard >= _SILENT_AFTER:
            self._publisher.say(self._device.silence_help)


def main(args: list[str] | None = None) -> NoReturn:
    """Runs the node, and ends without the destructors of the SDK, which abort the process.

    The SDK has to be left open: its own close may wait for ever, and Python's interpreter with it,
    once the PC service took half a second for a heartbeat, as on a busy computer.
    """
    code = run(XRoboToolkitNode, args)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == '__main__':
    main()
