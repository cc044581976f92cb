"""Services that the operator's buttons call. Nobody waits: the answer is told when it comes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

_SERVICES = {
    'start': 'recorder/start',
    'save': 'recorder/save',
    'discard': 'recorder/discard',
    'estop': 'control/estop',
    'give_back': 'control/give_back',
    'pause': 'recorder/pause',
    'resume': 'recorder/resume',
    'keep': 'recorder/keep',
}
_PATIENCE = 2.0  # until the operator is told that there is no answer [s]


class OperatorRequests:
    """An e-stop that finds no control_node goes out as soon as there is one; others are dropped."""

    def __init__(self, node: Node, tell: Callable[[str, bool], None]) -> None:
        """tell: takes a text for the operator, and whether it is good news."""
        self._tell = tell
        self._clients_of = {
            action: node.create_client(Trigger, service) for action, service in _SERVICES.items()
        }
        self._unanswered: dict[str, float] = {}
        self._stop_waits = False

    def send(self, action: str, now: float) -> None:
        """Asks for it; for an e-stop again where it was asked for before."""
        client, service = self._clients_of[action], _SERVICES[action]
        if client.service_is_ready():
            self._unanswered[action] = now
            client.call_async(Trigger.Request()).add_done_callback(partial(self._answer, action))
        elif action == 'estop':
            self._stop_waits = True
            self._tell(
                f'E-STOP NOT DONE: there is no {service}; use the remote control of the robot '
                '(L2+B), this one goes out when control_node is back',
                False,
            )
        else:
            node = f'{service.partition("/")[0]}_node'
            self._tell(f'cannot {action}: there is no {service}; is {node} running?', False)

    def check(self, now: float) -> None:
        """To be called again and again: an e-stop that waits, answers that do not come."""
        if self._stop_waits and self._clients_of['estop'].service_is_ready():
            self._stop_waits = False
            self.send('estop', now)
        for action, since in tuple(self._unanswered.items()):
            if now - since > _PATIENCE:
                del self._unanswered[action]
                self._tell(f'{_SERVICES[action]} has not answered for {_PATIENCE:g} s', False)

    def _answer(self, action: str, future: Future) -> None:
        self._unanswered.pop(action, None)
        answer = future.result()
        if answer is not None:
            self._tell(f'{action}: {answer.message}', answer.success)
