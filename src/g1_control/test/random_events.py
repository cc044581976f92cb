"""Random chunks, states and events through controller and safety, and what no command may be.

A run is of one seed, so that a failure is seen again by `run(seed)`. Each cycle brings a state;
between cycles come chunks (good, far, contradicting, garbage), the operator's words, faults of the
robot, silence of the network, pushes and steps of the clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from controller_bench import ACCELERATION, JERK, PERIOD, ROBOT, SAFETY, VELOCITY, Bench, still
from numpy.typing import NDArray

from g1_control.collision import SelfCollision
from g1_control.safety import Limits, Mode, Reason

Array = NDArray[np.float64]

LIMITS = Limits.of(ROBOT, SAFETY)
CATCH_UP = 6  # cycles that one may make up for after a gap, and one of rounding
_ARMS = 14
_ROUNDING = 1e-9
_NEARER = 5e-4  # [m] below the margin, by which an average over 40 ms may cut a corner
_FAULTS: tuple[dict[str, object], ...] = (
    {'gripper_fault': ('', 'overload')},
    {'gripper_age': (np.nan, 0.0)},
    {'temperature': np.full(29, 99.0)},
    {'errors': np.ones(29, np.uint32)},
    {'mode_machine': 3},
)


@dataclass
class Count:
    """What a run has brought: control cycles, each with a state; chunks; and other events."""

    cycles: int = 0
    chunks: int = 0
    accepted: int = 0
    events: int = 0
    active: int = 0  # cycles in which a chunk was followed
    slid: int = 0  # cycles along the margin

    @property
    def all(self) -> int:
        """States, chunks and events."""
        return self.cycles + self.chunks + self.events

    def __add__(self, other: Count) -> Count:
        return Count(
            *(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True))
        )


@dataclass
class _Trace:
    """Every command, with its time; anew: where there is no way from the one before."""

    times: list[float] = field(default_factory=list)
    positions: list[Array] = field(default_factory=list)
    velocities: list[Array] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    anew: list[int] = field(default_factory=list)
    still: list[int] = field(default_factory=list)  # that have to be as the ones before, at rest


def run(seed: int, cycles: int) -> Count:
    """So many cycles of one seed. AssertionError names seed and cycle of a command that is bad."""
    everything = _Everything(seed)
    while everything.count.cycles < cycles:
        everything.step()
    _check(everything.trace, seed)
    return everything.count


class _Everything:
    """Everything that can come to a controller, from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.count, self.trace = Count(), _Trace()
        self.bench = Bench(follows=True)
        self._cycle(2)
        self._arm()
        self._cycle(400)

    def step(self) -> None:
        """One event, and some cycles."""
        random, bench = self.random, self.bench
        armed = bench.status.mode in (Mode.ARMING, Mode.ACTIVE, Mode.HOLD)
        if not armed and random.random() < 0.5:
            self._come_back()
        event = random.random()
        if event < 0.75:
            self._chunk()
        else:
            self.count.events += 1
            names = ('operator', 'network', 'state', 'fault', 'push', 'clock', 'nothing')
            chance = np.array([1, 1, 1, 1, 2, 1, 4]) / 11
            getattr(self, f'_{random.choice(names, p=chance)}')()
        self._cycle(int(random.integers(1, 40)))

    # --- what comes

    def _chunk(self) -> None:
        random, bench, here = self.random, self.bench, self.trace.positions[-1]
        self.count.chunks += 1
        age = random.uniform(-0.1, 0.9)
        size = random.choice([0.01, 0.1, 0.4, 0.8])
        kind = random.random()
        if kind < 0.1:
            targets = random.choice([np.nan, np.inf, -9.0, 0.0, 3.0], (int(random.integers(6)), 16))
            bench.send(still, latency=age, positions=targets, times=np.sort(random.random(6)))
        elif kind < 0.4:
            bench.send(
                still, latency=age, positions=here + random.uniform(-size, size, (16, 16)) * 0.3
            )
        else:
            start = here + random.uniform(-0.1, 0.1, 16)
            end = here + random.uniform(-2 * size, 2 * size, 16)
            now = bench.time
            self.count.accepted += bench.send(
                lambda t: start + (t - now + age) / 1.5 * (end - start), latency=age
            )

    def _operator(self) -> None:
        controller, now = self.bench.controller, self.bench.time
        match int(self.random.integers(5)):
            case 0:
                controller.disarm(now)
            case 1:
                controller.estop(now, Reason.ESTOP_REMOTE)
            case 2:
                controller.estop(now)
            case 3:
                controller.reset(now)
            case 4:
                self._arm()

    def _network(self) -> None:
        self.bench.seen = False

    def _state(self) -> None:
        values = self.random.choice([np.nan, np.inf, 0.0, 0.3, -1.0], 29)
        opening = self.random.choice([np.nan, 0.0, 1.0], 2)
        self.bench.controller.observe(values, values, opening, self.bench.time)

    def _fault(self) -> None:
        self.bench.facts = dict(_FAULTS[int(self.random.integers(len(_FAULTS)))])
        self.bench.controller.monitor.other_publisher = (
            'intruder' if self.random.random() < 0.2 else ''
        )

    def _push(self) -> None:
        bench = self.bench
        push = self.random.uniform(-0.3, 0.3, 16)
        bench.pose = np.clip(bench.pose + push, ROBOT.action_lower, ROBOT.action_upper)
        bench.follows = not bench.follows

    def _clock(self) -> None:
        seconds = self.random.choice([0.004, 0.02, 0.15, 0.3, 2.0, 3600.0, -0.02, -0.3, -3600.0])
        self.bench.time += seconds
        if seconds > SAFETY.control_gap - PERIOD:
            self.trace.still.append(len(self.trace.times))

    def _nothing(self) -> None:
        self._cycle(int(self.random.integers(100, 400)))

    def _come_back(self) -> None:
        """The robot is well, and somebody arms."""
        bench = self.bench
        bench.seen, bench.follows, bench.facts = True, True, {}
        bench.controller.monitor.other_publisher = ''
        self._cycle(150)
        bench.controller.reset(bench.time)
        self._arm()
        self._cycle(400)

    def _arm(self) -> None:
        before = self.bench.status.mode
        self.bench.controller.arm(self.bench.time)
        if before is Mode.DISARMED:  # the weight is 0: the command moves to the measured pose
            self.trace.anew.append(len(self.trace.times))

    # --- what goes out

    def _cycle(self, cycles: int) -> None:
        bench, trace, count = self.bench, self.trace, self.count
        for _ in range(cycles):
            bench.run(PERIOD)
            command = bench.commands.pop()
            trace.times.append(bench.times.pop())
            trace.positions.append(np.concatenate((command.q, command.gripper)))
            trace.velocities.append(command.dq)
            trace.weights.append(command.weight)
            assert command.on_wire or command.weight == 0.0
            assert np.isfinite(command.tau).all()
            count.cycles += 1
            count.active += bench.controller.mode is Mode.ACTIVE
            count.slid += bench.controller.reason is Reason.SELF_COLLISION


