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
        ({'MUJOCO_GL': 'glfw'}, 'there is none; set MUJOCO_GL=egl'),
        ({'MUJOCO_GL': 'vulkan'}, 'expected one of egl, glfw, osmesa'),
    ],
)
def test_what_cannot_draw_here_is_named_with_the_remedy(environment, named):
    assert named in rendering_problem(environment, lambda _: None)


@pytest.mark.parametrize(
    'environment', [{}, {'MUJOCO_GL': 'egl'}, {'MUJOCO_GL': 'glfw', 'DISPLAY': ':0'}]
)
def test_what_can_draw_passes(environment):
    assert rendering_problem(environment) == ''


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
