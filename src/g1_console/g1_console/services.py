"""What an operator asks of the control of a running robot."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import rclpy
from dit4dit_msgs.msg import SafetyStatus
from rclpy.node import Node
from std_srvs.srv import Trigger

from g1_ros.qos import STATUS

_SECONDS = 10.0  # for the way there; the longest ramp of the weight takes 2.5 s

#: The commands, and what the status says once each has had its effect; SafetyStatus in, yes or no.
_DONE: dict[str, Callable[[SafetyStatus], bool]] = {
    'arm': lambda s: s.mode in (SafetyStatus.HOLD, SafetyStatus.ACTIVE),
    'disarm': lambda s: s.mode == SafetyStatus.DISARMED,
    'estop': lambda s: s.mode == SafetyStatus.ESTOP and s.weight == 0.0,
    'reset': lambda s: s.mode == SafetyStatus.DISARMED,
    'give_back': lambda s: s.control_source != SafetyStatus.CONTROL_OPERATOR,
}
#: What `g1 NAME --help` says.
_HELP = {
    'arm': 'Give the arms to control: the weight of its commands ramps up from where they hang, '
    'then they hold, and follow whoever sends targets. Refused, with the reason, when something '
    'that control needs is not well; g1 check lists it.',
    'disarm': 'Hand the arms back: the weight ramps down, and nobody moves them any more.',
    'estop': 'Stop the arms at once and hand them back within half a second. Latched: g1 reset, '
    'then g1 arm, to go on.',
    'reset': 'Leave the emergency stop; the arms stay without command until g1 arm.',
    'give_back': 'Let the policy go on where an operator has taken the arms from it, and is not '
    'there to give them back: after a headset has gone to sleep nobody else does.',
}
_LETTING_GO = (SafetyStatus.DISARMING, SafetyStatus.DISARMED, SafetyStatus.ESTOP)


def main(name: str, arguments: list[str]) -> int:
    """`g1 NAME`: nothing but --help can be given; returns what `command` does."""
    parser = argparse.ArgumentParser(
        prog=f'g1 {name}',
        description=_HELP[name],
        epilog='Returns 0 once it is done, 1 when control refuses, gives up on the way or is not '
        f'heard in this ROS_DOMAIN_ID. The same from ROS: the service control/{name} '
        '(std_srvs/Trigger).',
    )
    parser.parse_args(arguments)
    return command(name)


class NoAnswer(RuntimeError):
    """A service that is not there, or does not answer in time."""


def ask(node: Node, service: str, timeout: float = 5.0) -> Trigger.Response:
    """Calls a Trigger service, spinning `node`, and returns its answer.

    Raises NoAnswer after `timeout` [s].
    """
    client = node.create_client(Trigger, service)
    try:
        deadline = time.monotonic() + timeout
        while not client.service_is_ready():
            if time.monotonic() > deadline:
                raise NoAnswer(
                    f'no service {service} after {timeout:g} s; is a system running, and is '
                    'ROS_DOMAIN_ID the same in its shell and in this one?'
                )
            time.sleep(0.02)
        future = client.call_async(Trigger.Request())
        rclpy.spin_until_future_complete(node, future, timeout_sec=deadline - time.monotonic())
        answer = future.result() if future.done() else None
        if answer is None:
            raise NoAnswer(f'the service {service} did not answer within {timeout:g} s')
        return answer
    finally:
        node.destroy_client(client)


def command(name: str) -> int:
    """Asks for `name` (of `_DONE`), waits for its effect and prints what happens.

    Returns 0 once the arms are taken, handed back or released; 1 when control_node refuses, gives
    up on the way or is not there.
    """
    from g1_console.listening import operator_node

    with operator_node('g1_operator') as node:
        heard: list[SafetyStatus] = []
        node.create_subscription(SafetyStatus, 'control/safety_status', heard.append, STATUS)
        try:
            answer = ask(node, f'control/{name}')
            print(answer.message, file=sys.stdout if answer.success else sys.stderr, flush=True)
            if not answer.success:
                return 1
            status = _wait(node, name, heard)
        except NoAnswer as error:
            print(f'error: {error}', file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print('not waiting any longer; what was asked for goes on', file=sys.stderr)
            return 130
    done = _DONE[name](status)
    print(status.text, file=sys.stdout if done else sys.stderr)
    return 0 if done else 1


def _wait(node: Node, name: str, heard: list[SafetyStatus]) -> SafetyStatus:
    """The first status that says how the command ended."""
    deadline = time.monotonic() + _SECONDS
    arming = False
    while time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.1)
        if not heard:
            continue
        status = heard[-1]
        arming |= status.mode == SafetyStatus.ARMING
        if _DONE[name](status) or (name == 'arm' and arming and status.mode in _LETTING_GO):
            return status
    last = heard[-1].text if heard else 'no word on control/safety_status'
    raise NoAnswer(f'{name} was not done after {_SECONDS:g} s; {last}')
