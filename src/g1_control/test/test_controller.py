"""From chunks to commands, without ROS: smoothness and refusals."""

import numpy as np
import pytest
from controller_bench import (
    JERK,
    OUTWARD,
    PERIOD,
    ROBOT,
    SAFETY,
    STEP,
    TIMES,
    Bench,
    bump,
    still,
)

from g1_bench.seams import seam_quality
from g1_control.safety import Mode, Reason


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


def test_a_hundred_fast_targets_a_second_are_followed_as_they_come():
    """As an operator's: each message has the targets of the last and of the next 50 ms."""
    bench = Bench().armed()
    begin, lead = bench.time, np.arange(-5, 6) * 0.01

    def swing(time):
        shoulder = np.append(OUTWARD * np.eye(7)[[1, 1]].ravel(), [0.0, 0.0])
        since = max(time - begin, 0.0)
        return ROBOT.home + 0.4 * (1 - np.cos(4.5 * since)) * shoulder  # to 1.8 rad/s, reversing

    for _ in range(200):
        chunk = np.array([swing(bench.time + time) for time in lead])
        assert bench.send(still, times=lead - lead[0], positions=chunk, stamp=bench.time + lead[0])
        bench.run(0.01)
        np.testing.assert_allclose(bench.pose, swing(bench.time), atol=0.05)


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


def test_a_restarted_policy_moves_nothing_until_the_arms_are_armed_again():
    bench = Bench().armed()
    for number in (1, 2, 3):
        bench.run(0.3)
        stamp = bench.time
        assert bench.send(still, number=number)
    bench.run(0.3)
    assert bench.send(still, number=3, stamp=stamp), 'a duplicate is no restart'
    bench.run(2.0)
    assert bench.status.mode is Mode.HOLD
    assert bench.send(still), 'a person moves them in between'
    assert not bench.send(bump(bench.time), number=1)
    assert bench.status.rejection_reason is Reason.POLICY_RESTARTED
    bench.run(0.1)
    assert (bench.status.mode, bench.status.reason) == (Mode.DISARMING, Reason.POLICY_RESTARTED)
    assert 'arm again' in bench.status.text
    bench.run(2.0)
    np.testing.assert_allclose(bench.pose, ROBOT.home, atol=1e-6)
    bench.armed()
    assert bench.send(bump(bench.time), number=2)


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
        ({'names': ROBOT.action_joints[:-1]}, Reason.CHUNK_JOINT_NAMES, 'right_gripper_joint'),
        (
            {'names': (*ROBOT.action_joints[:-1], 'left_knee_joint')},
            Reason.CHUNK_JOINT_NAMES,
            'right_gripper_joint',
        ),
        (
            {'names': swapped(ROBOT.action_joints)},
            Reason.CHUNK_JOINT_NAMES,
            'left_shoulder_pitch_joint',
        ),
        (
            {'names': (*ROBOT.action_joints, 'left_elbow_joint')},
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
    far = ROBOT.action_upper[6] + 0.3
    joint = np.eye(16)[6]
    for k in range(1, 8):
        goal = ROBOT.home[6] + k * (far - ROBOT.home[6]) / 7
        assert bench.send(lambda _, goal=goal: ROBOT.home + joint * (goal - ROBOT.home[6]))
        bench.run(0.5)
    assert bench.status.clamped >= 16
    assert bench.status.limiting_joint == 'left_wrist_yaw_joint'
    assert bench.pose[6] == pytest.approx(ROBOT.action_upper[6] - SAFETY.range_margin, abs=1e-6)


@pytest.mark.parametrize('noise', [0.0, 0.03])
def test_jerk_is_limited_and_a_plan_within_the_limits_passes_unchanged(noise):
    bench = Bench().armed()
    motion, random = bump(bench.time + 0.3), np.random.default_rng(1)
    first = len(bench.commands)
    for _ in range(8):
        shift = np.append(random.normal(0.0, noise, 14), [0.0, 0.0])
        assert bench.send(lambda t, shift=shift: motion(t) + shift, latency=0.13)
        bench.run(0.22)
    jerk = np.abs(np.diff(bench.positions[first:], n=3, axis=0)) / PERIOD**3
    assert (jerk <= JERK * 1.000001).all()
    if not noise:
        wanted = np.array([motion(time) for time in bench.times[first:]])
        np.testing.assert_allclose(bench.positions[first:], wanted, atol=1e-3)


def test_seams_are_about_as_smooth_as_what_is_between_them():
    quality = seam_quality(pairs=40, seed=3)
    assert (quality.pairs, quality.stops, quality.lost) == (40, 0, 0)
    assert quality.seam_velocity_step < 3 * quality.inside_velocity_step
    assert quality.seam_acceleration_step < 3 * quality.inside_acceleration_step
    assert quality.seam_acceleration_step < SAFETY.arm_jerk * PERIOD
