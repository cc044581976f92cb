"""Random walks of an arm's targets, and what no command on them may be."""

import numpy as np
from controller_bench import OUTWARD, PERIOD, ROBOT, SAFETY, Bench, still

from g1_control.collision import SelfCollision
from g1_control.safety import Limits

COLLISION = SelfCollision(ROBOT)


def keeps_the_margin(seed: int, chunks: int) -> None:
    """Mostly towards each other and the body. AssertionError tells the seed of what is bad."""
    random, bench = np.random.default_rng(seed), Bench().armed()
    limits = Limits.of(ROBOT, SAFETY)
    bench.commands = []
    for _ in range(chunks):
        here = bench.positions[-1] if bench.commands else bench.pose
        goal = (
            here
            + random.normal(0.0, 0.5, 16)
            + 0.3
            * np.tile([0, 0, -1, 0.5, 0, 0, -1], 2)[np.r_[0:14, 0, 0]]
            * np.append(OUTWARD, [0.0, 0.0])
        )
        way = np.linspace(0.0, 1.0, 16)[:, None] ** random.uniform(0.5, 2.0)
        bench.send(still, positions=here + way * (goal - here), latency=random.uniform(0.0, 0.3))
        bench.run(float(random.uniform(0.1, 1.0)))
    nearest = min(COLLISION.nearest(command.q) for command in bench.commands)
    assert nearest >= SAFETY.self_collision_margin, f'seed {seed}: {nearest * 1e3:.3f} mm'
    positions = bench.positions
    assert (positions >= limits.lower - 1e-9).all(), f'seed {seed}: out of range'
    assert (positions <= limits.upper + 1e-9).all(), f'seed {seed}: out of range'
    velocity = np.diff(positions, axis=0) / PERIOD
    assert (np.abs(velocity) <= limits.velocity + 1e-6).all(), f'seed {seed}: velocity'
    change = np.abs(np.diff(velocity, axis=0))
    assert (change <= limits.acceleration * PERIOD + 1e-6).all(), f'seed {seed}: acceleration'
