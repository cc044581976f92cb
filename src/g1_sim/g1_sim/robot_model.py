"""The robot as a MuJoCo model: its URDF, and what URDF cannot say (motors, contact, camera)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from g1_description.robot import SIDES, load_robot
from g1_description.urdf import mesh_folder, urdf
from g1_sim.meshes import cluster_vertices, read_stl

TIMESTEP = 0.002


def mujoco_spec() -> mujoco.MjSpec:
    """The robot alone, pelvis fixed at standing height; a task adds its scene and compiles.

    Joints are named as `load_robot().state_joints`; the second finger of a gripper is
    `{side}_gripper_mirror_joint`, kept equal to the first. Actuators, under the joint's name: a
    torque [N m] for each body joint, a position [m] for each gripper. The embodiment's cameras,
    sites `{left,right}_grasp`. Geoms: group 2 is what is seen, group 3 what may touch.
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
    _add_cameras_and_sites(spec)
    return spec


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
        vertices, faces = _reduced(mesh_folder() / name, _UNSEEN_CELL if unseen else _CELL)
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


def _add_cameras_and_sites(spec: mujoco.MjSpec) -> None:
    # MuJoCo looks along -z with y up, an optical frame along z with y down: half a turn about x.
    for camera in load_robot().embodiment.cameras.values():
        spec.body(camera.frame).add_camera(
            name=camera.name, fovy=camera.fovy, quat=(0.0, 1.0, 0.0, 0.0)
        )
    for side in SIDES:
        spec.body(f'{side}_grasp').add_site(name=f'{side}_grasp', size=(0.004,) * 3, group=4)
