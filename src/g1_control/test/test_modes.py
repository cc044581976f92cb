"""Modes and faults, without ROS: arming, handing back, e-stop, and what stops the arms."""

import numpy as np
import pytest
from controller_bench import (
    ACCELERATION,
    OUTWARD,
    PERIOD,
    ROBOT,
    SAFETY,
    Bench,
    bump,
    still,
)

from g1_control.safety import Mode, Reason


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
    bench.controller.monitor.other_publisher = 'somebody else publishes on /arm_sdk'
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


@pytest.mark.parametrize(
    ('facts', 'text'),
    [
        ({'gripper_fault': ('', 'overload')}, 'right gripper: overload'),
        ({'gripper_age': (0.8, 0.0)}, 'left gripper: its state is 0.80 s old'),
    ],
)
def test_a_gripper_fault_holds_as_long_as_it_lasts_and_then_goes_on(facts, text):
    bench = Bench().armed()
    bench.send(bump(bench.time))
    bench.run(0.3)
    bench.facts = facts
    bench.run(SAFETY.fault_patience + 2.0)
    assert (bench.status.mode, bench.status.reason) == (Mode.HOLD, Reason.GRIPPER_FAULT)
    assert text in bench.status.text
    assert not bench.send(lambda _: bench.pose)
    bench.facts = {}
    bench.run(PERIOD)
    assert bench.status.text.startswith('HOLD: waiting for a chunk; held before: ')
    assert bench.send(lambda _: bench.pose)
    assert bench.status.mode is Mode.ACTIVE


def test_a_text_about_an_old_fault_gives_way_to_the_present_one():
    bench = Bench().armed()
    bench.facts = broken(20)
    bench.run(SAFETY.fault_patience + SAFETY.weight_ramp + 0.1)
    assert bench.status.mode is Mode.DISARMED
    assert 'motor reports' in bench.status.text
    bench.facts = {'gripper_age': (0.8, 0.0)}
    bench.run(PERIOD)
    assert bench.status.reason is Reason.GRIPPER_FAULT
    assert bench.status.text.startswith('DISARMED: left gripper: its state is 0.80 s old')
    bench.facts = {}
    bench.run(PERIOD)
    assert bench.status.reason is Reason.MOTOR_ERROR
    assert bench.status.text.startswith('DISARMED: handed back because of: ')


def test_without_a_gripper_the_arms_are_not_armed():
    bench = Bench(pose=np.append(ROBOT.home[:14], [0.02, np.nan]))
    bench.run(0.1)
    done, text = bench.controller.arm(bench.time)
    assert not done
    assert "right gripper: no state yet; is the gripper's node running?" in text


def test_a_stall_of_control_ends_in_hold_where_the_arms_were_told_to_be():
    bench = Bench().armed()
    bench.send(bump(bench.time))
    bench.run(0.5)
    told = bench.positions[-1]
    bench.time += 1.0
    bench.run(0.5)
    assert (bench.status.mode, bench.status.reason) == (Mode.HOLD, Reason.DEADLINES_MISSED)
    assert 'no control cycle for 1.00 s' in bench.status.text
    np.testing.assert_allclose(bench.positions[-1], told, atol=1e-9)
    assert bench.status.weight == 1.0


def test_a_clock_set_back_brakes_to_hold_and_everything_still_works():
    bench = Bench().armed()
    bench.send(bump(bench.time, height=0.9))
    bench.run(0.5)
    first = len(bench.commands) - 3
    bench.time -= 3600.0
    bench.run(0.6)
    assert (bench.status.mode, bench.status.reason) == (Mode.HOLD, Reason.DEADLINES_MISSED)
    assert 'the clock was set back by' in bench.status.text
    velocity = np.diff(bench.positions[first:], axis=0) / PERIOD
    assert (np.abs(np.diff(velocity, axis=0)) <= ACCELERATION * PERIOD + 1e-9).all()
    assert bench.send(lambda _: bench.pose)
    bench.run(0.1)
    bench.seen = False
    bench.run(0.1)
    assert bench.status.reason is Reason.LOWSTATE_STALE
    bench.run(2.0)
    assert bench.status.mode is Mode.DISARMED
    assert not bench.commands[-1].on_wire


def test_a_pose_just_out_of_range_is_taken_at_its_end_and_an_impossible_one_is_not_armed():
    pose = ROBOT.home.copy()
    pose[6] = ROBOT.action_upper[6] + 0.01
    bench = Bench(pose=pose).armed()
    assert bench.positions[-1][6] == pytest.approx(ROBOT.action_upper[6] - SAFETY.range_margin)
    bench = Bench(pose=pose + np.eye(16)[6])
    bench.run(0.1)
    assert 'left_wrist_yaw_joint' in bench.controller.arm(bench.time)[1]


def test_an_arm_that_is_moved_while_arming_makes_the_weight_wait():
    bench = Bench(follows=False)
    bench.run(0.1)
    bench.controller.arm(bench.time)
    bench.run(0.3)
    bench.pose = bench.pose + 0.7 * np.append(OUTWARD, [0.0, 0.0])
    bench.run(0.2)
    assert (bench.status.mode, bench.status.reason) == (Mode.ARMING, Reason.TRACKING_ERROR)
    assert bench.status.weight < 0.25
