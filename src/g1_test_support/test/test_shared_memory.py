"""Shared memory of nodes that were killed is given back, that of others is left alone."""

from pathlib import Path

import pytest

from g1_test_support.processes import Program, python
from g1_test_support.shared_memory import MEMORY, remove_abandoned_segments

NODE = """
import rclpy, time
rclpy.init()
node = rclpy.create_node('somebody')
print('up', flush=True)
time.sleep(60)
"""


def segments(program: Program) -> set[str]:
    """Names of the segments of a process, by the locks it holds."""
    opened = (fd.resolve().name for fd in Path(f'/proc/{program.process.pid}/fd').iterdir())
    locks = {name for name in opened if name.startswith('fastrtps_') and '_port' not in name}
    return locks | {name.removesuffix('_el') for name in locks}


def test_what_a_killed_node_had_is_removed_and_what_a_living_one_has_stays():
    with Program(python(NODE)) as living, Program(python(NODE)) as killed:
        living.wait_for('up')
        killed.wait_for('up')
        kept, left = segments(living), segments(killed)
        if not left:
            pytest.skip('the middleware here shares no memory')
        killed.kill()
        remove_abandoned_segments(age=0.0)
        there = {path.name for path in MEMORY.iterdir()}
        assert kept <= there
        assert not left & there
