"""Whatever comes in, whenever: what goes out is finite, in range and within every limit."""

from dataclasses import replace

import numpy as np
import pytest
from controller_bench import ACCELERATION, JERK, PERIOD, ROBOT, SAFETY, VELOCITY, Bench, bump, still
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from g1_control.limiter import Limiter
from g1_control.safety import Limits, Mode, Reason
from g1_control.unitree import ARM_MOTORS

LIMITS = Limits.of(ROBOT, SAFETY)
CATCH_UP = 6  # cycles that one may make up for after a gap, and one of rounding
IN_ARMS = slice(0, 14)

numbers = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-4, 4)
shifts = st.lists(st.floats(-0.8, 0.8), min_size=16, max_size=16)
flags = st.booleans()


class Anything(RuleBasedStateMachine):
    """A robot that does as it is told, an operator, a policy and a network that do as they please.

    After each event two cycles run, and everything that was sent since the last look is checked.
    """

    def __init__(self):
        super().__init__()
        self.bench = Bench()
        self.bench.run(2 * PERIOD)
        self.trace = []  # of (time, (16,) position, (14,) velocity, weight), without interruption
        self.gap = False
        self.claimed = self.bench.pose  # in the last state that came while the network was down

    @initialize(armed=flags)
    def begin(self, armed):
        if armed:
            self.bench.armed()
            self.bench.times, self.bench.commands = [], []
        self.look()

    # --- the operator

    @rule()
    def arm(self):
        before = self.bench.status.mode
        self.bench.controller.arm(self.bench.time)
        if before is Mode.DISARMED:  # the weight is 0: the command moves to the measured pose
            self.trace, self.bench.times, self.bench.commands = [], [], []
        if (before, self.bench.status.mode) == (Mode.DISARMED, Mode.ARMING):
            pose = self.bench.pose if self.bench.seen else self.claimed
            pose = np.clip(pose, LIMITS.lower, LIMITS.upper)
            self.bench.run(PERIOD)
            np.testing.assert_allclose(self.bench.positions[-1], pose, atol=1e-9)
        self.look()

    @rule()
    def disarm(self):
        self.bench.controller.disarm(self.bench.time)
        self.look()

    @rule(reason=st.sampled_from([Reason.ESTOP_SERVICE, Reason.ESTOP_REMOTE]))
    def estop(self, reason):
        self.bench.controller.estop(self.bench.time, reason)
        assert self.bench.status.mode is Mode.ESTOP
        self.look()
        assert self.bench.status.mode is Mode.ESTOP

    @rule()
    def reset(self):
        latched = self.bench.status.mode is Mode.ESTOP
        weight = self.bench.status.weight
        done, _ = self.bench.controller.reset(self.bench.time)
        if latched:
            assert self.bench.status.mode is (Mode.DISARMED if done else Mode.ESTOP)
            assert done == (weight == 0)
        self.look()

    # --- the robot, its network and this computer

    @rule(cycles=st.integers(1, 60) | st.just(400))
    def time_passes(self, cycles):
        self.bench.run(cycles * PERIOD)
        self.look()

    @rule(seconds=st.floats(0, 2) | st.floats(-3600, 3600))
    def clock_jumps_or_control_stalls(self, seconds):
        self.bench.time += seconds
        self.gap = seconds > SAFETY.control_gap - PERIOD
        self.look()

    @rule(seen=flags)
    def network(self, seen):
        if self.bench.seen:
            self.claimed = self.bench.pose
        self.bench.seen = seen
        self.look()

    @rule(values=st.lists(numbers, min_size=16, max_size=16), blind=flags)
    def state_is_garbage(self, values, blind):
        q = np.zeros(29)
        q[ARM_MOTORS] = values[:14]
        self.bench.controller.observe(q, q, values[14:], self.bench.time)
        if np.isfinite(values[:14]).all():
            self.claimed = np.array(values)
        elif self.bench.seen:
            self.claimed = self.bench.pose  # what is not finite counts as not received
        self.bench.seen = not blind
        self.look()

    @rule(
        fault=st.sampled_from(
            [
                {},
                {'gripper_fault': ('', 'overload')},
                {'gripper_age': (1.0, 0.0)},
                {'gripper_age': (np.nan, 0.0)},
                {'temperature': np.full(29, 99.0)},
                {'errors': np.ones(29, np.uint32)},
                {'mode_machine': 3},
            ]
        ),
        intruder=flags,
    )
    def robot_has_a_fault(self, fault, intruder):
        self.bench.facts = fault
        self.bench.controller.monitor.other_publisher = 'intruder' if intruder and not fault else ''
        self.look()

    @rule(push=shifts)
    def somebody_pushes_the_arms(self, push):
        self.bench.pose = np.clip(self.bench.pose + push, ROBOT.action_lower, ROBOT.action_upper)
        self.bench.follows = not self.bench.follows
        self.look()

    # --- the policy

    @rule(start=shifts, end=shifts, age=st.floats(-0.1, 1.2))
    def chunk_goes_somewhere(self, start, end, age):
        here = self.bench.positions[-1]
        start, end = here + 0.5 * np.array(start), here + np.array(end)
        now = self.bench.time
        self.bench.send(lambda t: start + (t - now + age) / 1.5 * (end - start), latency=age)
        self.look()

    @precondition(lambda self: self.bench.status.mode in (Mode.ACTIVE, Mode.HOLD))
    @rule(seed=st.integers(0, 2**32 - 1), noise=st.floats(0.001, 0.3), count=st.integers(1, 12))
    def chunks_contradict_each_other(self, seed, noise, count):
        random, here = np.random.default_rng(seed), self.bench.positions[-1]
        for _ in range(count):
            targets = here + random.uniform(-noise, noise, (16, 16))
            self.bench.send(still, latency=random.uniform(0, 0.8), positions=targets)
            self.bench.run(PERIOD * int(random.integers(1, 60)))
        self.look()

    @rule(points=st.lists(st.tuples(numbers, numbers), max_size=5), age=st.floats(-0.1, 1.2))
    def chunk_is_garbage(self, points, age):
        times, positions = [time for time, _ in points], [[value] * 16 for _, value in points]
        self.bench.send(still, latency=age, positions=positions, times=times)
        self.look()

    # --- the checks

    def look(self):
        bench = self.bench
        bench.run(2 * PERIOD)
        for time, command in zip(bench.times, bench.commands, strict=True):
            self.check(time, command)
        bench.times, bench.commands = bench.times[-1:], bench.commands[-1:]

    def check(self, time, command):
        if self.trace and time == self.trace[-1][0]:
            return  # kept from the last look
        for name in ('q', 'dq', 'tau', 'kp', 'kd', 'gripper', 'weight'):
            assert np.isfinite(getattr(command, name)).all(), name
        position = np.concatenate((command.q, command.gripper))
        assert (position >= LIMITS.lower - 1e-9).all()
        assert (position <= LIMITS.upper + 1e-9).all()
        assert (np.abs(command.dq) <= VELOCITY[:14] + 1e-9).all()
        assert 0 <= command.weight <= 1
        assert command.on_wire or command.weight == 0
        entry = (time, position, command.dq, command.weight)
        if self.trace and self.gap:
            # After a stall the arms are told to stay where they were told to be.
            np.testing.assert_allclose(position, self.trace[-1][1], atol=1e-9)
            assert not command.dq.any()
            self.trace, self.gap = [], False
        self.trace = [*self.trace[-3:], entry]
        if len(self.trace) > 1:
            self.check_steps()

    def check_steps(self):
        times = np.array([entry[0] for entry in self.trace])
        positions = np.array([entry[1] for entry in self.trace])
        velocities = np.array([entry[2] for entry in self.trace])
        regular = np.abs(np.diff(times) - PERIOD).max() < 1e-6
        cycles = 1 if regular and len(times) == 4 else CATCH_UP
        assert (np.abs(positions[-1] - positions[-2]) <= cycles * VELOCITY * PERIOD + 1e-9).all()
        change = np.abs(velocities[-1] - velocities[-2])
        assert (change <= cycles * ACCELERATION[IN_ARMS] * PERIOD + 1e-9).all()
        if cycles == 1:
            jerk = np.abs(np.diff(positions, n=3, axis=0)) / PERIOD**3
            assert (jerk <= JERK * (1 + 1e-6) + 1e-5).all()
        weights = [entry[3] for entry in self.trace]
        assert weights[-2] - weights[-1] <= cycles * PERIOD / SAFETY.estop_ramp + 1e-9
        assert weights[-1] - weights[-2] <= cycles * PERIOD / SAFETY.weight_ramp + 1e-9


