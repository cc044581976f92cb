"""A motion towards a collision slides along the margin: the nearest one that keeps it. No ROS.

A collision is one of the robot with itself, or of a hand with a wall of the world around.

One quadratic program a cycle, a control barrier on what matters in the end: where the arms would
come to rest. With v (14,) the velocities of the next cycle, v* those that are asked for, v_b those
of braking, s_b the posture where braking ends, and D the change of that posture with v,

  minimise    |v - v*|^2
  subject to  low <= v <= high                                  range, velocity and acceleration
              d_i(s_b) + g_i . D (v - v_b) >= min(m, d_i(s_b))   for each pair i of capsules nearby

where d_i is a distance, g_i its gradient at s_b, and m the margin; the same for postures on the way
to rest, where that is long. Braking always satisfies it, as each cycle leaves a way to rest that
keeps the margin (or, where the arms have been put too near, one that is no nearer: not than where
they began, nor than what they have gained since, d_i on the way so far). So there is always a
solution, and whoever stands still can go in any direction that does not lead nearer.
Distances are not linear: the solution is checked on its own way to rest, linearised there once more
if need be, and else shortened towards braking.

Barriers: Ames et al., Control Barrier Functions: Theory and Applications, ECC 2019. With a backup
manoeuvre, here braking: Squires, Pierpaoli, Egerstedt, Constructive Barrier Certificates with
Applications to Fixed-Wing Aircraft Collision Avoidance, CCTA 2018.
"""

from __future__ import annotations

import daqp
import numpy as np
from numpy.typing import NDArray

from g1_control.clearance import Clearance
from g1_control.limiter import Limiter
from g1_description.capsules import Approach

Array = NDArray[np.float64]

# [rad] of all joints together between postures that are looked at: between two of them, an arm
# moves 0.3 m times that, and a corner of r = 0.02 m may be (0.3 apart)^2 / 8r nearer than both.
_APART, _APART_NEAR = 0.06, 0.02
_NEAR = 0.01  # [m] beyond the margin, from where on they are closer together
_POSTURES = 3  # of a way to rest that the program knows, those with the least distances
_REACH = 0.03  # [m] beyond the margin: pairs that one cycle may bring to it
#: [m] kept beyond the margin.
ROOM = 0.0005
# The command is an average over 40 ms, which cuts corners: by (0.04 u)^2 / (24 r) where a part goes
# round another at u m/s in a bow of r m. With r = 0.1, and u = 0.2 m times all speeds of an arm:
_CURVE, _MOST_CURVE = 2.7e-5, 0.006  # [m s2/rad2], [m]
_LEEWAY = 0.0005  # [m] beyond that, which the program aims at, since it sees distances as straight
_RECOVERY = 3e-5  # [m] of that regained in a cycle
_ROUNDING = 1e-6  # [m] within which a distance counts as kept
_SHARES = (0.5, 0.25)  # of the way from braking that is tried where a solution is not good enough


class Slide:
    """Keeps the arms' capsules apart by `margin` [m]; in each cycle, `towards` before `nearest`."""

    def __init__(self, clearance: Clearance, margin: float, arms: int) -> None:
        self._clearance, self._arms = clearance, arms
        self._least = margin + ROOM
        self._margin = self._least  # in this cycle
        self._weights = np.eye(arms)
        self._within = False  # the margin now, or when braking
        pairs = np.zeros(len(clearance.pairs))
        self._allowed = pairs  # least distance of each pair [m]
        self._start = pairs  # its distance now, the margin at most [m]
        self._lost = pairs  # what braking loses of the distance that it has gained [m]

    def towards(self, limiter: Limiter, candidate: Array) -> Approach | None:
        """The two links that `candidate`, (3, J) as `Limiter.ahead`, would bring too near.

        That is somewhere on the way on which it could come to rest: below the margin, and nearer
        than braking at once would bring them.
        """
        velocities = np.abs((candidate[1, : self._arms], limiter.ahead[1, : self._arms]))
        speed = velocities.reshape(2, 2, -1).sum(axis=2).max()  # what was is in the average too
        self._margin = self._least + min(_CURVE * speed**2, _MOST_CURVE)
        if self._far(limiter.braking_path(candidate, _APART)[0]):
            return None
        path = self._path(limiter, candidate)
        distances = list(map(self._clearance.nearest, path))
        if min(distances) >= self._margin:
            return None
        worst = self._clearance.distances(path[int(np.argmin(distances))], self._margin)
        known = self._distances(self._path(limiter, limiter.ahead))
        self._allowed = np.minimum(known.min(axis=0), self._margin)
        self._within = bool(self._allowed.min() < self._least - _ROUNDING)
        if self._within:
            self._start = np.minimum(known[0], self._least)
            gained = _highest(known, self._start, self._least)
            self._lost = (gained - known).max(axis=0, initial=0.0)
        if self.good(limiter, candidate):
            return None
        pair = int(np.argmin(worst - self._allowed))
        return self._clearance.approach(pair, float(worst[pair]))

    def nearest(self, limiter: Limiter, candidate: Array) -> Array:
        """(3, J) the state to advance to instead of `candidate`, (3, J), for the arms' sake.

        Grippers go as in `candidate`.
        """
        arms, whole = self._arms, candidate[1].copy()
        low, high = limiter.velocity_range()[:, :arms]
        braking = limiter.braking()
        asked, reference = candidate[1, :arms], braking[1, :arms]

        def at(velocity: Array) -> Array:
            whole[:arms] = velocity
            return limiter.moved(whole)

        state, velocity, most = at(reference), reference, _RECOVERY
        for _ in range(3):
            normals, least = self._barriers(limiter, state, most)
            found = self._solve(asked, (low, high), normals, normals @ velocity + least)
            if found is not None:
                state, velocity = at(found), found
                if self.good(limiter, state):
                    return state
                most = np.inf  # once more, linearised where this leads
            elif most != _RECOVERY:
                break
            else:
                most = 0.0
        for share in _SHARES:
            state = at(reference + share * (velocity - reference))
            if self.good(limiter, state):
                return state
        return at(reference)

    def good(self, limiter: Limiter, state: Array) -> bool:
        """Whether the way to rest from `state` (3, J) keeps what the last `towards` asks for."""
        path = self._path(limiter, state)
        if self._within:
            distances = self._distances(path)
            return bool((distances >= self._kept(distances) - _ROUNDING).all())
        return all(
            self._clearance.nearest(posture) >= self._margin or self._keeps(posture)
            for posture in path
        )

    def _keeps(self, posture: Array) -> bool:
        distances = self._clearance.distances(posture, self._margin)
        return bool((distances >= self._allowed - _ROUNDING).all())

    def _distances(self, path: Array) -> Array:
        """(K, P) of each pair at postures (K, 14), as `Clearance.distances` below the margin."""
        return np.array([self._clearance.distances(posture, self._margin) for posture in path])

    def _kept(self, distances: Array) -> Array:
        """(K, P) which distances have to be kept where those on a way to rest are (K, P).

        Where arms were put too near, they may not go back on the way out, as they could at speed
        while still farther than where they began.
        """
        kept = _highest(distances, self._start, self._least) - self._lost
        return np.maximum(kept, self._allowed)

    def _far(self, path: Array) -> bool:
        """Whether nothing can come below the margin between these postures (K, J) either."""
        least = self._margin + _NEAR
        return all(self._clearance.nearest(posture[: self._arms]) >= least for posture in path)

    def _path(self, limiter: Limiter, state: Array) -> Array:
        return limiter.braking_path(state, _APART_NEAR)[0][:, : self._arms]

    def _barriers(self, limiter: Limiter, state: Array, most: float) -> tuple[Array, Array]:
        """(R, 14) change of distances with the velocity, and the least change wanted (R,).

        Distances are linearised where they are least on the way from `state` (3, J) to rest. most:
        no more than that is wanted [m].
        """
        path, gains = limiter.braking_path(state, _APART_NEAR)
        path, gains = path[:, : self._arms], gains[:, : self._arms]
        if self._within:
            distances = self._distances(path)
            order, kept = np.argsort(distances.min(axis=1)), self._kept(distances)
        else:
            order = np.argsort([self._clearance.nearest(posture) for posture in path])
            kept = np.broadcast_to(self._allowed, (len(path), len(self._allowed)))
        normals, least = [], []
        for k in order[:_POSTURES]:
            near, distances, gradients = self._clearance.gradients(path[k], self._margin + _REACH)
            allowed = kept[k, near]
            normals.append(gradients * gains[k])
            least.append(allowed + _LEEWAY * (allowed >= self._margin) - distances)
        return np.concatenate(normals), np.minimum(np.concatenate(least), most)

    def _solve(
        self, asked: Array, bounds: tuple[Array, Array], normals: Array, least: Array
    ) -> Array | None:
        """The velocity nearest to `asked` (14,) with normals @ velocity >= least; None for none."""
        low, high = bounds
        count = len(least)
        solution, _, flag, _ = daqp.solve(
            self._weights,
            -asked,
            np.ascontiguousarray(normals),
            np.concatenate((high, np.full(count, 1e30))),
            np.concatenate((low, least)),
            np.zeros(len(asked) + count, dtype=np.int32),
        )
        if flag < 1 or not np.isfinite(solution).all():
            return None
        return np.clip(solution, low, high)


def _highest(distances: Array, start: Array, most: float) -> Array:
    """(K, P) of distances (K, P) the largest so far, from `start` (P,) on, and up to `most`."""
    return np.minimum(np.maximum(np.maximum.accumulate(distances), start), most)
