"""Mesh reduction: half a million triangles of the robot's STL files become few enough for a CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_TRIANGLE = np.dtype([('normal', '<f4', 3), ('corners', '<f4', (3, 3)), ('attribute', '<u2')])
_HEADER = 84  # bytes of a binary STL before its triangles


def read_stl(path: Path) -> NDArray[np.float32]:
    """Corners (triangles, 3, xyz) of a binary STL file, in the file's unit.

    Raises ValueError for a file of another format.
    """
    data = path.read_bytes()
    count = int.from_bytes(data[80:_HEADER], 'little')
    if len(data) != _HEADER + count * _TRIANGLE.itemsize:
        raise ValueError(
            f'{path}: expected a binary STL file of {count} triangles as its header says'
        )
    return np.frombuffer(data, _TRIANGLE, offset=_HEADER)['corners']


def cluster_vertices(
    corners: NDArray[np.float32], cell: float
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Vertices (n, 3) and faces (m, 3) with all that lies in a cube of edge `cell` drawn together.

    Rossignac and Borrel, Multi-resolution 3D approximations for rendering complex scenes, 1993.
    """
    points = corners.reshape(-1, 3).astype(np.float64)
    cells = np.floor((points - points.min(axis=0)) / cell).astype(np.int64)
    extent = cells.max(axis=0) + 1
    keys = (cells[:, 0] * extent[1] + cells[:, 1]) * extent[2] + cells[:, 2]
    _, vertex, count = np.unique(keys, return_inverse=True, return_counts=True)
    sums = [np.bincount(vertex, weights=points[:, axis]) for axis in range(3)]
    vertices = np.stack(sums, axis=1) / count[:, None]

    faces = vertex.reshape(-1, 3)
    first, second, third = faces.T
    faces = faces[(first != second) & (second != third) & (third != first)]
    # The same triangle starts at its smallest vertex, whichever of the three it came from.
    turn = (faces.argmin(axis=1)[:, None] + np.arange(3)) % 3
    faces = np.unique(np.take_along_axis(faces, turn, axis=1), axis=0)
    return vertices, faces.astype(np.int32)
