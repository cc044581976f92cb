"""Real-time chunking: a new chunk continues the one that is being executed (arXiv 2506.07339).

While the policy infers, the robot goes on with the previous chunk: the new chunk's first targets
are past before it arrives. They are given as frozen, the rest of the overlap as a wish that fades,
and every step of the sampler is pulled towards them (pseudo-inverse guidance). Times are those of
flow.py: tau = 1 is noise and the velocity is noise - data. The paper counts from noise to data, its
time is 1 - tau and its velocity minus ours, so what it adds to the velocity is subtracted here.
continuation.py says what is continued.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dit4dit_policy.model.action_dit import Velocity

#: Largest weight of the correction ('beta'; in the paper 5, with another `_SPREAD`).
_LARGEST_WEIGHT = 10.0
#: Standard deviation that chunks of one observation are taken to have, in units of the normalised
#: action. In the paper it is 1, whose weights hardly move a policy that is sure of itself.
_SPREAD = 0.2


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
