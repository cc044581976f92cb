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
from g1_control.ways_to_rest import Way, WaysToRest
from g1_description.capsules import Approach

Array = NDArray[np.float64]

_REACH = 0.03  # [m] beyond what has to be kept: pairs that one cycle may bring to it
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
        self._ways = WaysToRest(clearance, arms)
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
        self._ways.begin(limiter, self._margin + _LEEWAY)
        way = self._ways.of(candidate)
        if way.distances.min(initial=np.inf) >= self._margin:
            return None
        self._look_at_braking()
        if self.good(candidate):
            return None
        worst = way.distances[int(np.argmin(way.distances.min(axis=1)))]
        nearest = int(np.argmin(worst - self._allowed[way.pairs]))
        return self._clearance.approach(int(way.pairs[nearest]), float(worst[nearest]))

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

        way, velocity, most = self._after_braking(), reference, _RECOVERY
        for _ in range(3):
            normals, least = self._barriers(way, most)
            found = self._solve(asked, (low, high), normals, normals @ velocity + least)
            if found is not None:
                state, velocity = at(found), found
                if self.good(state):
                    return state
                way, most = self._ways.of(state), np.inf  # once more, where this leads
            elif most != _RECOVERY:
                break
            else:
                most = 0.0
        for share in _SHARES:
            state = at(reference + share * (velocity - reference))
            if self.good(state):
                return state
        return at(reference)

    def good(self, state: Array) -> bool:
        """Whether the way to rest from `state` (3, J) keeps what the last `towards` asks for."""
        way = self._ways.of(state)
        return bool((way.distances >= self._kept(way) - _ROUNDING).all())

    def _look_at_braking(self) -> None:
        """What is allowed follows from where braking at once would lead."""
        self._braking = self._ways.braking()
        pairs, known = self._braking.pairs, self._braking.distances
        self._allowed = np.full(len(self._clearance.pairs), self._margin)
        self._allowed[pairs] = np.minimum(known.min(axis=0), self._margin)
        self._within = bool(self._allowed.min() < self._least - _ROUNDING)
        if self._within:
            self._start = np.full(len(self._allowed), self._least)
            self._start[pairs] = np.minimum(known[0], self._least)
            gained = _highest(known, self._start[pairs], self._least)
            self._lost = np.zeros(len(self._allowed))
            self._lost[pairs] = (gained - known).max(axis=0, initial=0.0)

    def _kept(self, way: Way) -> Array:
        """Which distances of its pairs have to be kept on a way to rest, (W,) or (N, W).

        Where arms were put too near, they may not go back on the way out, as they could at speed
        while still farther than where they began.
        """
        allowed = self._allowed[way.pairs]
        if not self._within:
            return allowed
        kept = _highest(way.distances, self._start[way.pairs], self._least) - self._lost[way.pairs]
        return np.maximum(kept, allowed)

    def _after_braking(self) -> Way:
        """From the state in which one cycle of braking leaves the arms."""
        way = self._braking
        cycle = way.gains[0]  # [s]; the first posture is where the arms are now
        return way._replace(
            postures=way.postures[1:],
            gains=np.maximum(way.gains[1:] - cycle, cycle),
            distances=way.distances[1:],
        )

    def _barriers(self, way: Way, most: float) -> tuple[Array, Array]:
        """(R, 14) change of distances with the velocity, and the least change wanted (R,).

        Distances are linearised where they are least on the way. most: no more than that is wanted
        [m].
        """
        kept = np.broadcast_to(self._kept(way), way.distances.shape)
        spare = way.distances - kept
        least_spare = spare.min(axis=0)
        near = least_spare <= max(least_spare.min(), _REACH)
        nearest = sorted(set(spare.argmin(axis=0)[near].tolist()))
        distances, gradients = self._ways.gradients(way, nearest)
        allowed = kept[nearest]
        least = allowed + _LEEWAY * (allowed >= self._margin) - distances
        normals = gradients * way.gains[nearest, None]
        return normals.reshape(-1, self._arms), np.minimum(least, most).ravel()

    def _solve(
        self, asked: Array, bounds: tuple[Array, Array], normals: Array, least: Array
    ) -> Array | None:
        """The velocity nearest to `asked` (14,) with normals @ velocity >= least; None for none."""
        low, high = bounds
        matters = np.where(normals > 0.0, normals * low, normals * high).sum(axis=1) < least
        normals, least = normals[matters], least[matters]
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