def test_half_the_speed_is_half_of_every_velocity_limit():
    whole, half = (Limits.of(ROBOT, replace(SAFETY, speed=speed)) for speed in (1.0, 0.5))
    np.testing.assert_allclose(half.velocity, whole.velocity / 2)
    np.testing.assert_allclose(half.acceleration, whole.acceleration)
    limiter, fastest = Limiter(half, PERIOD), 0.0
    target = np.array((half.upper, np.zeros(16)))
    for _ in range(500):
        limiter.advance(limiter.candidate(target))
        fastest = max(fastest, float(np.abs(limiter.velocity[:14]).max()))
    assert fastest == pytest.approx(1.0, abs=1e-6)


QUICK = settings(
    max_examples=15,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


class TestAnything(Anything.TestCase):  # type: ignore[valid-type, misc]
    settings = QUICK


@pytest.mark.slow
@pytest.mark.timeout(3600)
class TestAnythingAtRandom(Anything.TestCase):  # type: ignore[valid-type, misc]
    settings = settings(QUICK, max_examples=400, stateful_step_count=30, derandomize=False)


def test_a_clock_that_is_set_back_a_little_halts_nothing():
    """By less than what brakes: the motion goes on evenly, as if nothing had been."""
    bench = Bench().armed()
    bench.send(bump(bench.time))
    bench.run(0.5)
    bench.commands = []
    for _ in range(5):
        bench.run(0.04)
        bench.time -= 0.02
    bench.run(0.1)
    assert bench.status.mode is Mode.ACTIVE
    velocity = np.diff(bench.positions[:, IN_ARMS], axis=0) / PERIOD
    change = np.abs(np.diff(velocity, axis=0))
    assert np.abs(velocity).max(axis=1).min() > 0.1
    assert (change <= ACCELERATION[IN_ARMS] * PERIOD + 1e-6).all()
