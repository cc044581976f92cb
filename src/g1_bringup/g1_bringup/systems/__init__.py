"""One description a launch file: `policy.py` is what `policy.launch.py` starts."""

from __future__ import annotations

from functools import cache

from g1_bringup.system import ArgumentError, System
from g1_bringup.systems import policy, robot, rviz, sim, teleop_record
from g1_bringup.systems.everywhere import with_common_arguments


@cache
def systems() -> dict[str, System]:
    """The systems by name; the launch file of each is `NAME.launch.py`."""
    modules = (policy, teleop_record, sim, robot, rviz)
    described = [with_common_arguments(module.describe()) for module in modules]
    return {system.name: system for system in described}


def find(file: str) -> System:
    """The system that the launch file of this name starts; ArgumentError where there is none."""
    files = {f'{name}.launch.py': system for name, system in systems().items()}
    if file not in files:
        raise ArgumentError(f'no launch file {file!r}; choose one of: {", ".join(files)}')
    return files[file]
