"""The camera's picture over the simulated one."""

import numpy as np
import pytest
from PIL import Image

from g1_description import load_robot
from g1_sim.nodes.camera_command import main
from g1_sim.overlay import overlay, simulated_view

RED = (255, 40, 40)


@pytest.fixture(scope='module')
def view():
    return simulated_view('arrange_flower', {})


def test_a_camera_that_is_where_it_should_be_shows_the_same_twice(view):
    left, right = np.split(overlay(view, view), 2, axis=1)
    np.testing.assert_array_equal(left, view)
    red = (right == RED).all(axis=2)
    assert 0.005 < red.mean() < 0.2  # outlines, and not everything
    np.testing.assert_array_equal(right[~red], view[~red])


def test_outlines_are_where_the_simulated_camera_sees_them(view):
    dark = np.zeros_like(view)
    moved = simulated_view('arrange_flower', dict.fromkeys(load_robot().arm_joints, 0.0))
    outlines = [(overlay(dark, v)[:, view.shape[1] :] == RED).all(axis=2) for v in (view, moved)]
    assert (outlines[0] != outlines[1]).mean() > 0.01  # the arms are elsewhere


def test_the_command_takes_a_picture(view, tmp_path, capsys):
    Image.fromarray(view).resize((320, 240)).save(tmp_path / 'photo.png')
    out = tmp_path / 'new' / 'overlay.png'
    words = ['overlay', '--picture', str(tmp_path / 'photo.png'), '--out', str(out)]
    assert main(words) == 0
    assert Image.open(out).size == (2 * view.shape[1], view.shape[0])
    assert f'{out}: the robot in its built-in posture' in capsys.readouterr().out
