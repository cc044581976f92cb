"""What a number of attempts says about the rate of success."""

from __future__ import annotations

from math import comb, sqrt


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a success rate (Wilson, JASA 1927); (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    z = 1.96
    rate, spread = successes / trials, z * z / trials
    centre = (rate + spread / 2) / (1 + spread)
    half = z * sqrt(rate * (1 - rate) / trials + spread / trials / 4) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def sign_test(better: int, worse: int) -> float:
    """Chance of pairs as unequal as these, or more, were better and worse equally likely.

    Two-sided and exact; pairs that are alike do not count (McNemar's test without approximation).
    """
    pairs = better + worse
    tail = sum(comb(pairs, k) for k in range(min(better, worse) + 1)) / 2**pairs
    return min(1.0, 2 * tail)
