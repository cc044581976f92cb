"""What scenes are made of: room, table, hollow containers, light and camera variation."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from itertools import combinations

import mujoco
import numpy as np
from numpy.typing import NDArray

from g1_description.kinematics import Side
from g1_sim.waypoints import SHOULDERS

TABLE_TOP = 0.76  # [m] over the floor

_VISIBLE, _HIDDEN = 2, 3  # geom groups: what is drawn, and what only touches
_SCENE, _ALL = 1, 7  # contact bits, see g1_sim.robot_model
_BOX = mujoco.mjtGeom.mjGEOM_BOX
_CYLINDER = mujoco.mjtGeom.mjGEOM_CYLINDER


def add_room(spec: mujoco.MjSpec) -> None:
    """Floor, light and the table in front of the robot."""
    world = spec.worldbody
    world.add_light(
        name='room',
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=(0.0, 0.0, 3.0),
        dir=(0.3, 0.2, -1.0),
        diffuse=(0.6, 0.6, 0.6),
        ambient=(0.35, 0.35, 0.35),
        specular=(0.1, 0.1, 0.1),
        castshadow=False,
    )
    spec.visual.headlight.active = 0
    world.add_geom(
        name='floor',
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=(4.0, 4.0, 0.1),
        rgba=(0.45, 0.46, 0.48, 1.0),
        group=_VISIBLE,
        contype=_SCENE,
        conaffinity=_ALL,
    )
    add_solid(world, 'table', _BOX, (0.4, 0.6, 0.02), (0.62, 0.0, TABLE_TOP - 0.02), _TABLE)
    for x in (0.28, 0.96):
        for y in (-0.54, 0.54):
            half = (TABLE_TOP - 0.04) / 2
            world.add_geom(
                type=_BOX,
                size=(0.02, 0.02, half),
                pos=(x, y, half),
                rgba=_LEG,
                group=_VISIBLE,
                contype=0,
                conaffinity=0,
            )


_TABLE = (0.80, 0.76, 0.70, 1.0)
_LEG = (0.35, 0.33, 0.31, 1.0)


def add_body(spec: mujoco.MjSpec, name: str) -> mujoco.MjsBody:
    """A body that moves freely; its joint has the body's name."""
    body = spec.worldbody.add_body(name=name)
    body.add_freejoint(name=name)
    return body


def add_solid(
    body: mujoco.MjsBody,
    name: str,
    shape: mujoco.mjtGeom,
    size: Sequence[float],
    position: Sequence[float],
    colour: Sequence[float],
    *,
    mass: float = 0.0,
    yaw: float = 0.0,
    lean: float = 0.0,
    rolling: float = 0.0,
    hidden: bool = False,
) -> mujoco.MjsGeom:
    """A shape that touches, at `position` [m] in the body, of `mass` [kg].

    size: as MuJoCo's geom sizes, half lengths [m]. yaw: about the vertical, after it was leant
    about y [rad]. rolling: friction [m] of what rolls, but not for ever. hidden: not drawn, as
    something finer is.
    """
    size = [*size, 0.0, 0.0][:3]
    turn = np.zeros(4)
    mujoco.mju_euler2Quat(turn, (0.0, lean, yaw), 'XYZ')
    return body.add_geom(
        name=name,
        type=shape,
        size=size,
        pos=position,
        quat=turn,
        rgba=colour,
        mass=mass,
        group=_HIDDEN if hidden else _VISIBLE,
        contype=_SCENE,
        conaffinity=_ALL,
        friction=(0.8, 0.01, rolling),
        condim=6 if rolling else 4,
    )


def add_decoration(
    body: mujoco.MjsBody,
    name: str,
    shape: mujoco.mjtGeom,
    size: Sequence[float],
    position: Sequence[float],
    colour: Sequence[float],
    yaw: float = 0.0,
) -> None:
    """A visible shape that touches nothing and weighs nothing."""
    geom = add_solid(body, name, shape, size, position, colour, yaw=yaw)
    geom.contype = geom.conaffinity = 0


def add_turned(
    spec: mujoco.MjSpec,
    body: mujoco.MjsBody,
    name: str,
    profile: Sequence[tuple[float, float]],
    colour: Sequence[float],
    *,
    sides: int = 20,
) -> None:
    """A visible shape, round about the body's z axis, that touches nothing and weighs nothing.

    profile: its outline as (radius, height) [m], with the inside on the left of its way.
    """
    angles = 2 * np.pi * np.arange(sides) / sides
    rings = [
        np.column_stack((r * np.cos(angles), r * np.sin(angles), np.full(sides, z)))
        for r, z in profile
    ]
    faces = []
    for ring in range(len(profile) - 1):
        for side in range(sides):
            a, b = ring * sides + side, ring * sides + (side + 1) % sides
            faces += [(a, b, b + sides), (a, b + sides, a + sides)]
    add_mesh(spec, body, name, np.concatenate(rings), np.array(faces), colour)


def add_mesh(
    spec: mujoco.MjSpec,
    body: mujoco.MjsBody,
    name: str,
    vertices: NDArray[np.float64],
    faces: NDArray[np.int64],
    colour: Sequence[float],
) -> None:
    """A visible mesh that touches nothing and weighs nothing. vertices (n, 3) [m], faces (m, 3)."""
    # MuJoCo moves a mesh to its centre of mass; the geom moves it back.
    spec.add_mesh(
        name=name,
        uservert=vertices.ravel(),
        userface=faces.ravel().astype(np.int32),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
    )
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=name,
        rgba=colour,
        mass=0.0,
        group=_VISIBLE,
        contype=0,
        conaffinity=0,
    )


