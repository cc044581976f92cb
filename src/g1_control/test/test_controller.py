"""From chunks to commands, without ROS: smoothness, refusals, modes, limits that always hold."""

from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from g1_control.chunk_buffer import Chunk
from g1_control.controller import Command, Controller, ControlParameters
from g1_control.safety import Mode, Reason, SafetyParameters
from g1_control.unitree import ARM_MOTORS
from g1_description import load_robot

ROBOT = load_robot()
SAFETY = SafetyParameters()
PERIOD = 0.004
STEP = 0.1
TIMES = np.arange(16) * STEP
VELOCITY = np.array(SAFETY.arm_velocity * 2 + [SAFETY.gripper_velocity] * 2)
#: Both arms alike, away from the body.
OUTWARD = np.array([1.0] * 7 + [1.0, -1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
ACCELERATION = np.array(SAFETY.arm_acceleration * 2 + [SAFETY.gripper_acceleration] * 2)


class Weightless:
    def gravity(self, q):
        return np.zeros(len(q))


@dataclass
class Bench:
    """A controller on a robot that follows perfectly, at 250 Hz."""

    time: float = 100.0
    pose: np.ndarray = field(default_factory=ROBOT.home.copy)
    seen: bool = True
    follows: bool = True
    facts: dict = field(default_factory=dict)

    def __post_init__(self):
        self.controller = Controller(ControlParameters(), SAFETY, ROBOT, Weightless())
        self.times: list[float] = []
        self.commands: list[Command] = []

    def run(self, duration, until=lambda status: False):
        for _ in range(round(duration / PERIOD)):
            self.time += PERIOD
            if self.seen:
                q = np.zeros(29)
                q[ARM_MOTORS] = self.pose[:14]
                self.controller.observe(q, 0 * q, self.pose[14:], self.time, **self.facts)
            command = self.controller.cycle(self.time)
            self.times.append(self.time)
            self.commands.append(command)
            if command.weight > 0 and self.follows:
                self.pose = np.concatenate((command.q, command.gripper))
            if until(self.status):
                return

    def armed(self):
        self.run(0.1)
        assert self.controller.arm(self.time) == (True, 'arming, takes 1.5 s')
        self.run(2.0, until=lambda status: status.mode is Mode.HOLD)
        assert self.status.mode is Mode.HOLD
        return self

    def send(self, motion, latency=0.0, **changes):
        """A chunk of `motion(time) -> (16,)`, stamped `latency` ago. Says whether it was taken."""
        stamp = self.time - latency
        values = {
            'stamp': stamp,
            'names': ROBOT.chunk_joints,
            'times': TIMES,
            'positions': np.array([motion(stamp + t) for t in TIMES]),
        }
        return self.controller.receive_chunk(Chunk(**{**values, **changes}), self.time)

    @property
    def status(self):
        return self.controller.status

    @property
    def positions(self):
        return np.array([np.concatenate((c.q, c.gripper)) for c in self.commands])


def bump(start, height=0.5, duration=1.2):
    """A minimum-jerk move of the arms outward by `height` rad, grippers closing."""

    def motion(time):
        s = np.clip((time - start) / duration, 0, 1)
        share = 10 * s**3 - 15 * s**4 + 6 * s**5
        return ROBOT.home + share * np.append(height * OUTWARD, [-0.03] * 2)

    return motion


def still(_time):
    return ROBOT.home


def test_a_stream_of_chunks_is_executed_as_meant_although_each_comes_late():
    bench = Bench().armed()
    motion = bump(bench.time + 0.3)
    first = len(bench.commands)
    for _ in range(10):
        assert bench.send(motion, latency=0.13)
        bench.run(0.22)
    wanted = np.array([motion(time) for time in bench.times[first:]])
    np.testing.assert_allclose(bench.positions[first:], wanted, atol=2e-3)
    acceleration = np.diff(bench.positions[first:], n=2, axis=0) / PERIOD**2
    assert np.abs(acceleration[:, 0]).max() < 1.1 * 5.774 * 0.5 / 1.2**2  # of the motion itself
    assert bench.status.mode is Mode.ACTIVE
    assert bench.status.holds == 0


def test_velocity_is_the_feed_forward_of_the_position():
    bench = Bench().armed()
    first = len(bench.commands)
    bench.send(bump(bench.time))
    bench.run(1.0)
    velocity = np.diff([c.q for c in bench.commands[first:]], axis=0) / PERIOD
    np.testing.assert_allclose(velocity, [c.dq for c in bench.commands[first + 1 :]], atol=1e-6)
    assert velocity.max() > 0.5


@pytest.mark.parametrize('delay', [0, 2, 5, 8])
def test_a_seam_between_chunks_that_disagree_has_no_step_in_velocity_and_no_stop(delay):
    rng = np.random.default_rng(delay)
    bench = Bench().armed()
    start = bench.time

    def ramp(time):
        return ROBOT.home + 0.4 * (time - start) * np.append(OUTWARD, [0.0] * 2)

    bench.send(ramp)
    bench.run(0.9)
    seam = len(bench.commands)
    offset = np.append(rng.normal(0, 0.01, 14), [0.0, 0.0])
    assert bench.send(lambda time: ramp(time) + offset, latency=delay * STEP)
    bench.run(0.5)
    position = bench.positions[seam - 25 :, :14]
    velocity = np.diff(position, axis=0) / PERIOD
    assert (velocity * OUTWARD).min() > 0.15
    assert np.abs(np.diff(velocity, axis=0)).max() < 5.0 * PERIOD
    np.testing.assert_allclose(position[-1], ramp(bench.time)[:14] + offset[:14], atol=2e-3)


@pytest.mark.parametrize('noise', [0.03, 0.1])
def test_chunks_that_contradict_each_other_never_swing_the_arms_beyond_what_they_ask(noise):
    bench = Bench().armed()
    random = np.random.default_rng(0)
    first = len(bench.commands)
    for _ in range(60):
        targets = ROBOT.home + random.uniform(-noise, noise, (16, 16))
        targets[:, 14:] = ROBOT.home[14:]
        assert bench.send(still, latency=0.15, positions=targets)
        bench.run(0.2)
    excursion = np.abs(bench.positions[first:, :14] - ROBOT.home[:14]).max()
    assert 0.5 * noise < excursion < 2 * noise
    assert bench.status.chunks_rejected == 0


def test_after_the_last_chunk_the_arms_brake_to_hold_and_the_next_chunk_resumes():
    bench = Bench().armed()
    start = bench.time

    def ramp(time):
        return ROBOT.home + 0.5 * (time - start) * np.append(OUTWARD, [0.0] * 2)

    bench.send(ramp, times=TIMES[:5], positions=np.array([ramp(start + t) for t in TIMES[:5]]))
    bench.run(1.0)
    assert (bench.status.mode, bench.status.reason) == (Mode.HOLD, Reason.CHUNK_EXPIRED)
    assert bench.status.holds == 1
    velocity = np.diff(bench.positions[-250:], axis=0) / PERIOD
    assert np.abs(np.diff(velocity, axis=0))[:, :14].max() <= 12.0 * PERIOD * 1.001
    assert np.abs(velocity[-1]).max() < 1e-9

    assert bench.send(lambda _: bench.pose)
    bench.run(0.1)
    assert bench.status.mode is Mode.ACTIVE


def test_a_first_target_in_the_future_is_reached_in_time():
    bench = Bench().armed()
    goal = ROBOT.home + np.append(0.1 * OUTWARD, [-0.01] * 2)
    assert bench.send(still, times=[0.5], positions=[goal])
    bench.run(0.5)
    np.testing.assert_allclose(bench.pose, goal, atol=1e-3)


def test_a_chunk_that_arrives_out_of_order_is_refused_and_a_duplicate_changes_nothing():
    bench, twin = Bench().armed(), Bench().armed()
    for b in (bench, twin):
        assert b.send(bump(b.time))
        b.run(0.3)
    motion = bump(bench.time - 0.3)
    assert bench.send(motion, latency=0.3)
    bench.run(0.3)
    twin.run(0.3)
    np.testing.assert_allclose(bench.positions, twin.positions, atol=1e-5)
    assert not bench.send(motion, latency=0.7)
    assert bench.status.rejection_reason is Reason.CHUNK_TOO_OLD


def swapped(names):
    return (names[1], names[0], *names[2:])


def changed(k, joint, value):
    positions = np.tile(ROBOT.home, (16, 1))
    positions[k, joint] = value
    return positions


@pytest.mark.parametrize(
    ('changes', 'reason', 'joint'),
    [
        ({'positions': changed(3, 4, np.nan)}, Reason.CHUNK_NOT_FINITE, 'left_wrist_roll_joint'),
        ({'positions': changed(3, 15, np.inf)}, Reason.CHUNK_NOT_FINITE, 'right_gripper_joint'),
        ({'stamp': np.nan}, Reason.CHUNK_NOT_FINITE, ''),
        ({'names': ROBOT.chunk_joints[:-1]}, Reason.CHUNK_JOINT_NAMES, 'right_gripper_joint'),
        (
            {'names': (*ROBOT.chunk_joints[:-1], 'left_knee_joint')},
            Reason.CHUNK_JOINT_NAMES,
            'right_gripper_joint',
        ),
        (
            {'names': swapped(ROBOT.chunk_joints)},
            Reason.CHUNK_JOINT_NAMES,
            'left_shoulder_pitch_joint',
        ),
        (
            {'names': (*ROBOT.chunk_joints, 'left_elbow_joint')},
            Reason.CHUNK_JOINT_NAMES,
            'left_elbow_joint',
        ),
        ({'positions': [], 'times': []}, Reason.CHUNK_EMPTY, ''),
        ({'positions': [[0.0] * 15], 'times': [0.0]}, Reason.CHUNK_SHAPE, ''),
        ({'positions': np.zeros((300, 16))}, Reason.CHUNK_SHAPE, ''),
        ({'times': TIMES[:-1]}, Reason.CHUNK_SHAPE, ''),
        ({'times': TIMES[::-1]}, Reason.CHUNK_TIMES, ''),
        ({'times': np.zeros(16)}, Reason.CHUNK_TIMES, ''),
        ({'times': TIMES - 0.2}, Reason.CHUNK_TIMES, ''),
        ({'stamp': 1e6}, Reason.CHUNK_FROM_FUTURE, ''),
        ({'stamp': 90.0}, Reason.CHUNK_TOO_OLD, ''),
        (
            {'positions': np.tile(ROBOT.home + np.eye(16)[9] * 0.7, (16, 1))},
            Reason.CHUNK_START_TOO_FAR,
            'right_shoulder_yaw_joint',
        ),
        (
            {'positions': changed(9, 6, ROBOT.home[6] + 0.45)},
            Reason.CHUNK_TOO_FAST,
            'left_wrist_yaw_joint',
        ),
    ],
)
def test_a_bad_chunk_is_refused_whole_and_the_one_before_goes_on(changes, reason, joint):
    bench, twin = Bench().armed(), Bench().armed()
    for b in (bench, twin):
        b.send(bump(b.time, height=0.3))
        b.run(0.1)
    assert not bench.send(still, **changes)
    assert bench.status.rejection_reason is reason
    assert bench.status.limiting_joint == joint
    assert joint in bench.status.rejection_text
    assert bench.status.chunks_rejected == 1
    bench.run(1.0)
    twin.run(1.0)
    assert bench.status.mode is Mode.ACTIVE
    np.testing.assert_array_equal(bench.positions, twin.positions)


def test_targets_out_of_range_are_clamped_and_counted():
    bench = Bench().armed()
    far = ROBOT.chunk_upper[6] + 0.3
    joint = np.eye(16)[6]
    for k in range(1, 8):
        goal = ROBOT.home[6] + k * (far - ROBOT.home[6]) / 7
        assert bench.send(lambda _, goal=goal: ROBOT.home + joint * (goal - ROBOT.home[6]))
        bench.run(0.5)
    assert bench.status.clamped >= 16
    assert bench.status.limiting_joint == 'left_wrist_yaw_joint'
    assert bench.pose[6] == pytest.approx(ROBOT.chunk_upper[6] - SAFETY.range_margin, abs=1e-6)


def test_nothing_goes_out_and_nothing_moves_until_armed():
    bench = Bench()
    bench.run(0.3)
    assert not bench.send(bump(bench.time))
    bench.run(0.5)
    assert not any(command.on_wire for command in bench.commands)
    assert bench.status.mode is Mode.DISARMED


def test_arming_and_disarming_ramp_the_weight_at_the_measured_pose():
    bench = Bench(pose=ROBOT.home + 0.05 * np.array([1.0] * 14 + [-0.1] * 2)).armed()
    pose = bench.pose.copy()
    bench.run(0.2)
    bench.controller.disarm(bench.time)
    bench.run(2.0)
    assert bench.status.mode is Mode.DISARMED
    weights = np.array([command.weight for command in bench.commands])
    assert weights.max() == 1.0
    assert weights[-1] == 0.0
    assert np.abs(np.diff(weights)).max() <= 1.001 * PERIOD / SAFETY.weight_ramp
    sent = [k for k, command in enumerate(bench.commands) if command.on_wire]
    np.testing.assert_allclose(bench.positions[sent], np.tile(pose, (len(sent), 1)))
    assert bench.commands[sent[-1]].weight == 0.0
    assert not bench.commands[-1].on_wire


def test_a_short_gap_in_lowstate_while_arming_makes_the_weight_wait():
    bench = Bench()
    bench.run(0.1)
    bench.controller.arm(bench.time)
    bench.run(0.5)
    bench.seen = False
    bench.run(0.1)
    weight = bench.status.weight
    assert (bench.status.mode, bench.status.reason) == (Mode.ARMING, Reason.LOWSTATE_STALE)
    bench.run(0.05)
    assert bench.status.weight == weight
    bench.seen = True
    bench.run(1.2)
    assert bench.status.mode is Mode.HOLD


def test_disarming_in_motion_brakes_within_the_limits():
    bench = Bench().armed()
    bench.send(bump(bench.time, height=1.0))
    bench.run(0.5)
    first = len(bench.commands) - 2
    bench.controller.disarm(bench.time)
    bench.run(0.5)
    velocity = np.diff(bench.positions[first:], axis=0) / PERIOD
    assert (np.abs(np.diff(velocity, axis=0)) <= 1.001 * ACCELERATION * PERIOD).all()
    assert np.abs(velocity[-1]).max() < 1e-9


def test_estop_holds_the_measured_pose_lets_go_fast_and_stays_latched():
    bench = Bench().armed()
    bench.send(bump(bench.time))
    bench.run(0.4)
    grip = bench.commands[-1].gripper
    bench.follows = False
    bench.pose = bench.pose - 0.02 * np.array([1.0] * 14 + [0.0] * 2)
    bench.run(PERIOD)
    bench.controller.estop(bench.time)
    bench.run(0.6)
    assert (bench.status.mode, bench.status.reason) == (Mode.ESTOP, Reason.ESTOP_SERVICE)
    assert bench.status.weight == 0.0
    np.testing.assert_allclose(bench.commands[-1].q, bench.pose[:14], atol=1e-3)
    np.testing.assert_allclose(bench.commands[-1].gripper, grip, atol=2e-2)

    assert not bench.controller.arm(bench.time)[0]
    assert not bench.send(still)
    assert bench.controller.reset(bench.time)[0]
    bench.run(0.1)
    assert bench.status.mode is Mode.DISARMED
    assert bench.controller.arm(bench.time)[0]


def hot(joint):
    temperature = np.full(29, 40.0)
    temperature[joint] = 95.0
    return {'temperature': temperature}


def broken(joint):
    errors = np.zeros(29, np.uint32)
    errors[joint] = 4
    return {'errors': errors}


@pytest.mark.parametrize(
    ('facts', 'reason', 'joint'),
    [
        (hot(18), Reason.MOTOR_TEMPERATURE, 'left_elbow_joint'),
        (broken(28), Reason.MOTOR_ERROR, 'right_wrist_yaw_joint'),
    ],
)
def test_a_motor_fault_holds_then_disarms_and_refuses_arming(facts, reason, joint):
    bench = Bench().armed()
    bench.send(bump(bench.time))
    bench.run(0.3)
    bench.facts = facts
    bench.run(0.1)
    assert (bench.status.mode, bench.status.reason) == (Mode.HOLD, reason)
    assert joint in bench.status.text
    assert not bench.send(still)
    bench.run(SAFETY.fault_patience)
    assert (bench.status.mode, bench.status.reason) == (Mode.DISARMING, reason)
    bench.run(1.6)
    assert bench.status.mode is Mode.DISARMED
    assert joint in bench.controller.arm(bench.time)[1]


def test_a_blocked_arm_is_a_tracking_error_and_going_on_needs_a_chunk_from_where_it_is():
    bench = Bench().armed()
    bench.send(bump(bench.time, height=0.9))
    bench.follows = False
    bench.run(1.5, until=lambda status: status.mode is Mode.HOLD)
    assert bench.status.reason is Reason.TRACKING_ERROR
    assert '_joint: 0.50 rad from its command' in bench.status.text
    bench.follows = True
    bench.pose = bench.positions[-1]
    bench.run(0.4)
    assert bench.status.mode is Mode.HOLD
    assert bench.send(lambda _: bench.pose)
    assert bench.status.mode is Mode.ACTIVE


def test_losing_lowstate_holds_after_50_ms_and_disarms_after_200_ms():
    bench = Bench().armed()
    bench.send(bump(bench.time))
    bench.run(0.2)
    bench.seen = False
    lost = bench.time
    bench.run(0.3, until=lambda status: status.mode is Mode.HOLD)
    assert bench.status.reason is Reason.LOWSTATE_STALE
    assert bench.time - lost == pytest.approx(0.05, abs=0.01)
    bench.run(0.3, until=lambda status: status.mode is Mode.DISARMING)
    assert bench.status.reason is Reason.LOWSTATE_LOST
    assert bench.time - lost == pytest.approx(0.2, abs=0.01)


def test_an_unknown_robot_or_a_second_publisher_refuses_arming_and_disarms():
    bench = Bench(facts={'mode_machine': 4})
    bench.run(0.1)
    assert 'mode_machine is 4' in bench.controller.arm(bench.time)[1]
    bench.facts = {}
    bench.armed()
    bench.controller.other_publisher = True
    bench.run(0.1)
    assert (bench.status.mode, bench.status.reason) == (Mode.DISARMING, Reason.SECOND_PUBLISHER)
    bench.run(2.0)
    assert 'somebody else publishes on /arm_sdk' in bench.controller.arm(bench.time)[1]


def test_arming_needs_a_robot():
    bench = Bench(seen=False)
    bench.run(0.1)
    done, text = bench.controller.arm(bench.time)
    assert not done
    assert 'no /lowstate yet' in text


def test_a_burst_of_late_cycles_holds():
    bench = Bench().armed()
    bench.send(bump(bench.time))
    for _ in range(SAFETY.missed_deadlines + 1):
        bench.run(PERIOD)
        bench.time += PERIOD
        bench.controller.cycle(bench.time, late=True)
    assert (bench.status.mode, bench.status.reason) == (Mode.HOLD, Reason.DEADLINES_MISSED)
    assert bench.status.deadlines_missed == SAFETY.missed_deadlines + 1


numbers = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-4, 4)
chunk_shift = st.lists(st.floats(-0.8, 0.8), min_size=16, max_size=16)
events = st.one_of(
    st.tuples(st.just('arm')),
    st.tuples(st.just('disarm')),
    st.tuples(st.just('estop')),
    st.tuples(st.just('reset')),
    st.tuples(st.just('run'), st.integers(1, 60)),
    st.tuples(st.just('run'), st.just(400)),
    st.tuples(st.just('wait'), st.floats(-2, 2)),
    st.tuples(st.just('blind'), st.booleans()),
    st.tuples(st.just('measure'), st.lists(numbers, min_size=16, max_size=16)),
    st.tuples(st.just('chunk'), chunk_shift, chunk_shift, st.floats(-0.1, 1.2)),
    st.tuples(
        st.just('noise'),
        st.lists(st.tuples(numbers, numbers), max_size=5),
        st.floats(-0.1, 1.2),
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(events, max_size=8))
def test_no_command_leaves_its_limits_whatever_comes(sequence):
    bench = deepcopy(armed_bench())
    for event in sequence:
        before = bench.status.mode
        inject(bench, *event)
        if before is Mode.DISARMED and bench.status.mode is Mode.ARMING:
            check_limits(bench)
            bench.commands = bench.commands[-1:]  # arming starts anew from the measured pose
    check_limits(bench)


@cache
def armed_bench():
    bench = Bench().armed()
    bench.commands = bench.commands[-1:]
    return bench


def inject(bench, kind, *values):
    controller = bench.controller
    if kind in ('arm', 'disarm', 'estop', 'reset'):
        getattr(controller, kind)(bench.time)
    elif kind == 'run':
        bench.run(values[0] * PERIOD)
    elif kind == 'wait':
        bench.time += values[0]
    elif kind == 'blind':
        bench.seen = values[0]
    elif kind == 'measure':
        q = np.zeros(29)
        q[ARM_MOTORS] = values[0][:14]
        controller.observe(q, q, values[0][14:], bench.time)
    elif kind == 'chunk':
        here = np.concatenate((bench.commands[-1].q, bench.commands[-1].gripper))
        start, end, age = here + values[0], here + np.array(values[1]), values[2]
        bench.send(lambda t: start + (t - bench.time + age) / 1.5 * (end - start), latency=age)
    elif kind == 'noise':
        points = [[position] * 16 for _, position in values[0]]
        times = [time for time, _ in values[0]]
        bench.send(still, latency=values[1], positions=points, times=times)
    bench.run(2 * PERIOD)


def check_limits(bench):
    commands = bench.commands
    for name in ('q', 'dq', 'tau', 'kp', 'kd', 'gripper', 'weight'):
        assert np.isfinite([getattr(command, name) for command in commands]).all()
    position = bench.positions
    assert (position >= ROBOT.chunk_lower - 1e-9).all()
    assert (position <= ROBOT.chunk_upper + 1e-9).all()
    # A cycle after a gap makes up for up to five.
    cycles = np.clip(np.round(np.diff(bench.times[-len(commands) :]) / PERIOD), 1, 5)[:, None]
    assert (np.abs(np.diff(position, axis=0)) <= cycles * VELOCITY * PERIOD + 1e-9).all()
    velocity = np.array([command.dq for command in commands])
    change = cycles * ACCELERATION[:14] * PERIOD
    assert (np.abs(np.diff(velocity, axis=0)) <= change + 1e-9).all()
    weight = np.array([command.weight for command in commands])
    assert ((weight >= 0) & (weight <= 1)).all()
    assert (np.abs(np.diff(weight)) <= cycles[:, 0] * PERIOD / SAFETY.estop_ramp + 1e-9).all()
