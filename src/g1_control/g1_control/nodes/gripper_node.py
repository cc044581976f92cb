"""The node between gripper commands and two Dynamixel servos.

Commands are finger openings [m] on {left,right}_gripper/command; {left,right}_gripper/state tells
opening [m], velocity [m/s] and the drive's force [N], and {left,right}_gripper/fault what is wrong,
empty when nothing is. Torque is off until the first command, and the goal starts from where the
fingers stand. Without new commands, and when this node ends, the fingers go on holding what they
hold, with no more than the current limit; `grippers/release` takes the torque off.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from g1_control.dynamixel import GripperBus
from g1_control.gripper import Calibration, Gripper, GripperSettings
from g1_control.xm430 import describe_errors
from g1_description import load_robot
from g1_ros.diagnostics import Diagnostics, diagnostic
from g1_ros.main import run
from g1_ros.parameters import declare, parameter
from g1_ros.qos import COMMAND, STATUS
from g1_ros.rates import RateMeter
from g1_ros.real_time import ask_for_real_time
from g1_ros.timers import steady_timer

_SIDES = ('left', 'right')


def _angle(default: float, what: str) -> Any:
    return parameter(
        default,
        unit='rad',
        minimum=-3.14,
        maximum=3.14,
        description=f'Motor angle at which {what}; motor_angle in /diagnostics tells it.',
    )


@dataclass(frozen=True)
class GripperParameters:
    """Where the servos are, how far they turn and what they may do."""

    left_port: str = parameter('/dev/ttyDXL_left_gripper', description='Serial port.')
    right_port: str = parameter(
        '/dev/ttyDXL_right_gripper', description='Serial port; may be the same as the left one.'
    )
    left_id: int = parameter(9, minimum=0, maximum=252, description='Of the left servo.')
    right_id: int = parameter(9, minimum=0, maximum=252, description='Of the right servo.')
    baud_rate: int = parameter(
        1_000_000, unit='bit/s', minimum=9600, maximum=4_000_000, description='Of the servos.'
    )
    rate: float = parameter(
        60.0, unit='Hz', minimum=10.0, maximum=250.0, description='Goals and states a second.'
    )
    left_closed: float = _angle(0.6197, 'the left fingers touch')
    left_open: float = _angle(1.6214, 'the left fingers are fully open')
    right_closed: float = _angle(0.6197, 'the right fingers touch')
    right_open: float = _angle(1.6214, 'the right fingers are fully open')
    current_limit: float = parameter(
        0.538, unit='A', minimum=0.02, maximum=2.3, description='Of each motor: the grip.'
    )
    velocity: float = parameter(
        0.3, unit='m/s', minimum=0.01, maximum=1.0, description='Fastest goal of a finger.'
    )
    temperature_limit: float = parameter(
        70.0, unit='degC', minimum=40.0, maximum=79.0, description='Of a motor; beyond is a fault.'
    )
    rest: float = parameter(
        2.0, unit='s', minimum=0.5, maximum=60.0, description='Before an overloaded servo reboots.'
    )


class GripperNode(Node):
    """One thread a serial port talks to the servos; the executor's thread takes the commands."""

    def __init__(self) -> None:
        super().__init__('gripper_node')
        given = declare(self, GripperParameters)
        self._period = 1 / given.rate
        self._sides = [_Side(self, side, given) for side in _SIDES]
        self._buses = [
            (GripperBus(port, given.baud_rate, [side.gripper for side in sides]), sides)
            for port, sides in self._by_port(given).items()
        ]
        self.create_service(Trigger, 'grippers/release', self._on_release)
        self._diagnostics = Diagnostics(self)
        steady_timer(self, 1.0, self._publish_diagnostics)
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._serve, args=bus, name=bus[0].port, daemon=True)
            for bus in self._buses
        ]
        for thread in self._threads:
            thread.start()

    def destroy_node(self) -> None:
        """Stops talking; the servos go on holding what they hold."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(2.0)
        for bus, _ in self._buses:
            bus.close()
        super().destroy_node()

    def _by_port(self, given: GripperParameters) -> dict[str, list[_Side]]:
        left, right = self._sides
        if given.left_port != given.right_port:
            return {given.left_port: [left], given.right_port: [right]}
        if given.left_id == given.right_id:
            raise ValueError(
                f'both grippers are on {given.left_port} and have id {given.left_id}; on one port '
                'each servo needs an id of its own (set it with the Dynamixel Wizard), then give '
                'left_id and right_id'
            )
        return {given.left_port: [left, right]}

    def _serve(self, bus: GripperBus, sides: list[_Side]) -> None:
        try:
            self._run(bus, sides)
        except Exception as error:
            self.get_logger().fatal(f'{bus.port} is served no longer, the node ends: {error!r}')
            signal.raise_signal(signal.SIGTERM)
            raise

    def _run(self, bus: GripperBus, sides: list[_Side]) -> None:
        deadline = time.monotonic()
        while not self._stopping.is_set():
            bus.cycle(time.monotonic())
            for side in sides:
                side.publish()
            deadline = max(deadline + self._period, time.monotonic() - self._period)
            time.sleep(max(0.0, deadline - time.monotonic()))

    def _on_release(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        for side in self._sides:
            side.gripper.release()
        response.success, response.message = True, 'torque off until the next command'
        return response

    def _publish_diagnostics(self) -> None:
        self._diagnostics.publish(*(side.diagnostic() for side in self._sides))


class _Side:
    """One gripper's topics."""

    def __init__(self, node: Node, side: str, given: GripperParameters) -> None:
        robot = load_robot()
        self.gripper = Gripper(
            getattr(given, f'{side}_id'),
            Calibration(
                getattr(given, f'{side}_closed'),
                getattr(given, f'{side}_open'),
                robot.gripper_stroke,
            ),
            GripperSettings(
                given.current_limit, given.velocity, given.temperature_limit, given.rest
            ),
        )
        self._node, self._side = node, side
        self._port = getattr(given, f'{side}_port')
        self._joint = robot.gripper_joints[_SIDES.index(side)]
        self._rate = RateMeter()
        self._commanded_at: float | None = None
        self._fault: str | None = None  # published last
        node.create_subscription(JointState, f'{side}_gripper/command', self._on_command, COMMAND)
        self._state_publisher = node.create_publisher(JointState, f'{side}_gripper/state', COMMAND)
        self._fault_publisher = node.create_publisher(String, f'{side}_gripper/fault', STATUS)

    def _on_command(self, message: JointState) -> None:
        if len(message.position) == 1 and self.gripper.command(message.position[0]):
            self._commanded_at = time.monotonic()
            return
        self._node.get_logger().warning(
            f'{self._side}_gripper/command: expected one finite position, got '
            f'{list(message.position)}; ignored',
            throttle_duration_sec=1.0,
        )

    def publish(self) -> None:
        """What the cycle just over has found."""
        gripper = self.gripper
        if gripper.fault != self._fault:
            self._fault = gripper.fault
            self._fault_publisher.publish(String(data=gripper.fault))
            logger = self._node.get_logger()
            if gripper.fault:
                logger.error(f'{self._side} gripper: {gripper.fault}')
            else:
                logger.info(f'{self._side} gripper: ready')
        if gripper.fresh and gripper.reading is not None and not gripper.displaced:
            reading = gripper.reading
            state = JointState(
                name=[self._joint],
                position=[reading.opening],
                velocity=[reading.velocity],
                effort=[reading.force],
            )
            state.header.stamp = self._node.get_clock().now().to_msg()
            self._state_publisher.publish(state)
            self._rate.tick()

    def diagnostic(self) -> DiagnosticStatus:
        gripper, now = self.gripper, time.monotonic()
        values: dict[str, object] = {
            'port': self._port,
            'id': gripper.id,
            'rate': self._rate.rate(),
            'answers_lost': gripper.lost,
            'connections': gripper.connections,
            'torque': gripper.goal is not None,
            'command_age': now - self._commanded_at if self._commanded_at else -1.0,
        }
        if gripper.reading is not None:
            values |= {
                'opening': gripper.reading.opening,
                'motor_angle': gripper.reading.angle,
                'current': gripper.reading.current,
            }
        if gripper.health is not None:
            values |= {
                'temperature': gripper.health.temperature,
                'voltage': gripper.health.voltage,
                'hardware_error': describe_errors(gripper.health.errors) or 'none',
            }
        text = gripper.fault or ('holds or moves' if gripper.goal is not None else 'torque is off')
        return diagnostic(f'gripper_node: {self._side} gripper', not gripper.fault, text, **values)


def main() -> None:
    """Entry point of `gripper_node`."""
    ask_for_real_time()
    sys.exit(run(GripperNode))