def add_container(
    body: mujoco.MjsBody,
    name: str,
    *,
    inside: float,
    wall: float,
    floor: float,
    height: float,
    mass: float,
    colour: Sequence[float],
    segments: int = 12,
    hidden: bool = False,
) -> None:
    """A round container, open at the top, standing on the body's origin.

    A disc with a ring of upright boxes on it. inside: radius of the largest cylinder that fits in;
    wall, floor: thickness; height: from the ground to the rim [m]; mass [kg].
    """
    outside = inside + wall
    add_solid(
        body,
        f'{name}_floor',
        _CYLINDER,
        (outside, floor / 2),
        (0, 0, floor / 2),
        colour,
        mass=mass,
        hidden=hidden,
    )
    for index in range(segments):
        angle = 2 * np.pi * index / segments
        radius = inside + wall / 2
        add_solid(
            body,
            f'{name}_wall_{index}',
            _BOX,
            (wall / 2, outside * np.tan(np.pi / segments), (height - floor) / 2),
            (radius * np.cos(angle), radius * np.sin(angle), (height + floor) / 2),
            colour,
            mass=0.01 * mass,
            yaw=angle,
            hidden=hidden,
        )


def place(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    name: str,
    position: Sequence[float],
    yaw: float = 0.0,
) -> None:
    """Puts the free body `name` at rest at a world position [m] with a yaw [rad]."""
    joint = data.joint(name)
    joint.qpos[:3] = position
    joint.qpos[3:] = (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
    joint.qvel[:] = 0.0


def paint(model: mujoco.MjModel, names: Sequence[str], colour: Sequence[float]) -> None:
    """Gives the named geoms an RGB colour."""
    for name in names:
        model.geom(name).rgba[:3] = colour


def warm_colour(rng: np.random.Generator) -> tuple[float, float, float]:
    """A saturated red, orange, yellow or magenta: unlike the blue targets and the table."""
    return colorsys.hsv_to_rgb(rng.uniform(-0.12, 0.15) % 1.0, rng.uniform(0.85, 1.0), 0.95)


def sample_pair(
    rng: np.random.Generator,
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    *,
    apart: float,
    reach: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places of an object and its target on the table (x, y) [m].

    Uniform in two ranges ((low x, low y), (high x, high y)), but both at most `reach` from the
    shoulder, and the target at least `apart` from the way of the hand to the object.
    """
    shoulder = SHOULDERS['right']
    while True:
        a = rng.uniform(first[0], first[1])
        b = rng.uniform(second[0], second[1])
        if max(np.linalg.norm(a - shoulder), np.linalg.norm(b - shoulder)) > reach:
            continue
        way = a - shoulder
        nearest = shoulder + way * np.clip((b - shoulder) @ way / (way @ way), 0.0, 1.0)
        if np.linalg.norm(b - nearest) >= apart:
            return a, b


def sample_apart(
    rng: np.random.Generator,
    boxes: Sequence[tuple[tuple[float, float], tuple[float, float]]],
    hands: Sequence[Side],
    *,
    apart: float,
    reach: float,
) -> list[NDArray[np.float64]]:
    """A place (x, y) [m] in each of several boxes (low, high), at least `apart` from one another.

    Each at most `reach` [m] from the shoulder of the hand that goes there.
    """
    while True:
        places = [rng.uniform(low, high) for low, high in boxes]
        near = all(
            np.linalg.norm(place - SHOULDERS[hand]) <= reach
            for place, hand in zip(places, hands, strict=True)
        )
        if near and all(np.linalg.norm(a - b) >= apart for a, b in combinations(places, 2)):
            return places


def any_colour(rng: np.random.Generator) -> tuple[float, float, float]:
    """A clear colour of any hue, unlike the table."""
    return colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.65, 0.95), rng.uniform(0.7, 0.95))


def vary_view(model: mujoco.MjModel, rng: np.random.Generator, remounted: bool = False) -> None:
    """Light direction and brightness; `remounted`: camera pose by up to 5 mm and 0.5 degrees, too.

    A camera that is mounted anew for every attempt leaves 6 mm (median, on the table) that nobody
    can see: docs/experiments.md, "the camera moved".
    """
    brightness = rng.uniform(0.85, 1.15)
    light, camera = model.light('room'), model.camera('head')
    light.diffuse[:] = 0.6 * brightness * rng.uniform(0.95, 1.05, 3)
    light.ambient[:] = 0.35 * brightness
    direction = np.append(rng.uniform(-0.6, 0.6, 2), -1.0)
    light.dir[:] = direction / np.linalg.norm(direction)
    # Drawn in any case, as the rest of a seed's scene is the same.
    shift, angles = rng.uniform(-0.005, 0.005, 3), rng.uniform(-0.009, 0.009, 3)
    if not remounted:
        return
    camera.pos[:] += shift
    turn, turned = np.zeros(4), np.zeros(4)
    mujoco.mju_euler2Quat(turn, angles, 'xyz')
    mujoco.mju_mulQuat(turned, turn, camera.quat)
    camera.quat[:] = turned
