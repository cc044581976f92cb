"""A simulator that cannot draw says so in one sentence."""

import os
import subprocess
import sys

import pytest

from g1_sim.rendering import rendering_problem


@pytest.mark.parametrize(
    ('environment', 'named'),
    [
        ({'MUJOCO_GL': 'osmesa'}, 'libosmesa6'),
        ({'MUJOCO_GL': 'egl'}, 'sudo apt-get install libegl1 libgl1-mesa-dri'),
        ({'MUJOCO_GL': 'glfw'}, 'there is none; set MUJOCO_GL=egl'),
        ({'MUJOCO_GL': 'vulkan'}, 'expected one of egl, glfw, osmesa'),
    ],
)
def test_what_cannot_draw_here_is_named_with_the_remedy(environment, named):
    assert named in rendering_problem(environment, lambda _: False)


@pytest.mark.parametrize(
    'environment', [{}, {'MUJOCO_GL': 'egl'}, {'MUJOCO_GL': 'glfw', 'DISPLAY': ':0'}]
)
def test_what_can_draw_passes(environment):
    assert rendering_problem(environment, lambda _: True) == ''


def test_sim_node_ends_with_one_sentence():
    environment = {k: v for k, v in os.environ.items() if 'DISPLAY' not in k}
    done = subprocess.run(
        [sys.executable, '-m', 'g1_sim.nodes.sim_node'],
        env={**environment, 'MUJOCO_GL': 'glfw'},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.count('\n') == 1
    assert 'set MUJOCO_GL=egl' in done.stderr


APT = 'sudo apt-get install libegl1 libgl1-mesa-dri'
EXPERT = 'import sys; from g1_console.cli import main; sys.exit(main())'
WITHOUT_A_DEVICE = {
    'sim_node': ['-m', 'g1_sim.nodes.sim_node'],
    'expert': ['-c', EXPERT, 'expert', 'pick_and_place', '--episodes', '1', '--out', 'set'],
    'environment': ['-c', "from g1_sim.environment import make; make(('head',), 0.15)"],
}


@pytest.mark.parametrize('name', WITHOUT_A_DEVICE)
def test_without_a_device_to_draw_with_it_ends_at_once_and_says_what_to_install(name, tmp_path):
    drivers = tmp_path / 'drivers'
    drivers.mkdir()
    done = subprocess.run(
        [sys.executable, *WITHOUT_A_DEVICE[name]],
        cwd=tmp_path,
        env={**os.environ, 'MUJOCO_GL': 'egl', '__EGL_VENDOR_LIBRARY_DIRS': str(drivers)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert APT in done.stderr
    if name != 'environment':
        assert 'Traceback' not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ['drivers']
