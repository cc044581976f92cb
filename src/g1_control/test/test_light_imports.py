"""The processes that move the arms load no simulator, no networks and no plots."""

import subprocess
import sys

import pytest

#: What each process of the control side must not load.
HEAVY = ('mujoco', 'torch', 'matplotlib', 'diffusers', 'transformers')


@pytest.mark.parametrize(
    ('node', 'forbidden'),
    [('control_node', HEAVY), ('gripper_node', HEAVY), ('watchdog', (*HEAVY, 'numpy'))],
)
def test_a_node_of_control_loads_only_what_it_needs(node, forbidden):
    program = (
        f'import sys, g1_control.nodes.{node}; '
        f'print(*(name for name in {forbidden} if name in sys.modules))'
    )
    result = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []
