"""The robot's visual shapes, a mesh for each joint that carries them, small enough for a phone."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pinocchio
from numpy.typing import NDArray

from g1_description.urdf import urdf

Array = NDArray[np.float64]
Faces = NDArray[np.uint32]

_GRID = 0.008  # [m]; vertices in one cell become one
_HALF = 1 << 16  # cells from the middle to the end of an axis
_STL = np.dtype([('normal', '<f4', 3), ('corners', '<f4', (3, 3)), ('attributes', '<u2')])
_STL_HEADER = 84  # bytes before the triangles of a binary STL


@dataclass(frozen=True)
class JointMesh:
    """All shapes of one colour that a joint of `model` moves: (V, 3) vertices in the joint's frame
    [m], (F, 3) faces, RGB 0 to 1.
    """

    joint: int
    vertices: Array
    faces: Faces
    colour: tuple[float, float, float]


def joint_meshes(model: pinocchio.Model) -> list[JointMesh]:
    """The visual shapes of `urdf()`, merged by joint and colour; joint 0 stands still."""
    robot = ET.fromstring(urdf())
    colours = {m.get('name', ''): _colour(m) for m in robot.iter('material')}
    parts: dict[tuple[int, tuple[float, float, float]], list[tuple[Array, Faces]]] = {}
    for link in robot.findall('link'):
        frame = model.frames[model.getFrameId(link.get('name'))]
        for visual in link.findall('visual'):
            material = visual.find('material')
            name = '' if material is None else material.get('name', '')
            colour = colours.get(name) or (0.7, 0.7, 0.7)
            vertices, faces = _shape(visual)
            placement = frame.placement * _origin(visual)
            moved = vertices @ placement.rotation.T + placement.translation
            parts.setdefault((frame.parentJoint, colour), []).append((moved, faces))
    return [JointMesh(joint, *_merged(shapes), colour) for (joint, colour), shapes in parts.items()]


def _shape(visual: ET.Element) -> tuple[Array, Faces]:
    geometry = visual.find('geometry')
    assert geometry is not None
    mesh, box = geometry.find('mesh'), geometry.find('box')
    if mesh is not None:
        return simplified(*_read_stl(Path(unquote(urlsplit(mesh.get('filename', '')).path))))
    if box is not None:
        return _box(_numbers(box.get('size', '')))
    kinds = ', '.join(child.tag for child in geometry)
    raise ValueError(f'expected visual shapes that are a mesh or a box, got {kinds}')


def _read_stl(path: Path) -> tuple[Array, Faces]:
    """Vertices (3 F, 3) and faces (F, 3) of a binary STL."""
    triangles = np.frombuffer(path.read_bytes(), _STL, offset=_STL_HEADER)
    vertices = triangles['corners'].reshape(-1, 3).astype(np.float64)
    return vertices, np.arange(len(vertices), dtype=np.uint32).reshape(-1, 3)


def simplified(vertices: Array, faces: Faces) -> tuple[Array, Faces]:
    """The same shape, where vertices in one cell of a grid are one (vertex clustering, Rossignac
    and Borrel 1993); faces that have no area left are dropped.
    """
    cells = np.floor(vertices / _GRID).astype(np.int64) + _HALF
    numbers = (cells[:, 0] * 2 * _HALF + cells[:, 1]) * 2 * _HALF + cells[:, 2]
    _, index, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    sums = [np.bincount(index, weights=axis, minlength=len(counts)) for axis in vertices.T]
    new = index[faces]
    apart = (new[:, 0] != new[:, 1]) & (new[:, 1] != new[:, 2]) & (new[:, 2] != new[:, 0])
    return np.stack(sums, axis=1) / counts[:, None], new[apart].astype(np.uint32)


def _box(size: tuple[float, ...]) -> tuple[Array, Faces]:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = np.array(
        [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    )
    flat = corners[quads].reshape(-1, 3)  # four of each side, so that edges are sharp
    start = 4 * np.arange(6, dtype=np.uint32)[:, None, None]
    faces = (start + np.array([[0, 1, 2], [0, 2, 3]], np.uint32)).reshape(-1, 3)
    return flat * np.asarray(size) / 2.0, faces.astype(np.uint32)


def _merged(shapes: list[tuple[Array, Faces]]) -> tuple[Array, Faces]:
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in shapes)])
    return (
        np.concatenate([vertices for vertices, _ in shapes]),
        np.concatenate(
            [
                (faces + start).astype(np.uint32)
                for (_, faces), start in zip(shapes, starts, strict=False)
            ]
        ),
    )


def _origin(visual: ET.Element) -> pinocchio.SE3:
    origin = visual.find('origin')
    if origin is None:
        return pinocchio.SE3.Identity()
    rpy = np.array(_numbers(origin.get('rpy', '0 0 0')))
    xyz = np.array(_numbers(origin.get('xyz', '0 0 0')))
    return pinocchio.SE3(pinocchio.rpy.rpyToMatrix(rpy), xyz)


def _colour(material: ET.Element) -> tuple[float, float, float] | None:
    colour = material.find('color')
    if colour is None:
        return None
    red, green, blue, *_ = _numbers(colour.get('rgba', ''))
    return red, green, blue


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split()))
