"""What every node and command is told by environment variables: DDS, and which robot it is."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Mapping
from contextlib import ExitStack

from g1_description.embodiment import EMBODIMENT_VARIABLE, embodiment_path
from g1_ros.config import config_path
from g1_ros.shared_memory import INTERFACE, PROFILES, RANGE

_PARTICIPANTS = 32  # of a domain that are looked for


def environment(values: Mapping[str, object]) -> dict[str, str]:
    """What the nodes find in their environment, where it does not say otherwise already.

    Room for camera images in the middleware, which speaks on the network interface named. And as a
    simulated robot has the real one's topics, nothing of a simulation may reach a robot that hangs
    on the same network: it stays on this machine, unless it is asked to run on two. `embodiment`
    names another robot than the G1 with ALOHA 2 grippers.
    """
    interface = str(values.get('network_interface', ''))
    profiles = config_path('fastdds_interface.xml' if interface else 'fastdds.xml')
    wanted = {PROFILES: str(profiles)}
    if interface:
        wanted[INTERFACE] = interface
        wanted['CYCLONEDDS_URI'] = f'file://{config_path("cyclonedds.xml")}'
    if values.get('robot', 'sim') == 'sim' and values.get('machine', 'both') == 'both':
        wanted[RANGE] = 'LOCALHOST'
    if embodiment := values.get('embodiment'):
        path = embodiment_path(str(embodiment))
        wanted[EMBODIMENT_VARIABLE] = str(path.resolve())
    return {name: value for name, value in wanted.items() if name not in os.environ}


def is_used_here(domain: int) -> bool:
    """Whether a process of this machine takes part in that ROS domain: DDS gives each one a port.

    See the DDSI-RTPS specification, 9.6.1: 7400 + 250 domain + 10 + 2 participant.
    """
    with ExitStack() as stack:
        for participant in range(_PARTICIPANTS):
            probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            try:
                probe.bind(('', 7400 + 250 * domain + 10 + 2 * participant))
            except OSError:
                return True
    return False


def free_domain() -> int:
    """A ROS domain that nobody uses on this machine. RuntimeError where there is none."""
    for domain in random.sample(range(1, 102), 101):
        if not is_used_here(domain):
            return domain
    raise RuntimeError('every ROS domain from 1 to 101 is in use on this machine')
