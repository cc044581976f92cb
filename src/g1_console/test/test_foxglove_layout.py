"""config/foxglove.json is a layout of our topics: panels are placed, paths lead somewhere."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from dit4dit_msgs.msg import EpisodeStatus, PolicyStatus, SafetyStatus
from sensor_msgs.msg import JointState
from unitree_hg.msg import LowCmd

from g1_console.web.requests import SERVICES
from g1_description import load_robot
from g1_ros.config import config_path

LAYOUT: dict[str, Any] = json.loads(config_path('foxglove.json').read_text())
PANELS: dict[str, Any] = LAYOUT['configById']
ROBOT = load_robot()
#: What is recorded or sent, by topic; sequences whose length the message does not say.
KINDS = {
    '/arm_sdk': LowCmd,
    '/joint_states': JointState,
    '/control/safety_status': SafetyStatus,
    '/policy/status': PolicyStatus,
    '/recorder/status': EpisodeStatus,
    '/diagnostics': DiagnosticArray,
    **{
        f'/{side}_gripper/{what}': JointState
        for side in ('left', 'right')
        for what in ('command', 'state')
    },
}


def leaves(layout: Any) -> Iterator[str]:
    """The panels of a layout; every other part of it is a split of two."""
    if isinstance(layout, str):
        yield layout
        return
    assert layout['direction'] in ('row', 'column')
    assert 0 < layout['splitPercentage'] < 100
    yield from leaves(layout['first'])
    yield from leaves(layout['second'])


def paths() -> list[str]:
    return [path['value'] for panel in PANELS.values() for path in panel.get('paths', [])]


def test_it_has_what_foxglove_asks_for_and_every_panel_is_placed_once():
    assert set(LAYOUT) == {'configById', 'globalVariables', 'userNodes', 'playbackConfig', 'layout'}
    placed = list(leaves(LAYOUT['layout']))
    assert sorted(placed) == sorted(PANELS)
    kinds = {name.partition('!')[0] for name in PANELS}
    assert kinds == {'3D', 'Image', 'Plot', 'StateTransitions', 'DiagnosticSummary', 'CallService'}


@pytest.mark.parametrize('path', paths())
def test_a_path_leads_to_a_field(path):
    topic, _, fields = path.partition('.')
    kind = KINDS[topic]
    types = kind.get_fields_and_field_types()
    first, *rest = re.split(r'[.\[\]]+', fields.rstrip(']'))
    assert first in types
    if first == 'motor_cmd':
        assert rest[1:] == ['q']
        assert hasattr(LowCmd().motor_cmd[int(rest[0])], 'q')


def test_both_lines_of_a_joint_are_of_that_joint():
    joints = {joint.motor: joint.name for joint in ROBOT.joints}
    for panel in PANELS.values():
        for path in panel.get('paths', []):
            if found := re.search(r'(?:motor_cmd|joint_states\.position)\[(\d+)\]', path['value']):
                motor = int(found[1])
                assert path['label'].split()[0] in joints[motor]
                assert ROBOT.state_joints[motor] == joints[motor]


def test_cameras_and_the_emergency_stop_are_those_of_the_robot():
    images = [panel['imageMode'] for name, panel in PANELS.items() if name.startswith('Image!')]
    topics = {f'/{camera.topic}/image_raw' for camera in ROBOT.embodiment.cameras.values()}
    assert {image['imageTopic'] for image in images} == topics
    assert PANELS['CallService!estop']['serviceName'] == '/' + SERVICES['e-stop'][0]
