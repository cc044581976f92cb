"""What the console makes of what it heard: the time line, measures, plots, pictures, meshes."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pinocchio
import pytest
from dit4dit_msgs.msg import EpisodeStatus, PolicyStatus, SafetyStatus

from g1_console.snapshot import Diagnostic
from g1_console.web.budgets import Budgets
from g1_console.web.event_log import EventLog
from g1_console.web.joint_plots import JointPlots
from g1_console.web.meshes import joint_meshes, simplified
from g1_console.web.mosaic import mosaic
from g1_console.web.panels import (
    measures_html,
    policy_html,
    recorder_html,
    safety_html,
    timeline_html,
)
from g1_description import load_robot
from g1_description.urdf import urdf


def safety(mode: int, text: str, **fields: object) -> SafetyStatus:
    return SafetyStatus(mode=mode, text=text, **fields)


def test_the_time_line_tells_changes_once():
    timeline = EventLog()
    for _ in range(3):
        nobody = {'control_source': SafetyStatus.CONTROL_NOBODY}
        timeline.safety(1.0, safety(SafetyStatus.DISARMED, 'DISARMED: nobody armed yet', **nobody))
    for time, rejected in ((2.0, 0), (3.0, 1), (4.0, 1)):
        refused = safety(
            SafetyStatus.HOLD,
            'HOLD: the last chunk ran out',
            reason=SafetyStatus.CHUNK_EXPIRED,
            control_source=SafetyStatus.CONTROL_OPERATOR,
            limiting_joint='left_elbow_joint',
            chunks_rejected=rejected,
            rejection_text='too fast',
        )
        timeline.safety(time, refused)
    assert [(e.time, e.weight, e.text) for e in timeline.events] == [
        (1.0, 'info', 'DISARMED: nobody armed yet'),
        (1.0, 'info', 'nobody has the arms'),
        (2.0, 'warning', 'HOLD: the last chunk ran out'),
        (2.0, 'warning', 'the operator has the arms'),
        (3.0, 'warning', 'a chunk was rejected: too fast'),
    ]
    assert '0 targets clamped, last at left_elbow_joint' in safety_html(refused)
    assert timeline_html(timeline).index('too fast') < timeline_html(timeline).index('DISARMED')


def test_an_age_that_grows_is_told_once():
    timeline = EventLog()
    for age in ('0.21', '0.45'):
        text = f'the newest image is {age} s old'
        timeline.policy(1.0, PolicyStatus(state=PolicyStatus.WAITING, text=text))
    assert [e.text for e in timeline.events] == ['the newest image is 0.21 s old']


def test_a_fault_that_goes_is_told_too():
    timeline = EventLog()
    for text in ('', 'overloaded', 'overloaded', ''):
        timeline.fault(1.0, 'left gripper', text)
    assert [e.text for e in timeline.events] == ['overloaded', 'well again']


def test_a_task_that_goes_unlike_others_is_a_warning_once():
    timeline = EventLog()
    for surprise in (0.3, 0.6, 0.61):
        odd = f' (unlike others: {surprise})' if surprise > 0.5 else ''
        status = PolicyStatus(
            state=PolicyStatus.RUNNING, text=f'making chunks{odd}',
            surprise=surprise, surprise_limit=0.5,
        )  # fmt: skip
        timeline.policy(1.0, status)
        assert f'surprise <b style="color:#{"e67700" if odd else "2f9e44"}">' in policy_html(status)
    assert [(e.weight, e.text) for e in timeline.events] == [
        ('info', 'making chunks'),
        ('warning', 'making chunks (unlike others: 0.6)'),
    ]
    unknown = PolicyStatus(state=PolicyStatus.RUNNING, surprise=0.3, surprise_limit=-1.0)
    assert 'surprise' not in policy_html(unknown)


def test_what_others_wrote_is_text_not_html():
    status = PolicyStatus(state=PolicyStatus.RUNNING, text='<script>', model_id='<b>')
    assert '<script>' not in policy_html(status)
    assert '&lt;script&gt;' in policy_html(status)
    assert 'UNTRAINED' in policy_html(status)


def test_the_recorder_says_episode_count_and_losses():
    status = EpisodeStatus(
        state=EpisodeStatus.RECORDING,
        episode_index=7,
        episodes_saved=7,
        episodes_goal=200,
        frames=90,
        frames_dropped=2,
        duration=9.0,
        outcome='failure',
        text='no images of head',
    )
    shown = recorder_html(status)
    for words in (
        'episode 7',
        '7 of 200',
        '90 frames',
        '2 dropped',
        'so far a failure',
        'no images',
    ):
        assert words in shown


def test_what_is_beyond_its_budget_is_red():
    said = {'rate': '250.1', 'jitter_p99_ms': '5.2'}
    picture = SimpleNamespace(stamp=9_900_000_000, meter=SimpleNamespace(rate=lambda: 14.0))
    system: Any = SimpleNamespace(
        diagnostics={'control_node: control': Diagnostic('', said)},
        safety=SafetyStatus(lowstate_age=0.06, watchdog_age=-1.0, chunk_age=-1.0),
        policy=PolicyStatus(image_age=0.1, chunks=1, rate=4.2, inference_time=0.05),
        pictures={'head': picture},
    )
    measures = list(Budgets().measures(system, {'head': 0.1}, 10.0))
    assert [(m.name.strip(), m.value, m.budget, m.good) for m in measures] == [
        ('control loop', '250 Hz', '250 Hz', True),
        ('99 % late by less than', '5.2 ms', '4 ms', False),
        ('/lowstate', '60 ms', '50 ms', False),
        ('watchdog', 'never', '500 ms', False),
        ('image at the policy', '100 ms', '200 ms', True),
        ('chunks', '4.2 /s', '', True),
        ('inference', '50 ms', '', True),
        ('camera head', '14 Hz', '15 Hz', True),
        ('to the browser', '100 ms', '133 ms', True),
    ]
    assert measures_html(measures).count('#e03131') == 3
    assert not list(Budgets().measures(system, {}, 20.0))[-1].good  # the camera has stopped


def test_plots_show_both_lines_and_bear_what_is_unknown():
    robot = load_robot()
    plots = JointPlots(robot, rate=5.0)
    assert 'no joint states' in plots.html()
    unknown = np.full(16, np.nan)
    plots.add(unknown, unknown)
    assert '<polyline' not in plots.html()
    for k in range(100):
        plots.add(robot.home + 0.01 * k, robot.home)
    shown = plots.html()
    assert shown.count('class="m"') == shown.count('class="c"') == 16
    assert 'L elbow' in shown and 'R gripper' in shown
    longest = max(len(part.split('"')[0].split()) for part in shown.split('points="')[1:])
    assert longest == 2 * 50  # the last ten seconds, x and y


@pytest.mark.parametrize('count, size', [(1, (240, 320)), (2, (240, 480)), (3, (240, 480))])
def test_cameras_become_one_picture(count, size):
    images = [np.full((480, 640, 3), 40 * k, np.uint8) for k in range(count)]
    picture = mosaic(images)
    assert picture.shape == (*size, 3)
    assert picture[120, 160, 0] == 0
    if count == 3:
        assert (picture[60, 400, 0], picture[180, 400, 0]) == (40, 80)


def test_the_mesh_of_every_link_stays_its_shape_and_becomes_small():
    model = pinocchio.buildModelFromXML(urdf())
    meshes = joint_meshes(model)
    assert sum(len(mesh.faces) for mesh in meshes) < 80_000
    arms = {model.getJointId(name) for name in load_robot().arm_joints}
    assert arms <= {mesh.joint for mesh in meshes}
    for mesh in meshes:
        assert mesh.faces.max() < len(mesh.vertices)
        assert np.abs(mesh.vertices).max() < 0.7  # no link is longer


def test_vertices_in_one_cell_become_one():
    vertices = np.array([[0.001, 0.0, 0.0], [0.002, 0.001, 0.0], [0.1, 0.0, 0.0], [0.0, 0.1, 0.0]])
    faces = np.array([[0, 2, 3], [0, 1, 2]], np.uint32)
    smaller, kept = simplified(vertices, faces)
    assert len(smaller) == 3
    assert len(kept) == 1
