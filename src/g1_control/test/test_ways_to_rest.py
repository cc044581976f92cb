"""Pairs of parts that are left out on a way to rest are as far apart there as is claimed."""

import numpy as np
from controller_bench import OUTWARD, PERIOD, ROBOT, SAFETY

from g1_control.clearance import Clearance
from g1_control.limiter import Limiter
from g1_control.safety import Limits, walls
from g1_control.ways_to_rest import WaysToRest

LEAST = 0.011  # [m]


def test_no_pair_that_is_left_out_comes_near():
    """Both arms go wildly, through each other and the body, for four seconds."""
    random, clearance = np.random.default_rng(5), Clearance(ROBOT, walls(SAFETY))
    limiter, ways = Limiter(Limits.of(ROBOT, SAFETY), PERIOD), WaysToRest(clearance, 14)
    limiter.reset(ROBOT.home)
    near, left_out = 0, 0
    for k in range(1000):
        if k % 60 == 0:
            inward = -random.uniform(0.0, 1.0, 14) * OUTWARD * np.tile([0, 0, 1, 0, 0, 0, 1], 2)
            goal = ROBOT.home + np.append(random.normal(0.0, 0.6, 14) + inward, [0.0, 0.0])
        candidate = limiter.candidate(np.array((goal, np.zeros(16))))
        ways.begin(limiter, LEAST)
        way = ways.of(candidate)
        if k % 4 == 0:
            path = limiter.braking_path(candidate)[0][:, :14]
            lowest = np.min([clearance.distances(posture) for posture in path], axis=0)
            others = np.setdiff1d(np.arange(len(lowest)), way.pairs)
            assert lowest[others].min() >= LEAST
            near, left_out = near + len(way.pairs), left_out + len(others)
        limiter.advance(candidate)
    assert 0 < near < left_out / 4  # that is most of them
