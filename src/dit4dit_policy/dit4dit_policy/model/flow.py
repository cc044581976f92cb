"""Flow matching: path, target, times, solver; and the convention of the whole suite.

tau = 0 is data, tau = 1 is noise. The path is straight, x_tau = (1 - tau) x_0 + tau z, so its
velocity dx/dtau = z - x_0 is what a network learns, and sampling walks from tau = 1 down to 0
(paper, Section 4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def interpolate(x0: Tensor, noise: Tensor, tau: Tensor) -> Tensor:
    """The point x_tau of the path. `tau` (B,), the others (B, ...)."""
    tau = _broadcast(tau, x0)
    return (1 - tau) * x0 + tau * noise


def velocity_target(x0: Tensor, noise: Tensor) -> Tensor:
    """What the network should predict anywhere on the path from `x0` to `noise`."""
    return noise - x0


def uniform_times(
    batch: int,
    generator: torch.Generator | None = None,
    device: torch.device | None = None,
) -> Tensor:
    """(B,) times uniform in [0, 1): the video's (Section 4.3)."""
    return torch.rand(batch, generator=generator, device=device)


def beta_times(
    batch: int,
    alpha: float,
    beta: float,
    generator: torch.Generator | None = None,
    device: torch.device | None = None,
) -> Tensor:
    """(B,) draws of Beta(alpha, beta), the action's times before `ActionConfig.time` orients them.

    Beta(a, b) = X / (X + Y) with gammas X(a), Y(b), because torch's own Beta takes no generator.
    """
    x = torch._standard_gamma(torch.full((batch,), alpha, device=device), generator=generator)
    y = torch._standard_gamma(torch.full((batch,), beta, device=device), generator=generator)
    return x / (x + y)


def euler(velocity: Callable[[Tensor, float], Tensor], noise: Tensor, steps: int) -> Tensor:
    """Walks `noise` from tau = 1 to 0 in equal steps along `velocity(x, tau)`."""
    *_, x = noise, *euler_steps(velocity, noise, steps)
    return x


def euler_steps(
    velocity: Callable[[Tensor, float], Tensor], noise: Tensor, steps: int
) -> Iterator[Tensor]:
    """Where `euler` is after each of its steps."""
    x = noise
    for i in range(steps):
        x = x - velocity(x, 1 - i / steps) / steps
        yield x


def masked_mean_square(error: Tensor, mask: Tensor) -> Tensor:
    """Mean of error squared where `mask` is 1; padded dimensions and steps count for nothing."""
    return (error.square() * mask).sum() / mask.sum().clamp(min=1)


def _broadcast(tau: Tensor, like: Tensor) -> Tensor:
    return tau.view(-1, *(1,) * (like.ndim - 1)).to(like.dtype)
