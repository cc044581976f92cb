"""Real-time chunking: a new chunk continues the one that is being executed (arXiv 2506.07339).

While the policy infers, the robot goes on with the previous chunk: the new chunk's first targets
are past before it arrives. They are given as frozen, the rest of the overlap as a wish that fades,
and every step of the sampler is pulled towards them (pseudo-inverse guidance). Times are those of
flow.py: tau = 1 is noise and the velocity is noise - data. The paper counts from noise to data, its
time is 1 - tau and its velocity minus ours, so what it adds to the velocity is subtracted here.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit4dit_policy.model.action_dit import Velocity

Array = NDArray[np.float64]

#: Largest weight of the correction ('beta'; in the paper 5, with another `_SPREAD`).
_LARGEST_WEIGHT = 10.0
#: Standard deviation that chunks of one observation are taken to have, in units of the normalised
#: action. In the paper it is 1, whose weights hardly move a policy that is sure of itself.
_SPREAD = 0.2
_LATENCIES_KEPT = 10


@dataclass(frozen=True)
class Prefix:
    """What a new chunk should begin with.

    targets (P, joints) [rad, m]: of the previous chunk, at the times of the new chunk's first P
    steps. The first `frozen` of them will have been executed when the new chunk arrives.
    """

    targets: Array
    frozen: int

    def __post_init__(self) -> None:
        if not 0 <= self.frozen <= len(self.targets):
            raise ValueError(
                f'prefix: expected from 0 to {len(self.targets)} frozen steps, got {self.frozen}'
            )


class Continuation:
    """Remembers the chunk in execution and how late chunks come; tells what the next continues."""

    def __init__(self, step: float) -> None:
        """step: time between two targets of a chunk [s]."""
        self._step = step
        self._stamp = math.nan
        self._targets: Array | None = None
        self._latencies: deque[float] = deque(maxlen=_LATENCIES_KEPT)

    def sent(self, stamp: float, targets: Array, latency: float) -> None:
        """A chunk (K, joints) with the stamp of its observation [s] left `latency` [s] after it."""
        self._stamp, self._targets = stamp, targets
        self._latencies.append(latency)

    def prefix(self, stamp: float) -> Prefix | None:
        """For a chunk from the observation at `stamp` [s]; None where there is nothing to continue.

        The chunk is expected as late as the latest of the last ones. The previous targets are
        interpolated, since observations do not come at multiples of `step`.
        """
        if self._targets is None or stamp <= self._stamp:
            return None
        offset = (stamp - self._stamp) / self._step
        places = np.arange(offset, len(self._targets) - 1 + 1e-6)
        if not len(places):
            return None
        known = np.arange(len(self._targets))
        targets = np.stack([np.interp(places, known, column) for column in self._targets.T], axis=1)
        frozen = math.ceil(max(self._latencies) / self._step - 1e-6)
        return Prefix(targets, min(frozen, len(targets)))


def soft_mask(frozen: int, overlap: int, horizon: int) -> Tensor:
    """(horizon,) weights: 1 on frozen steps, falling to 0 over the overlap (the paper's Eq. 5)."""
    share = (overlap - torch.arange(horizon)) / (overlap - frozen + 1)
    share = share.clamp(0, 1)
    weight = share * torch.expm1(share) / math.expm1(1)
    weight[:frozen] = 1
    return weight


def guided(velocity: Velocity, wanted_BKA: Tensor, weight_KA: Tensor) -> Velocity:
    """`velocity` bent so that the sampled actions come out as `wanted_BKA` where `weight_KA` is 1.

    Each evaluation costs a vector-Jacobian product through `velocity` (the paper's Eqs. 2 to 4).
    """

    def bent(x_BKA: Tensor, tau: float) -> Tensor:
        with torch.enable_grad():
            x_BKA = x_BKA.detach().requires_grad_()
            v_BKA = velocity(x_BKA, tau)
            clean_BKA = x_BKA - tau * v_BKA
            error_BKA = weight_KA * (wanted_BKA - clean_BKA.detach())
            (correction_BKA,) = torch.autograd.grad(clean_BKA, x_BKA, error_BKA)
        return v_BKA.detach() - guidance_weight(tau) * correction_BKA

    return bent


def guidance_weight(tau: float) -> float:
    """Of the correction at flow time `tau`: ((1 - tau)^2 s^2 + tau^2) / (tau (1 - tau) s^2), cut.

    That is the exact weight for actions of standard deviation s; the paper has s = 1.
    """
    if tau >= 1:
        return _LARGEST_WEIGHT
    variance = _SPREAD**2
    weight = ((1 - tau) ** 2 * variance + tau**2) / (tau * (1 - tau) * variance)
    return min(weight, _LARGEST_WEIGHT)
