"""What the console asks of others: services and one action, never a motor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dit4dit_msgs.action import RunTask
from rclpy.action import ActionClient
from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

#: The services by what a person calls them, and the node that answers.
SERVICES = {
    'arm': ('control/arm', 'control_node'),
    'disarm': ('control/disarm', 'control_node'),
    'e-stop': ('control/estop', 'control_node'),
    'reset': ('control/reset', 'control_node'),
    'give back': ('control/give_back', 'control_node'),
    'stop': ('policy/stop', 'policy_node'),
    'start': ('recorder/start', 'recorder_node'),
    'save': ('recorder/save', 'recorder_node'),
    'discard': ('recorder/discard', 'recorder_node'),
    'pause': ('recorder/pause', 'recorder_node'),
    'resume': ('recorder/resume', 'recorder_node'),
    'keep last': ('recorder/keep', 'recorder_node'),
    'success': ('recorder/success', 'recorder_node'),
    'failure': ('recorder/failure', 'recorder_node'),
}

#: Told what was asked, whether it was done, and the answer in words.
Answered = Callable[[str, bool, str], None]


class Requests:
    """Asks from any thread; the answers come on that one, or on the thread that serves the node."""

    def __init__(self, node: Node, asked: Callable[[str], None], answered: Answered) -> None:
        """asked: told what is asked, before the answer."""
        self._asked, self._answered = asked, answered
        self._clients: dict[str, Client] = {
            name: node.create_client(Trigger, service) for name, (service, _) in SERVICES.items()
        }
        self._tasks = ActionClient(node, RunTask, 'policy/run_task')

    def ask(self, name: str, then: Callable[[bool, str], None] | None = None) -> None:
        """Asks for one of SERVICES; `then` is told the answer too."""

        def tell(done: bool, text: str) -> None:
            self._answered(name, done, text)
            if then is not None:
                then(done, text)

        service, server = SERVICES[name]
        client = self._clients[name]
        if not client.service_is_ready():
            tell(False, f'{name} was not asked: nobody offers {service}; is {server} running?')
            return
        future = client.call_async(Trigger.Request())  # first of all: it may be an e-stop
        self._asked(name)
        future.add_done_callback(lambda done: tell(*_trigger_answer(done)))

    def run(self, task: str, time_limit: float) -> None:
        """Lets the policy run a task of config/tasks.yaml, or what a sentence says, so long [s]."""
        if not self._tasks.server_is_ready():
            self._answered('run', False, 'no policy to run a task; is policy_node running?')
            return
        self._asked('run')
        goal = RunTask.Goal(task=task, time_limit=time_limit, until_done=False)
        self._tasks.send_goal_async(goal).add_done_callback(
            lambda future: self._goal_answered(task, future)
        )

    def _goal_answered(self, task: str, future: Future) -> None:
        handle: Any = future.result()
        accepted = handle is not None and handle.accepted
        text = f'running: {task}' if accepted else 'the goal was rejected; policy says why'
        self._answered('run', accepted, text)


def _trigger_answer(future: Future) -> tuple[bool, str]:
    answer: Any = future.result()
    if answer is None:
        return False, f'no answer: {future.exception()}'
    return bool(answer.success), str(answer.message)
