"""What a number of attempts says about the rate of success."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, comb, inf, nan, sqrt

import numpy as np


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


def auroc(high: Sequence[float], low: Sequence[float]) -> float:
    """Chance that one of `high` is above one of `low`, a tie counting half; NaN without any."""
    if not len(high) or not len(low):
        return nan
    above = np.array(high)[:, None] - np.array(low)
    return float(np.mean(above > 0) + np.mean(above == 0) / 2)


def auroc_interval(high: Sequence[float], low: Sequence[float]) -> tuple[float, float]:
    """95 % interval of `auroc`: 2,000 times drawn again from both, always in the same way."""
    draw = np.random.default_rng(0)
    again = [
        auroc(draw.choice(high, len(high)).tolist(), draw.choice(low, len(low)).tolist())
        for _ in range(2000 if len(high) and len(low) else 0)
    ]
    if not again:
        return nan, nan
    return float(np.percentile(again, 2.5)), float(np.percentile(again, 97.5))


def conformal_limit(values: Sequence[float], share: float) -> tuple[float, float]:
    """What a further value of the same kind is above with a chance of at most `share`.

    And that chance: with fewer than 1 / share - 1 values, the limit is the largest of them, and the
    chance 1 / (n + 1) (Vovk et al., 2005). (inf, 0) without values.
    """
    if not values:
        return inf, 0.0
    count = len(values)
    rank = min(count, ceil((count + 1) * (1 - share)))
    return sorted(values)[rank - 1], (count + 1 - rank) / (count + 1)
