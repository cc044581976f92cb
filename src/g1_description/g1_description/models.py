"""The robot as URDF and as MuJoCo model, both made from the 29-DoF URDF of example-robot-data.

The G1's own hands come off, an ALOHA 2 gripper goes on each wrist, the head gets the D435i's colour
frames, and simple shapes take the place of collision meshes. MuJoCo reads that same URDF; what URDF
cannot say (motors, contact, camera) is added to its spec.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import cache
from importlib.metadata import files
from math import pi
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from g1_description.meshes import cluster_vertices, read_stl
from g1_description.robot import load_robot

SIDES = ('left', 'right')
TIMESTEP = 0.002


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
    """The robot as URDF text, for robot_state_publisher, rviz and pinocchio; meshes by file:// URL.

    Root link: pelvis. Grasp frames `{left,right}_grasp`: centre of the closed pads, x out of the
    fingers, y the closing direction. Each gripper's second finger mimics the first.
    """
    robot = ET.fromstring(_source().read_text())
    robot.set('name', 'g1_aloha2')
    for side in SIDES:
        _remove(robot, 'link', f'{side}_rubber_hand')
        _remove(robot, 'joint', f'{side}_hand_palm_joint')
        _add_gripper(robot, side)
    _add_camera(robot)
    _simplify_collisions(robot)
    for mesh in robot.iter('mesh'):
        name = Path(mesh.get('filename', '')).name
        mesh.set('filename', (_mesh_folder() / name).as_uri())
    ET.indent(robot)
    return ET.tostring(robot, encoding='unicode')


def mujoco_spec() -> mujoco.MjSpec:
    """The robot alone, pelvis fixed at standing height; a task adds its scene and compiles.

    Joints are named as `load_robot().state_joints`; the second finger of a gripper is
    `{side}_gripper_mirror_joint`, kept equal to the first. Actuators, under the joint's name: a
    torque [N m] for each body joint, a position [m] for each gripper. Camera `head`, sites
    `{left,right}_grasp`. Geoms: group 2 is what is seen, group 3 what may touch.
    """
    compiler = '<compiler discardvisual="false" fusestatic="false" strippath="true"/>'
    spec = mujoco.MjSpec.from_string(
        urdf().replace('</robot>', f'<mujoco>{compiler}</mujoco></robot>')
    )
    spec.modelname = 'g1_aloha2'
    spec.body('pelvis').pos = (0.0, 0.0, load_robot().pelvis_height)
    _set_options(spec)
    _set_meshes(spec)
    _set_geoms(spec)
    _set_joints(spec)
    _add_actuators(spec)
    _add_camera_and_sites(spec)
    return spec


# URDF

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


def _mesh_folder() -> Path:
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


def _add_camera(robot: ET.Element) -> None:
    camera = load_robot().camera
    _add_link(robot, 'camera_color_frame', 'd435_link', camera.position)
    _add_link(robot, camera.frame, 'camera_color_frame', (0.0, 0.0, 0.0), (-pi / 2, 0.0, -pi / 2))


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


# MuJoCo

# Contact: a geom touches another when the type of one is in the affinity of the other. Trunk and
# scene touch everything, an arm everything but itself.
_SCENE, _ARM = 1, {'left': 2, 'right': 4}
_ALL = 7

# Detail kept of meshes [m]: coarser where the head camera never looks.
_CELL, _UNSEEN_CELL = 0.008, 0.015
_UNSEEN = ('hip', 'knee', 'ankle', 'pelvis', 'logo')

# A gripper's drive: stiff enough to press with its whole force from a few millimetres on, damped so
# that it closes from fully open in about a quarter of a second. [N/m, N s/m, kg]
_GRIPPER_KP, _GRIPPER_DAMPING, _GRIPPER_ARMATURE = 4000.0, 60.0, 0.03


def _set_options(spec: mujoco.MjSpec) -> None:
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1280, 960
    spec.visual.quality.offsamples = 0
    spec.visual.quality.shadowsize = 0


def _set_meshes(spec: mujoco.MjSpec) -> None:
    """Gives meshes reduced triangles in memory: MuJoCo reads no file, and a CPU can draw them."""
    for mesh in spec.meshes:
        name = Path(mesh.file).name
        unseen = any(part in name for part in _UNSEEN)
        vertices, faces = _reduced(_mesh_folder() / name, _UNSEEN_CELL if unseen else _CELL)
        mesh.file = ''
        mesh.uservert = vertices.ravel()
        mesh.userface = faces.ravel()
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # reduced meshes are not closed


@cache
def _reduced(path: Path, cell: float) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    return cluster_vertices(read_stl(path), cell)


def _set_geoms(spec: mujoco.MjSpec) -> None:
    for geom in spec.geoms:
        geom.mass = 0.0  # the URDF's inertias say it all
        if geom.contype == 0 and geom.conaffinity == 0:
            geom.group = 2
            continue
        link = geom.parent.name
        side = link.split('_')[0]
        geom.name = f'{link.removesuffix("_link")}_contact'
        geom.group = 3
        geom.contype = _ARM.get(side, _SCENE)
        geom.conaffinity = _ALL & ~_ARM.get(side, 0)
        if geom.type == mujoco.mjtGeom.mjGEOM_CYLINDER:  # what URDF has for MuJoCo's faster capsule
            radius, half_length, _ = geom.size
            geom.type = mujoco.mjtGeom.mjGEOM_CAPSULE
            geom.size = (radius, half_length - radius, 0.0)
        if 'finger' in link:  # rubber: hard, with torsional friction, and its say prevails
            geom.condim = 4
            geom.friction = (1.8, 0.02, 0.0001)
            geom.solref = (0.004, 1.0)
            geom.solimp = (0.95, 0.99, 0.001, 0.5, 2.0)
            geom.priority = 1


def _set_joints(spec: mujoco.MjSpec) -> None:
    for joint in spec.joints:
        if '_gripper_' in joint.name:
            joint.damping = (_GRIPPER_DAMPING, 0.0, 0.0)
            joint.armature = _GRIPPER_ARMATURE
        else:
            joint.damping = (0.2, 0.0, 0.0)  # [N m s/rad]
            joint.armature = 0.01  # [kg m^2] of rotor and gear
    for side in SIDES:
        equality = spec.add_equality(
            name=f'{side}_gripper_mirror',
            type=mujoco.mjtEq.mjEQ_JOINT,
            name1=f'{side}_gripper_mirror_joint',
            name2=f'{side}_gripper_joint',
            objtype=mujoco.mjtObj.mjOBJ_JOINT,
        )
        equality.data[:5] = (0.0, 1.0, 0.0, 0.0, 0.0)
        equality.solref = (0.004, 1.0)


def _add_actuators(spec: mujoco.MjSpec) -> None:
    robot = load_robot()
    for joint in robot.joints:
        actuator = _add_actuator(spec, joint.name, (-joint.effort, joint.effort), joint.effort)
        actuator.set_to_motor()
    for name in robot.gripper_joints:
        actuator = _add_actuator(spec, name, (0.0, robot.gripper_stroke), robot.gripper_effort)
        actuator.set_to_position(kp=_GRIPPER_KP)


def _add_actuator(
    spec: mujoco.MjSpec, joint: str, control: tuple[float, float], force: float
) -> mujoco.MjsActuator:
    return spec.add_actuator(
        name=joint,
        target=joint,
        trntype=mujoco.mjtTrn.mjTRN_JOINT,
        ctrllimited=True,
        ctrlrange=control,
        forcelimited=True,
        forcerange=(-force, force),
    )


def _add_camera_and_sites(spec: mujoco.MjSpec) -> None:
    camera = load_robot().camera
    # MuJoCo looks along -z with y up, an optical frame along z with y down: half a turn about x.
    spec.body(camera.frame).add_camera(
        name=camera.name, fovy=camera.fovy, quat=(0.0, 1.0, 0.0, 0.0)
    )
    for side in SIDES:
        spec.body(f'{side}_grasp').add_site(name=f'{side}_grasp', size=(0.004,) * 3, group=4)
