"""How near some pairs of parts come along a path of the arms. No ROS.

When each joint j moves by dq_j, the distance of a pair changes by sum_j r_j |dq_j| at most. r_j is
the reach: the length of the stretched arm from the joint to the far end of the part that it moves,
0 if it moves both parts or none. Along a path on which each joint goes one way, from a to b,

  d >= (d(a) + d(b) - sum_j r_j |b_j - a_j|) / 2

That is for parts that are far. Of near ones, postures in between are looked at. Between two where a
part has moved by h, it may be nearer by h^2 (1 / D + 1 / R) / 8 than at both: it goes straight past
what is round, D between their middles, or itself in a bow of R about a joint.
"""

from __future__ import annotations

import numpy as np
import pinocchio
from numpy.typing import NDArray

Array = NDArray[np.float64]
Pairs = NDArray[np.intp]

_DIP = 0.00005  # [m] that parts may be nearer between two postures that are looked at
_NEAR = 0.01  # [m] between parts for which that holds
_BOW = 0.15  # [m]
_NEXT, _LAST = [1, 2, 0], [2, 0, 1]  # of a cross product


class PathDistances:
    """Distances of pairs of a geometry at postures of both arms. One object serves one thread.

    reach: (P, 14) by how much each joint can change each distance, at most [m/rad].
    """

    def __init__(self, model: pinocchio.Model, geometry: pinocchio.GeometryModel) -> None:
        self._model, self._geometry = model, geometry
        self._data, self._distances = model.createData(), geometry.createData()
        self._distances.deactivateAllCollisionPairs()
        self._results = list(self._distances.distanceResults)  # each stays where it is
        self._active: frozenset[int] = frozenset()
        parts = geometry.geometryObjects
        reaches = [_part_reach(model, part) for part in parts]
        ends = [(reaches[pair.first], reaches[pair.second]) for pair in geometry.collisionPairs]
        first, second = np.array(ends).transpose(1, 0, 2)
        self._moves = (second > 0) * 1.0 - (first > 0)  # which of both each joint moves, with sign
        self.reach = np.abs(self._moves) * (first + second)
        radii = np.array([getattr(part.geometry, 'radius', np.inf) for part in parts])
        middles = [radii[pair.first] + radii[pair.second] for pair in geometry.collisionPairs]
        bend = 1 / (np.array(middles) + _NEAR) + 1 / _BOW
        self._steps = (self.reach / np.sqrt(8 * _DIP / bend)[:, None]).T

    def looked_at(self, path: Array, pairs: Pairs) -> list[int]:
        """Which postures of a path (K, 14) tell how near those pairs (W,) come, near as they are.

        Both ends are among them, and as many as there have to be, but not between neighbours.
        """
        steps = (np.abs(path[1:] - path[:-1]) @ self._steps[:, pairs]).max(axis=1).tolist()
        chosen, passed = [0], 0.0
        for k in range(1, len(steps)):
            passed += steps[k - 1]
            if passed + steps[k] > 1.0:
                chosen.append(k)
                passed = 0.0
        return [*chosen, len(steps)]

    def along(self, path: Array, pairs: Pairs) -> Array:
        """(K, W) distances of those pairs (W,) at postures (K, 14) [m]."""
        results, rows = self._activate(pairs), []
        for posture in path:
            self._compute(posture)
            rows += [result.min_distance for result in results]
        return np.array(rows).reshape(len(path), len(results))

    def lowest(self, path: Array, pairs: Pairs, distances: Array) -> Array:
        """(W,) below what none of those pairs goes anywhere on a path, by `distances` along it [m].

        Each joint goes one way on the path.
        """
        change = np.abs(path[1:] - path[:-1]) @ self.reach[pairs].T
        lowest: Array = (distances[1:] + distances[:-1] - change).min(axis=0) / 2
        return lowest

    def gradients(self, postures: Array, pairs: Pairs) -> tuple[Array, Array]:
        """(K, W) distances of pairs (W,) at postures (K, 14), how they change (K, W, 14) [m/rad].

        For points p1 and p2 where the parts are nearest, and n the direction from the first to the
        second, d' = n . (J2 - J1) q'; with p2 = p1 + d n, the moment of n is the same at both.
        """
        results, rows, jacobians = self._activate(pairs), [], []
        for posture in postures:
            self._compute(posture)
            rows += [(r.min_distance, *r.normal, *r.getNearestPoint1()) for r in results]
            jacobians.append(
                pinocchio.computeJointJacobians(self._model, self._data, posture).copy()
            )
        found = np.array(rows).reshape(len(postures), len(pairs), 7)
        normal, point = found[:, :, 1:4], found[:, :, 4:]
        moment = point[..., _NEXT] * normal[..., _LAST] - point[..., _LAST] * normal[..., _NEXT]
        wrench = np.concatenate((normal, moment), axis=2)
        return found[:, :, 0], self._moves[pairs] * (wrench @ np.array(jacobians))

    def _activate(self, pairs: Pairs) -> list[pinocchio.DistanceResult]:
        """Only those pairs are computed from now on; where their distances are found."""
        numbers = pairs.tolist()
        wanted = frozenset(numbers)
        for pair in self._active - wanted:
            self._distances.deactivateCollisionPair(pair)
        for pair in wanted - self._active:
            self._distances.activateCollisionPair(pair)
        self._active = wanted
        return [self._results[number] for number in numbers]

    def _compute(self, posture: Array) -> None:
        pinocchio.computeDistances(
            self._model, self._data, self._geometry, self._distances, posture
        )


def _part_reach(model: pinocchio.Model, part: pinocchio.GeometryObject) -> Array:
    """(14,) length of the stretched arm from each joint that moves a part to its far end [m]."""
    lengths, joint = np.zeros(model.nq), part.parentJoint
    if joint == 0:
        return lengths
    half = np.array([0.0, 0.0, part.geometry.halfLength])
    length = max(float(np.linalg.norm(part.placement.act(end))) for end in (half, -half))
    while joint > 0:
        lengths[joint - 1] = length
        length += float(np.linalg.norm(model.jointPlacements[joint].translation))
        joint = model.parents[joint]
    return lengths
