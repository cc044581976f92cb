"""The launch files under the real `ros2 launch`, where there is one."""

import shutil
import subprocess
import time

import pytest

from g1_bringup.commands import show_arguments
from g1_bringup.systems import systems
from g1_test_support.processes import Program

if shutil.which('ros2') is None:
    pytest.skip('ros2 launch is not installed here', allow_module_level=True)


def ros2_launch(*words, timeout=60):
    return subprocess.run(
        ['ros2', 'launch', 'g1_bringup', *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.mark.parametrize('name', sorted(systems()))
def test_g1_launch_shows_the_arguments_word_for_word_as_ros2_launch(name):
    shown = ros2_launch(f'{name}.launch.py', '--show-args')
    assert shown.stdout == show_arguments(systems()[name]) + '\n'


@pytest.mark.parametrize(
    ('words', 'named'),
    [
        (['policy.launch.py', 'task:=nonsense'], 'arrange_flower'),
        (['sim.launch.py', 'sede:=3'], 'task, seed, sim_log'),
        (['sim.launch.py', 'seed:=-3'], 'a whole number from 0'),
    ],
)
def test_ros2_launch_refuses_the_same_before_anything_starts(words, named):
    refused = ros2_launch(*words)
    assert refused.returncode != 0
    assert named in refused.stderr + refused.stdout
    assert 'process started' not in refused.stderr + refused.stdout


def test_ros2_launch_starts_the_nodes_and_stops_them(ros_domain):
    with Program(['ros2', 'launch', 'g1_bringup', 'sim.launch.py', 'seed:=3']) as launched:
        launched.wait_for('seed 3: the scene is up')
        began = time.monotonic()
        launched.interrupt()
        assert time.monotonic() - began < 5
    assert 'process has finished cleanly' in launched.output
