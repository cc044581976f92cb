"""Reduced meshes keep their shape, and a file that is not a mesh is named."""

import numpy as np
import pytest

from g1_sim.meshes import cluster_vertices, read_stl


def sphere(rings=60):
    """Corners of a unit sphere's triangles, as an STL file has them."""
    polar, around = np.meshgrid(
        np.linspace(0, np.pi, rings), np.linspace(0, 2 * np.pi, rings), indexing='ij'
    )
    points = np.stack(
        [np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], axis=-1
    )
    a, b, c, d = points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]
    corners = np.stack([np.stack([a, b, c], 2), np.stack([a, c, d], 2)])
    return corners.reshape(-1, 3, 3).astype(np.float32)


def test_a_reduced_sphere_is_a_sphere_with_fewer_triangles_that_still_face_outwards():
    corners = sphere()
    vertices, faces = cluster_vertices(corners, 0.2)
    assert len(faces) < len(corners) / 5
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), 1.0, atol=0.03)
    first, second, third = vertices[faces].transpose(1, 0, 2)
    normals = np.cross(second - first, third - first)
    assert np.mean(np.sum(normals * first, axis=1) > 0) > 0.98


def test_a_file_that_is_no_binary_stl_is_refused(tmp_path):
    path = tmp_path / 'text.stl'
    path.write_text('solid cube\n' + 'facet normal 0 0 1\n' * 10)
    with pytest.raises(ValueError, match=r'text\.stl: expected a binary STL file'):
        read_stl(path)
