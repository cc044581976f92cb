"""`sim.launch.py`."""

from __future__ import annotations

from g1_bringup.system import System
from g1_bringup.systems.cameras import CAMERAS
from g1_bringup.systems.robot_side import SEED, SIM_LOG, SIM_NODE, check_task, task_argument


def describe() -> System:
    """The simulator alone."""
    return System(
        'sim',
        'The simulated robot alone.',
        arguments=(task_argument(), SEED, CAMERAS, SIM_LOG),
        nodes=(SIM_NODE,),
        checks=(check_task,),
    )
