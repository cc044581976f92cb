"""Shared memory of the middleware, and who does without; loads little, as the watchdog has to."""

from __future__ import annotations

import os
from pathlib import Path

from g1_ros.config import config_path

#: Environment variables that say how DDS speaks to others.
PROFILES, RANGE = 'FASTRTPS_DEFAULT_PROFILES_FILE', 'ROS_AUTOMATIC_DISCOVERY_RANGE'
INTERFACE = 'G1_NETWORK_INTERFACE'


def avoid_shared_memory() -> None:
    """Has this process speak to others by UDP alone; to be called before ROS begins.

    For what must not wait: config/fastdds_udp.xml says why. A profile of somebody's own is kept.
    """
    profile = Path(os.environ.get(PROFILES) or config_path('fastdds.xml'))
    changes = {}
    if os.environ.get(RANGE) == 'LOCALHOST':  # for which rmw_fastrtps adds shared memory
        profile = profile.with_name('fastdds_interface.xml')
        changes = {RANGE: 'SYSTEM_DEFAULT', INTERFACE: 'lo'}
    without = profile.with_stem(f'{profile.stem}_udp')
    if without.is_file():
        os.environ |= {PROFILES: str(without), **changes}
