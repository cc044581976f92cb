"""The world around: hands slide along table and workspace, keep their speed, yield to contact."""

from dataclasses import replace

import numpy as np
import pytest
from controller_bench import OUTWARD, ROBOT, SAFETY, Bench
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from g1_control.collision import WallDistances
from g1_control.contact import ContactObserver
from g1_control.control_parameters import ControlParameters
from g1_control.controller import Controller
from g1_control.safety import Mode, Reason, SafetyParameters, Wall, walls
from g1_control.safety.world import unset
from g1_control.unitree import ARM_MOTORS
from g1_description.kinematics import ArmKinematics, arm_model
from g1_ros.config import config_path
from g1_ros.parameters import load

KINEMATICS = ArmKinematics()
AROUND = WallDistances(ROBOT, walls(SAFETY), 0.0)
HOME = ROBOT.home
WITHIN = 1e-4  # [m] by which a linear look at a curved way may be wrong


def lowest(commands):
    """Of both hands over the table or within the workspace, whichever is less [m]."""
    return min(AROUND.nearest(command.q) for command in commands[::3])


def hand_speeds(commands, period=0.004):
    places = np.array(
        [[pose[:3, 3] for pose in KINEMATICS.forward(c.q).values()] for c in commands]
    )
    return np.linalg.norm(np.diff(places, axis=0), axis=2) / period


def lowering(bench):
    """Both hands forward and down, to 8 cm below the table, in two seconds."""
    change = np.append(np.tile([-0.8, 0, 0, 1.15, 0, 0, 0], 2), [0, 0])
    begin = bench.time
    return lambda time: HOME + np.clip((time - begin) / 2.0, 0.0, 1.0) * change


def follow(bench, motion, seconds):
    bench.commands = []
    for _ in range(round(seconds / 0.2)):
        bench.send(motion)
        bench.run(0.2)


def test_a_plan_through_the_table_slides_along_it():
    bench = Bench().armed()
    motion = lowering(bench)
    assert AROUND.nearest(motion(np.inf)[:14]) < -0.07
    follow(bench, motion, 3.0)
    assert lowest(bench.commands) > -WITHIN
    assert (bench.status.mode, bench.status.reason) == (Mode.ACTIVE, Reason.WORKSPACE)
    assert 'mm beyond the table' in bench.status.text
    before, after = (KINEMATICS.forward(q)['left'][:3, 3] for q in (HOME[:14], bench.pose[:14]))
    assert after[0] - before[0] > 0.07  # it went on where it may
    assert lowest(bench.commands[-1:]) < 0.003


def test_hands_stay_within_the_workspace():
    bench = Bench().armed()
    start = bench.time
    reach = np.append(OUTWARD * np.tile([-0.4, 1.3, 0, 1.2, 0, 0, 0], 2), [0, 0])
    reach[[7, 10]] = reach[[0, 3]]
    follow(bench, lambda t: HOME + np.clip((t - start) / 2.0, 0.0, 1.0) * reach, 3.0)
    assert lowest(bench.commands) > -WITHIN
    assert bench.status.reason is Reason.WORKSPACE
    assert 'end of the workspace' in bench.status.text


def test_hands_below_the_table_go_up_but_not_down():
    pose = HOME.copy()
    pose[[3, 10]] += 0.9  # forearms hang down
    assert AROUND.nearest(pose[:14]) < -0.05
    bench = Bench(pose=pose.copy()).armed()
    down = np.append(np.tile([0, 0, 0, 0.3, 0, 0, 0], 2), [0, 0])
    deepest = lowest(bench.commands[-1:])
    start = bench.time
    follow(bench, lambda t: pose + np.clip(t - start, 0, 1) * down, 1.0)
    assert lowest(bench.commands) > deepest - WITHIN
    start, now = bench.time, bench.pose.copy()
    follow(bench, lambda t: now + np.clip((t - start) / 2, 0, 1) * (HOME - now), 3.0)
    np.testing.assert_allclose(bench.pose, HOME, atol=0.01)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1))
def test_whatever_is_asked_for_hands_keep_out_and_keep_their_speed(seed):
    random, bench = np.random.default_rng(seed), Bench().armed()
    bench.commands = []
    for _ in range(6):
        goal, start, pose = random.uniform(-1.5, 1.5, 14), bench.time, bench.pose.copy()
        goal = pose + np.append(np.clip(goal, -0.9, 0.9), [0, 0])
        bench.send(lambda t, g=goal, s=start, p=pose: p + np.clip((t - s) / 0.7, 0, 1) * (g - p))
        bench.run(0.6)
    assert lowest(bench.commands) > -5 * WITHIN
    assert hand_speeds(bench.commands).max() < 1.03 * SAFETY.hand_speed


def test_a_fast_plan_is_slowed_where_a_hand_is_too_fast_and_reached_later():
    bench, start = Bench().armed(), None
    start = bench.time
    out = 0.9 * np.append(OUTWARD * np.tile([1, 1, 0, 1, 0, 0, 0], 2), [0, 0])
    motion = lambda t: HOME + np.clip((t - start) / 0.3, 0, 1) * out  # noqa: E731
    limited = replace(SAFETY, hand_speed=0.3, workspace=None, world_off=['workspace'])
    bench.controller = Controller(ControlParameters(), limited, ROBOT, KINEMATICS)
    bench.armed()
    start = bench.time
    follow(bench, motion, 4.0)
    speeds = hand_speeds(bench.commands)
    assert 0.28 < speeds.max() < 0.31
    np.testing.assert_allclose(bench.pose, motion(1e9), atol=0.01)


