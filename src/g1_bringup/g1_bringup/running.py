"""Whether a system runs in this ROS domain already: two in one would command one robot."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from g1_bringup.system import System, Value, namespace
from g1_ros.middleware import environment, free_domain, is_used_here

_PATIENCE = 20.0  # [s] for Python to start, on a busy computer


def second_system(system: System, values: Mapping[str, Value]) -> str:
    """What to do about a system with the same nodes that runs already, or nothing.

    Asks on the network for a second, but where only this machine counts and nobody is there.
    """
    variables = {**os.environ, **environment(values)}
    domain = int(variables.get('ROS_DOMAIN_ID') or 0)
    alone = variables.get('ROS_AUTOMATIC_DISCOVERY_RANGE') == 'LOCALHOST'
    if alone and not is_used_here(domain):
        return ''
    ours = {f'{namespace(values)}/{node.label}' for node in system.started(values) if node.required}
    there = sorted(ours.intersection(_running(variables)))
    if not there:
        return ''
    names = ', '.join(name.rpartition('/')[2] for name in there)
    return (
        f'another system runs in this domain (ROS_DOMAIN_ID {domain}) already, with {names}; end '
        'it first (Ctrl-C in its terminal), or start this one elsewhere: '
        f'export ROS_DOMAIN_ID={free_domain()}'
    )


def _running(variables: Mapping[str, str]) -> list[str]:
    try:
        done = subprocess.run(
            [sys.executable, '-m', 'g1_ros.running_nodes'],
            env=dict(variables),
            stdout=subprocess.PIPE,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return []
    return done.stdout.split()
