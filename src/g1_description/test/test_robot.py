"""embodiments/g1_aloha.yaml is the robot of the vendor's URDF, and mistakes in it are named."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import yaml

from g1_description import load_robot
from g1_description.embodiment import embodiment_path
from g1_description.urdf import urdf


def elbow(content):
    return content['hardware']['joints']['left_elbow_joint']


ARM_LIMITS = {  # left arm, from the vendor's URDF
    'shoulder_pitch': (-3.0892, 2.6704),
    'shoulder_roll': (-1.5882, 2.2515),
    'shoulder_yaw': (-2.618, 2.618),
    'elbow': (-1.0472, 2.0944),
    'wrist_roll': (-1.97222, 1.97222),
    'wrist_pitch': (-1.61443, 1.61443),
    'wrist_yaw': (-1.61443, 1.61443),
}


def test_body_joints_are_those_of_the_urdf_in_its_order():
    limits = {}
    for element in ET.fromstring(urdf()).findall('joint'):
        if element.get('type') == 'revolute':
            limits[element.get('name')] = {
                key: float(value) for key, value in element.find('limit').attrib.items()
            }
    robot = load_robot()
    assert [joint.name for joint in robot.joints] == list(limits)
    assert [joint.motor for joint in robot.joints] == list(range(29))
    for joint in robot.joints:
        for key, value in limits[joint.name].items():
            assert getattr(joint, key) == pytest.approx(value, abs=1e-5), (joint.name, key)


def test_arm_limits_and_their_mirror():
    robot = load_robot()
    for left, right, (part, (lower, upper)) in zip(
        robot.arms[:7], robot.arms[7:], ARM_LIMITS.items(), strict=True
    ):
        assert left.name == f'left_{part}_joint'
        assert right.name == f'right_{part}_joint'
        assert (left.lower, left.upper) == pytest.approx((lower, upper))
        mirrored = (-upper, -lower) if 'roll' in part else (lower, upper)
        assert (right.lower, right.upper) == pytest.approx(mirrored)


def test_chunk_is_left_arm_right_arm_left_gripper_right_gripper():
    robot = load_robot()
    assert len(robot.action_joints) == 16
    assert [joint.motor for joint in robot.arms] == list(range(15, 29))
    assert robot.action_joints[14:] == ('left_gripper_joint', 'right_gripper_joint')
    assert len(robot.state_joints) == 31
    assert robot.state_joints[15:29] == robot.arm_joints
    assert np.all(robot.action_lower <= robot.home)
    assert np.all(robot.home <= robot.action_upper)
    assert robot.action_upper[14:] == pytest.approx([0.041, 0.041])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda c: elbow(c).pop('kp'),
            'left_elbow_joint.*missing: kp',
        ),
        (lambda c: c['cameras']['head'].update(zoom=2), 'head.*unknown: zoom'),
        (
            lambda c: c['cameras']['head'].update(crop=[140, 0, 344, 640]),
            r'crop of camera head.*within 480 x 640, got \(140',
        ),
        (lambda c: c['cameras']['head'].update(crop=[0, 0, 640]), r'head: expected \(top, left'),
        (lambda c: c['cameras']['head'].update(crop=5), r'head: expected \(top, left.*got 5'),
        (
            lambda c: elbow(c).update(motor=3),
            'expected motor 18.*got 3',
        ),
        (
            lambda c: elbow(c).update(home=3.0),
            'left_elbow.*home.*got 3.0',
        ),
        (
            lambda c: c['groups']['left_arm']['joints'].append('tail_joint'),
            'tail_joint not listed under',
        ),
        (lambda c: c['hardware'].pop('gripper'), 'missing: gripper'),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path, change, message):
    content = yaml.safe_load(embodiment_path('g1_aloha').read_text())
    change(content)
    path = tmp_path / 'g1.yaml'
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(ValueError, match=message) as raised:
        load_robot(path)
    assert str(path) in str(raised.value)
