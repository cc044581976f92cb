"""Ways on which the arms could come to rest, and how near parts come on them. No ROS.

From the state of a cycle with velocity v of one joint, braking begins a cycle later; v_b is the
velocity of braking at once, s the change of velocity in a cycle of dt. On its way to rest the joint
is then never farther from the same moment of braking at once than

  |v - v_b| (1 + floor(max(|v|, |v_b|) / s)) dt

With the reach of each joint that bounds each distance on the one way by those on the other. So from
cycle to cycle a bound is kept of what each distance is at least; only pairs whose bound runs out
are looked at, and have a new one then. Far from everything that is none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g1_control.clearance import Clearance
from g1_control.limiter import Limiter
from g1_control.path_distances import Pairs, PathDistances

Array = NDArray[np.float64]


class Way(NamedTuple):
    """Postures (K, 14) on a way to rest, and pairs (W,) that may come near on it.

    gains: (K, 14) how far each posture moves per change of the velocity at the start [s];
    distances: (K, W) of those pairs [m]; bounds: (P,) what all others have at least.
    """

    postures: Array
    gains: Array
    pairs: Pairs
    distances: Array
    bounds: Array


class WaysToRest:
    """In each cycle, `begin` first."""

    def __init__(self, clearance: Clearance, arms: int) -> None:
        self._path_distances = PathDistances(clearance.model, clearance.geometry)
        self._least, self._arms = 0.0, arms
        self._ways: dict[bytes, Way] = {}  # by the state where they start

    def begin(self, limiter: Limiter, least: float) -> None:
        """A cycle from `limiter.ahead` on; pairs that stay `least` [m] apart are left out."""
        known = self._ways.get(self._key(limiter.ahead))
        self._limiter, self._least = limiter, least
        if known is None:
            pairs = len(self._path_distances.reach)
            known = self._look(limiter.ahead, np.ones(pairs, bool), np.zeros(pairs))
        self._bounds = self._lowest(known)
        self._ways = {}
        self._reference = limiter.braking()

    def of(self, state: Array) -> Way:
        """From a state (3, J) that may be next."""
        key = self._key(state)
        if key not in self._ways:
            bounds = self._bounds - self._path_distances.reach @ self._sway(state[1])
            self._ways[key] = self._look(state, bounds < self._least, bounds)
        return self._ways[key]

    def braking(self) -> Way:
        """From where the arms are, with all pairs that the next cycle may bring near."""
        low, high = self._limiter.velocity_range()
        sway = np.maximum(self._sway(low), self._sway(high))
        bounds = self._bounds - self._path_distances.reach @ sway
        way = self._look(self._limiter.ahead, bounds < self._least, self._bounds)
        self._ways[self._key(self._reference)] = way
        return way

    def gradients(self, way: Way, postures: list[int]) -> tuple[Array, Array]:
        """As `PathDistances.gradients`, of the pairs of a way at some of its postures."""
        return self._path_distances.gradients(way.postures[postures], way.pairs)

    def _sway(self, velocity: Array) -> Array:
        return self._limiter.sway(velocity, self._reference[1])[: self._arms]

    def _key(self, state: Array) -> bytes:
        return state[:2, : self._arms].tobytes()

    def _look(self, state: Array, near: NDArray[np.bool_], bounds: Array) -> Way:
        pairs = near.nonzero()[0]
        if not len(pairs):
            none = np.zeros((0, self._arms))
            return Way(none, none, pairs, none[:, :0], bounds)
        path, gains = self._limiter.braking_path(state)
        path = path[:, : self._arms]
        chosen = self._path_distances.looked_at(path, pairs)
        path, gains = path[chosen], gains[chosen, : self._arms]
        return Way(path, gains, pairs, self._path_distances.along(path, pairs), bounds)

    def _lowest(self, way: Way) -> Array:
        """(P,) what each of all pairs has at least on a way."""
        if not len(way.pairs):
            return way.bounds
        bounds = way.bounds.copy()
        bounds[way.pairs] = self._path_distances.lowest(way.postures, way.pairs, way.distances)
        return bounds
