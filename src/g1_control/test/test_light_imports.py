"""The processes that move the arms load nothing that they do not need."""

import subprocess
import sys

import pytest

HEAVY = ('mujoco', 'torch', 'matplotlib', 'diffusers', 'transformers')


@pytest.mark.parametrize('node', ['control_node', 'gripper_node'])
def test_a_node_of_control_loads_no_simulator_no_networks_and_no_plots(node):
    program = (
        f'import sys, g1_control.nodes.{node}; '
        f'print(*(name for name in {HEAVY} if name in sys.modules))'
    )
    result = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []
