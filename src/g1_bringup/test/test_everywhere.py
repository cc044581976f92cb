"""What every launch file takes: a console, a namespace and a log level."""

import pytest

from g1_bringup.arguments import check
from g1_bringup.launcher import command
from g1_bringup.system import is_installed
from g1_bringup.systems import systems

ALL = sorted(systems())


@pytest.mark.parametrize('name', ALL)
def test_every_launch_file_takes_a_namespace_and_a_log_level(name):
    system = systems()[name]
    values = check(system, {'namespace': 'lab/g1', 'log_level': 'warn'})
    for node in system.started(values):
        if is_installed(node.package):
            words = command(node, values)
            assert '__ns:=/lab/g1' in words
            assert words[words.index('--log-level') + 1] == 'warn'
    assert not any('__ns' in word for n in system.nodes for word in command_or_none(n, system))


@pytest.mark.parametrize('name', ALL)
def test_every_launch_file_can_add_the_console_whose_end_stops_nothing(name):
    system = systems()[name]
    consoles = [n for n in system.nodes if n.executable == 'console_node']
    assert not set(consoles) & set(system.started(check(system, {})))
    (console,) = consoles
    assert console in system.started(check(system, {'console': 'true'}))
    assert not console.required


def command_or_none(node, system):
    return command(node, check(system, {})) if is_installed(node.package) else []


def test_the_real_robots_topics_stay_outside_the_namespace():
    system = systems()['robot']
    values = check(system, {'robot': 'g1', 'namespace': 'lab', 'camera': 'none'})
    control = next(n for n in system.started(values) if n.executable == 'control_node')
    assert {'lowstate:=/lowstate', 'arm_sdk:=/arm_sdk'} <= set(command(control, values))
    simulated = check(system, {'namespace': 'lab'})
    assert 'arm_sdk:=/arm_sdk' not in command(control, simulated)