def _check(trace: _Trace, seed: int) -> None:
    """AssertionError with the seed, and number and time of the first command that is bad."""
    times, weights = np.array(trace.times), np.array(trace.weights)
    positions, velocities = np.array(trace.positions), np.array(trace.velocities)

    def good(what: str, holds: NDArray[np.bool_], offset: int = 0) -> None:
        """holds: (N,) or (N, J) of the commands from `offset` on."""
        bad = np.flatnonzero(~holds.reshape(len(holds), -1).all(axis=1))
        if len(bad):
            k = int(bad[0]) + offset
            raise AssertionError(f'{what}: seed {seed}, command {k}, at {times[k]:.3f} s')

    good('not finite', np.isfinite(positions) & np.isfinite(weights)[:, None])
    good('out of range', positions >= LIMITS.lower - _ROUNDING)
    good('out of range', positions <= LIMITS.upper + _ROUNDING)
    good('velocity', np.abs(velocities) <= VELOCITY[:_ARMS] + _ROUNDING)
    good('weight', (weights >= 0.0) & (weights <= 1.0))

    joined = np.ones(len(times), bool)  # to the one before
    joined[[0, *(k for k in trace.anew if k < len(times))]] = False
    at_rest = [k for k in trace.still if k < len(times) and joined[k]]
    resting = np.ones(len(times), bool)
    for k in at_rest:
        resting[k] = np.abs(positions[k] - positions[k - 1]).max() < _ROUNDING
        resting[k] &= not velocities[k].any()
    good('moved in a gap', resting)
    joined[at_rest] = False

    even = joined[1:] & (np.abs(np.diff(times) - PERIOD) < 1e-6)
    regular = np.zeros(len(even), bool)  # three even steps in a row up to here
    regular[2:] = even[2:] & even[1:-1] & even[:-2]
    apart = ~joined[1:, None]
    cycles = np.where(regular, 1, CATCH_UP)[:, None]
    step, change = np.abs(np.diff(positions, axis=0)), np.abs(np.diff(velocities, axis=0))
    good('step', apart | (step <= cycles * VELOCITY * PERIOD + _ROUNDING), 1)
    good('acceleration', apart | (change <= cycles * ACCELERATION[:_ARMS] * PERIOD + _ROUNDING), 1)
    jerk = np.abs(np.diff(positions, n=3, axis=0)) / PERIOD**3
    good('jerk', ~regular[2:, None] | (jerk <= JERK * (1 + 1e-6) + 1e-5), 3)
    fall = -np.diff(weights)[:, None]
    good('weight falls', apart | (fall <= cycles * PERIOD / SAFETY.estop_ramp + _ROUNDING), 1)
    good('weight rises', apart | (-fall <= cycles * PERIOD / SAFETY.weight_ramp + _ROUNDING), 1)
    good('nearer than the margin', _apart_enough(positions[:, :_ARMS], weights, joined))


def _apart_enough(arms: Array, weights: Array, joined: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,) whether a command keeps the margin or, where arms were put nearer, comes no nearer."""
    collision = SelfCollision(ROBOT)
    gained, enough = -np.inf, np.ones(len(arms), bool)
    for k in range(len(arms)):
        if weights[k] == 0.0 or not joined[k]:
            gained = -np.inf  # they may have been put anywhere
        if weights[k] > 0.0 and (gained == -np.inf or (arms[k] != arms[k - 1]).any()):
            distance = collision.nearest(arms[k])
            kept = gained if gained >= SAFETY.self_collision_margin else gained - _NEARER
            enough[k] = distance >= kept
            gained = min(max(gained, distance), SAFETY.self_collision_margin)
    return enough