@pytest.mark.parametrize('missing', ['table_height', 'workspace', 'hand_speed', 'contact_torque'])
def test_what_nobody_decided_about_refuses_to_arm_and_says_which_key(missing):
    for off, armed in (([], False), ([missing], True)):
        safety = replace(SAFETY, **{missing: None}, world_off=off)
        bench = Bench()
        bench.controller = Controller(ControlParameters(), safety, ROBOT, KINEMATICS)
        bench.run(0.1)
        done, text = bench.controller.arm(bench.time)
        assert done is armed
        if not armed:
            assert f'{missing} not set' in text and 'config/safety.yaml' in text
            assert bench.controller.awaited.reason is Reason.WORLD_NOT_SET


@pytest.mark.parametrize(
    ('changes', 'says'),
    [
        ({'world_off': ['table']}, "world_off: expected some of table_height, .* got 'table'"),
        ({'world_off': ['hand_speed']}, 'hand_speed is switched off and set to'),
        ({'workspace': [1.0, 0.0, 0, 1, 0, 1]}, 'workspace: expected 6 values'),
        ({'contact_torque': [1.0]}, 'contact_torque: expected 7 values'),
    ],
)
def test_what_makes_no_sense_is_refused_at_the_start(changes, says):
    with pytest.raises(ValueError, match=says):
        Controller(ControlParameters(), replace(SAFETY, **changes), ROBOT, KINEMATICS)


def test_defaults_guard_nothing_and_so_do_not_arm():
    assert walls(SafetyParameters()) == ()
    assert walls(replace(SAFETY, workspace=None)) == (
        Wall('table', (0.0, 0.0, 1.0), SAFETY.table_height),
    )


def moving(time):
    """A posture with its velocity and acceleration, (14,) each."""
    wave, rate = 0.4 * np.sin(2.0 * time) * OUTWARD, 2.0
    return (
        HOME[:14] + wave,
        0.4 * rate * np.cos(rate * time) * OUTWARD,
        -(rate**2) * wave,
    )


@pytest.mark.parametrize('push', [0.0, 12.0])
def test_gravity_and_motion_are_no_contact_and_a_push_is(push):
    import pinocchio

    model = arm_model()
    model.armature = np.full(14, 0.01)
    data = model.createData()
    observer = ContactObserver(np.array(SAFETY.contact_torque * 2), SAFETY.contact_time)
    outside, felt = np.zeros(14), None
    for k in range(1000):
        now = 10.0 + 0.004 * k
        q, dq, ddq = moving(now)
        outside[3] = push if k >= 500 else 0.0
        torque = pinocchio.rnea(model, data, q, dq, ddq) + model.armature * ddq - outside
        body = np.zeros((3, 29))
        body[:, ARM_MOTORS] = q, dq, torque
        observer.observe(body[0], body[1], body[2], now)
        if felt is None and observer.found(now):
            felt = now - 12.0
    assert (felt is not None) == bool(push)
    np.testing.assert_allclose(observer.torque, outside, atol=0.5)
    if felt is not None:
        assert observer.found(now) == (3, pytest.approx(push, abs=0.5))
        assert SAFETY.contact_time <= felt < SAFETY.contact_time + 0.1


def test_an_arm_that_is_pushed_holds_yields_and_goes_on_when_it_is_free():
    bench = Bench().armed()
    model = KINEMATICS.gravity
    still = lambda _t: HOME  # noqa: E731

    def run(seconds, push, away):
        for _ in range(round(seconds / 0.004)):
            bench.facts['torque'] = np.zeros(29)
            bench.facts['torque'][ARM_MOTORS] = model(bench.pose[:14])
            bench.facts['torque'][18] -= push
            bench.follows = not away
            bench.run(0.004)

    run(0.5, 0.0, False)
    assert bench.send(still)
    run(0.3, 0.0, False)
    assert bench.status.mode is Mode.ACTIVE
    bench.pose[3] += 0.1  # somebody holds the left elbow there, against its command
    run(0.4, 11.0, True)
    assert (bench.status.mode, bench.status.reason) == (Mode.HOLD, Reason.CONTACT)
    assert bench.status.limiting_joint == 'left_elbow_joint'
    np.testing.assert_allclose(bench.commands[-1].q[3], bench.pose[3], atol=0.01)
    assert not bench.send(still)
    run(1.5, 0.0, False)
    assert bench.send(still)
    run(0.1, 0.0, False)
    assert bench.status.mode is Mode.ACTIVE


def test_a_contact_that_lasts_hands_the_arms_back():
    bench = Bench().armed()
    for _ in range(round(2.6 / 0.004)):
        bench.facts['torque'] = np.zeros(29)
        bench.facts['torque'][ARM_MOTORS] = KINEMATICS.gravity(bench.pose[:14])
        bench.facts['torque'][18] -= 14.0
        bench.run(0.004)
    assert (bench.status.mode, bench.status.reason) == (Mode.DISARMING, Reason.CONTACT)


def test_what_is_off_at_the_robot_does_not_stop_a_simulation(tmp_path):
    robots = tmp_path / 'safety.yaml'
    robots.write_text(
        config_path('safety.yaml').read_text().rstrip() + '\n    world_off: [table_height]\n'
    )
    simulated = load(SafetyParameters, robots, config_path('sim_world.yaml'))
    assert unset(simulated) == '' and simulated.table_height is not None
