"""The robot as URDF, made from the 29-DoF URDF of example-robot-data.

The G1's own hands come off, an ALOHA 2 gripper goes on each wrist, the head gets the cameras'
frames, and simple shapes take the place of collision meshes.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import cache
from importlib.metadata import files
from math import pi
from pathlib import Path
from typing import NamedTuple

from g1_description.robot import SIDES, load_robot


class Shape(NamedTuple):
    """A box (x, y, z edges) or a cylinder (radius, length) along z, placed in its link [m, rad]."""

    size: tuple[float, ...]
    xyz: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rpy: tuple[float, float, float] = (0.0, 0.0, 0.0)


_ALONG_X = (0.0, pi / 2, 0.0)

#: What may touch: trunk, arms and grippers. Legs stand still behind the table and need no shapes.
_BODY_SHAPES = {
    'torso_link': Shape((0.14, 0.19, 0.30), (0.006, 0.0, 0.15)),
    'head_link': Shape((0.075, 0.21), (0.004, 0.0, 0.43)),
}
_ARM_SHAPES = {
    'shoulder_yaw_link': Shape((0.036, 0.16), (0.008, 0.0, -0.045)),
    'elbow_link': Shape((0.032, 0.16), (0.035, 0.0, -0.005), _ALONG_X),
    'wrist_pitch_link': Shape((0.028, 0.13), (0.035, 0.0, 0.0), _ALONG_X),
}

# ALOHA 2 gripper, in the frame of its mount on the wrist: x out of the fingers, y where they close.
_MOUNT = (0.0415, 0.0, 0.0)  # where the G1's hand sat on wrist_yaw_link
_BODY = Shape((0.06, 0.112, 0.045), (0.03, 0.0, 0.0))
_BODY_MASS = 0.27
_RAIL = (0.06, 0.0, 0.0)  # where the fingers slide
_FINGER_SIZE = (0.062, 0.012, 0.02)  # pad: 2 cm wide, the outer 4 cm of the finger
_FINGER_MASS = 0.04
_GRASP = (0.102, 0.0, 0.0)  # centre of the closed pads

_GRIPPER_COLOUR = (0.12, 0.12, 0.13)
_PAD_COLOUR = (0.30, 0.30, 0.32)


@cache
def urdf() -> str:
    """The robot as URDF text; meshes by file:// URL.

    Root link: pelvis. Grasp frames `{left,right}_grasp`: centre of the closed pads, x out of the
    fingers, y the closing direction. Each gripper's second finger mimics the first.
    """
    robot = ET.fromstring(_source().read_text())
    robot.set('name', 'g1_aloha2')
    for side in SIDES:
        _remove(robot, 'link', f'{side}_rubber_hand')
        _remove(robot, 'joint', f'{side}_hand_palm_joint')
        _add_gripper(robot, side)
    _add_cameras(robot)
    _simplify_collisions(robot)
    for mesh in robot.iter('mesh'):
        name = Path(mesh.get('filename', '')).name
        mesh.set('filename', (mesh_folder() / name).as_uri())
    ET.indent(robot)
    return ET.tostring(robot, encoding='unicode')


def robot_description() -> str:
    """The same for robot_state_publisher and whoever listens to it, on any machine.

    Meshes are package://g1_description/meshes/..., where set-up installs them; the root link has no
    inertia, which KDL would warn of and nobody asks for.
    """
    robot = ET.fromstring(urdf())
    for mesh in robot.iter('mesh'):
        name = Path(mesh.get('filename', '')).name
        mesh.set('filename', f'package://g1_description/meshes/{name}')
    children = {joint.find('child').get('link') for joint in robot.findall('joint')}  # type: ignore[union-attr]
    for link in robot.findall('link'):
        inertial = link.find('inertial')
        if link.get('name') not in children and inertial is not None:
            link.remove(inertial)
    return ET.tostring(robot, encoding='unicode')


_EXPECTED = 'expected that of example-robot-data 6.0.0; run scripts/setup.sh'


@cache
def _source() -> Path:
    """The URDF file that example-robot-data installed."""
    for file in files('example-robot-data') or ():
        if file.name == 'g1_29dof_rev_1_0.urdf':
            return Path(str(file.locate()))
    raise FileNotFoundError(
        'g1_29dof_rev_1_0.urdf is not in the Python package example-robot-data; '
        'run scripts/setup.sh, which installs version 6.0.0'
    )


def mesh_folder() -> Path:
    """Where example-robot-data installed the meshes (STL)."""
    return _source().parent.parent / 'meshes'


def _remove(robot: ET.Element, tag: str, name: str) -> None:
    for element in robot.findall(tag):
        if element.get('name') == name:
            robot.remove(element)
            return
    raise ValueError(f'{_source()} has no {tag} {name}; {_EXPECTED}')


def _add_gripper(robot: ET.Element, side: str) -> None:
    facts = load_robot()
    body = f'{side}_gripper_link'
    link = _add_link(robot, body, f'{side}_wrist_yaw_link', _MOUNT)
    _add_inertia(link, _BODY_MASS, _BODY)
    _add_shape(link, 'visual', _BODY, _GRIPPER_COLOUR)
    _add_shape(link, 'collision', _BODY)
    for name, sign in (('gripper', 1.0), ('gripper_mirror', -1.0)):
        finger = ET.SubElement(robot, 'link', name=f'{side}_{name}_finger_link')
        shape = Shape(_FINGER_SIZE, (_FINGER_SIZE[0] / 2, sign * _FINGER_SIZE[1] / 2, 0.0))
        _add_inertia(finger, _FINGER_MASS, shape)
        _add_shape(finger, 'visual', shape, _PAD_COLOUR)
        _add_shape(finger, 'collision', shape)
        joint = ET.SubElement(robot, 'joint', name=f'{side}_{name}_joint', type='prismatic')
        ET.SubElement(joint, 'origin', xyz=_text(_RAIL), rpy='0 0 0')
        ET.SubElement(joint, 'parent', link=body)
        ET.SubElement(joint, 'child', link=f'{side}_{name}_finger_link')
        ET.SubElement(joint, 'axis', xyz=_text((0.0, sign, 0.0)))
        ET.SubElement(
            joint,
            'limit',
            lower='0',
            upper=str(facts.gripper_stroke),
            effort=str(facts.gripper_effort),
            velocity='0.5',
        )
        if sign < 0:
            ET.SubElement(joint, 'mimic', joint=f'{side}_gripper_joint')
    _add_link(robot, f'{side}_grasp', body, _GRASP)


def _add_cameras(robot: ET.Element) -> None:
    for camera in load_robot().embodiment.cameras.values():
        if camera.mount is not None:
            body = camera.frame.replace('_optical_frame', '_frame')
            _add_link(robot, body, camera.mount.link, camera.mount.position, camera.mount.rpy)
            _add_link(robot, camera.frame, body, (0.0, 0.0, 0.0), (-pi / 2, 0.0, -pi / 2))


def _simplify_collisions(robot: ET.Element) -> None:
    shapes = dict(_BODY_SHAPES)
    for side in SIDES:
        shapes.update({f'{side}_{name}': shape for name, shape in _ARM_SHAPES.items()})
    for link in robot.findall('link'):
        name = link.get('name', '')
        if 'gripper' in name:
            continue
        for collision in link.findall('collision'):
            link.remove(collision)
        if name in shapes:
            _add_shape(link, 'collision', shapes.pop(name))
    if shapes:
        raise ValueError(f'{_source()} has no link {", ".join(shapes)}; {_EXPECTED}')


def _add_link(
    robot: ET.Element,
    name: str,
    parent: str,
    xyz: tuple[float, ...],
    rpy: tuple[float, ...] = (0.0, 0.0, 0.0),
) -> ET.Element:
    """A link fixed to `parent`."""
    joint = ET.SubElement(robot, 'joint', name=f'{name}_joint', type='fixed')
    ET.SubElement(joint, 'origin', xyz=_text(xyz), rpy=_text(rpy))
    ET.SubElement(joint, 'parent', link=parent)
    ET.SubElement(joint, 'child', link=name)
    return ET.SubElement(robot, 'link', name=name)


def _add_inertia(link: ET.Element, mass: float, box: Shape) -> None:
    inertial = ET.SubElement(link, 'inertial')
    ET.SubElement(inertial, 'origin', xyz=_text(box.xyz), rpy='0 0 0')
    ET.SubElement(inertial, 'mass', value=str(mass))
    x, y, z = (edge**2 for edge in box.size)
    diagonal = {'ixx': y + z, 'iyy': x + z, 'izz': x + y}
    values = {key: str(mass * value / 12) for key, value in diagonal.items()}
    ET.SubElement(inertial, 'inertia', values | {'ixy': '0', 'ixz': '0', 'iyz': '0'})


def _add_shape(
    link: ET.Element, tag: str, shape: Shape, colour: tuple[float, ...] | None = None
) -> None:
    element = ET.SubElement(link, tag)
    ET.SubElement(element, 'origin', xyz=_text(shape.xyz), rpy=_text(shape.rpy))
    geometry = ET.SubElement(element, 'geometry')
    if len(shape.size) == 3:
        ET.SubElement(geometry, 'box', size=_text(shape.size))
    else:
        radius, length = shape.size
        ET.SubElement(geometry, 'cylinder', radius=str(radius), length=str(length))
    if colour:
        material = ET.SubElement(element, 'material', name=f'rgb{_text(colour)}'.replace(' ', '_'))
        ET.SubElement(material, 'color', rgba=_text((*colour, 1.0)))


def _text(values: tuple[float, ...]) -> str:
    return ' '.join(f'{value:g}' if abs(value) < 1e-12 else repr(value) for value in values)
