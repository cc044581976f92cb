"""What a number of attempts says about the rate of success."""

from __future__ import annotations

from math import sqrt


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a success rate (Wilson, JASA 1927); (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    z = 1.96
    rate, spread = successes / trials, z * z / trials
    centre = (rate + spread / 2) / (1 + spread)
    half = z * sqrt(rate * (1 - rate) / trials + spread / trials / 4) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)
