"""What the console asks of others, and that it does nothing else."""

import socket

from console_pictures import CLI
from std_srvs.srv import Trigger

from g1_console.web.requests import Requests
from g1_test_support.outside import Outside
from g1_test_support.processes import Program, python


def test_what_was_asked_is_said_before_its_answer_and_who_does_not_run(ros_domain):
    said: list[tuple[str, str]] = []

    def arm(_request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = True, 'armed'
        return response

    with Outside('control') as control, Outside('console') as console:
        requests = Requests(
            console.node,
            lambda name: said.append((name, 'asked')),
            lambda name, done, text: said.append((name, text if done else f'not done: {text}')),
        )
        control.node.create_service(Trigger, 'control/arm', arm)

        def armed() -> bool:
            said.clear()
            requests.ask('arm')
            return said[0] == ('arm', 'asked')

        console.wait_for(armed, 'the service to be found')
        console.wait_for(lambda: said == [('arm', 'asked'), ('arm', 'armed')], 'the answer')
        said.clear()
        requests.ask('save')
        requests.run('pick_and_place', 60.0)
    assert said == [
        ('save', 'not done: save was not asked: nobody offers recorder/save; is recorder_node '
                 'running?'),
        ('run', 'not done: no policy to run a task; is policy_node running?'),
    ]  # fmt: skip


def test_it_publishes_nothing(ros_domain):
    with socket.create_server(('127.0.0.1', 0)) as probe:
        port = int(probe.getsockname()[1])
    with Program(python(CLI, 'console', '--port', str(port))) as console, Outside() as outside:
        console.wait_for('the console is at')

        def topics() -> set[str]:
            if 'console_node' not in outside.node.get_node_names():
                return set()
            found = outside.node.get_publisher_names_and_types_by_node('console_node', '/')
            return {name for name, _ in found}

        every_node = {'/parameter_events', '/rosout'}
        outside.wait_for(lambda: topics() >= every_node, 'what the console publishes')
        assert topics() == every_node
