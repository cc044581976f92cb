"""Arms that would touch each other or the body slide along the margin, and may part again."""

import functools
import multiprocessing
import os
import random
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from controller_bench import OUTWARD, PERIOD, ROBOT, SAFETY, TIMES, Bench, still
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_walks import keeps_the_margin

from g1_control.clearance import Clearance
from g1_control.collision import SelfCollision
from g1_control.path_distances import PathDistances
from g1_control.safety import Mode, Reason, walls
from g1_description import SIDES
from g1_description.kinematics import ArmKinematics
from g1_description.urdf import urdf
from g1_sim.meshes import read_stl

MARGIN = SAFETY.self_collision_margin
HOME = ROBOT.home[:14]
COLLISION = SelfCollision(ROBOT)
KINEMATICS = ArmKinematics()


def together(time_of_contact):
    """Both hands meet in front of the chest."""
    inward = np.append(-0.9 * OUTWARD * np.tile([0, 0, 1, 0, 0, 0, 1], 2), [0.0, 0.0])

    def motion(time):
        return ROBOT.home + np.clip((time - time_of_contact) / 1.5, -0.3, 1.0) * inward

    return motion


def into_the_torso(start):
    inward = np.zeros(16)
    inward[[1, 2]] = -0.3, -0.9

    def motion(time):
        return ROBOT.home + np.clip((time - start) / 1.5, 0.0, 1.0) * inward

    return motion


def nearest(bench):
    return min(COLLISION.distances(command.q).min() for command in bench.commands[::5])


def test_home_and_reaching_to_a_table_are_clear_of_everything():
    assert COLLISION.distances(HOME).min() > 5 * MARGIN
    poses = KINEMATICS.forward(HOME)
    for x in (0.3, 0.36, 0.42):
        for y in (-0.05, 0.1, 0.25):
            q = HOME
            for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
                target = poses[side].copy()
                target[:3, 3] = x, sign * max(y, 0.08), 0.1
                q = KINEMATICS.inverse(side, target, q)
            assert COLLISION.distances(q).min() > MARGIN, (x, y)


def test_the_robot_is_alike_on_both_sides():
    mirrored = np.concatenate((OUTWARD[7:] * HOME[:7], OUTWARD[7:] * HOME[7:]))
    np.testing.assert_allclose(np.roll(mirrored, 7), HOME)
    left_in, right_in = HOME.copy(), HOME.copy()
    left_in[2] -= 0.8
    right_in[9] += 0.8
    np.testing.assert_allclose(
        np.sort(COLLISION.distances(left_in)), np.sort(COLLISION.distances(right_in)), atol=1e-3
    )


@pytest.mark.parametrize('motion', [together, into_the_torso])
def test_a_motion_that_would_touch_keeps_the_margin_and_every_limit(motion):
    bench = Bench().armed()
    bench.commands = []
    bench.send(motion(bench.time))
    bench.run(0.9)
    assert (bench.status.mode, bench.status.reason) == (Mode.ACTIVE, Reason.SELF_COLLISION)
    assert 'slides along the margin: ' in bench.status.text
    bench.run(1.1)
    assert bench.status.mode is Mode.HOLD
    assert MARGIN <= nearest(bench) < MARGIN + 0.003
    velocity = np.array([command.dq for command in bench.commands])
    assert np.abs(velocity[-1]).max() < 1e-6
    limit = np.array(SAFETY.arm_acceleration * 2)
    assert (np.abs(np.diff(velocity, axis=0)) <= limit * PERIOD + 1e-9).all()


def test_where_no_way_is_left_the_arms_hold_and_whatever_leads_away_is_followed():
    bench = Bench().armed()
    for _ in range(12):
        assert bench.send(into_the_torso(bench.time))
        bench.run(0.25)
    stuck = bench.pose.copy()
    share = (TIMES / TIMES[-1])[:, None]
    assert bench.send(still, positions=stuck + share * (ROBOT.home - stuck))
    bench.run(2.2)
    np.testing.assert_allclose(bench.pose, ROBOT.home, atol=0.02)


def test_a_plan_through_the_body_goes_round_where_there_is_a_way():
    """The forearm is to pass the chest too near while the shoulder goes on: it is not kept."""
    bench = Bench().armed()
    start, swing = bench.time, np.zeros(16)
    swing[0] = 0.8  # the shoulder's pitch

    def motion(time):
        s = np.clip((time - start) / 3.0, 0.0, 1.0)
        inward = np.eye(16)[2] * -0.9 * np.sin(np.pi * s)  # into the torso and out again
        return ROBOT.home + s * swing + inward

    bench.commands = []
    for _ in range(20):
        assert bench.send(motion, latency=0.1)
        bench.run(0.2)
    assert nearest(bench) >= MARGIN
    assert bench.status.holds == 0
    np.testing.assert_allclose(bench.pose, motion(start + 9.0), atol=0.01)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1))
def test_whatever_is_asked_for_the_margin_is_kept(seed):
    keeps_the_margin(seed, chunks=8)


def test_no_part_comes_near_between_two_postures_on_the_way_to_rest():
    """A hand goes round the other's wrist at speed, past a corner of a few millimetres."""
    keeps_the_margin(17040, chunks=8)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_whatever_is_asked_for_the_margin_is_kept_in_a_thousand_runs(capsys):
    first = int(os.environ.get('FIRST_SEED', random.randrange(10**9)))
    with capsys.disabled():
        print(f'\nseeds from {first} on: FIRST_SEED={first} runs them again')
    with multiprocessing.get_context('spawn').Pool(os.cpu_count()) as pool:
        seeds = range(first, first + 1000)
        runs = pool.imap(functools.partial(keeps_the_margin, chunks=20), seeds)
        for count, _ in enumerate(runs, start=1):
            if count % 100 == 0:
                with capsys.disabled():
                    print(f'{count} runs keep it')


@pytest.mark.parametrize('seed', [12, 24, 39])
def test_arms_put_too_near_keep_what_they_gain_on_their_way_out(seed):
    """Within the margin they do not go back, also not by braking at speed."""
    random, bench = np.random.default_rng(seed), Bench()
    while not -0.004 < COLLISION.nearest(bench.pose[:14]) < MARGIN - 0.001:
        pose = ROBOT.home + np.append(random.normal(0.0, 0.7, 14), [0.0, 0.0])
        bench.pose = np.clip(pose, ROBOT.action_lower, ROBOT.action_upper)
    bench.armed()
    bench.commands = []
    for _ in range(8):
        here = bench.positions[-1] if bench.commands else bench.pose
        goal = here + random.normal(0.0, 0.6, 16)
        way = np.linspace(0.0, 1.0, 16)[:, None] ** random.uniform(0.4, 2.0)
        bench.send(still, positions=here + way * (goal - here))
        bench.run(float(random.uniform(0.05, 0.6)))
    distances = np.array([COLLISION.nearest(command.q) for command in bench.commands])
    gained = np.minimum(np.maximum.accumulate(distances), MARGIN)
    assert gained[-1] > distances[0] + 0.001
    corners = 5e-4  # [m] that an average over 40 ms cuts
    assert (distances > gained - corners).all(), f'{(gained - distances).max() * 1e3:.3f} mm lost'


def near_postures(count):
    random = np.random.default_rng(3)
    return [HOME + random.normal(0.0, 0.5, 14) for _ in range(count)]


def test_gradients_are_those_of_the_distances():
    clearance = Clearance(ROBOT, walls(SAFETY))
    q = HOME.copy()
    q[[2, 9]] -= 0.7, -0.6
    pairs = np.flatnonzero(clearance.distances(q) < 0.2)
    assert len(pairs) > 5
    path_distances = PathDistances(clearance.model, clearance.geometry)
    distances, gradients = path_distances.gradients(np.array((HOME, q)), pairs)
    step = 1e-6
    for joint in range(14):
        ahead, behind = (clearance.distances(q + s * np.eye(14)[joint]) for s in (step, -step))
        np.testing.assert_allclose(
            gradients[1, :, joint], (ahead - behind)[pairs] / (2 * step), atol=1e-6
        )
    np.testing.assert_allclose(distances[1], clearance.distances(q)[pairs])


def test_no_distance_changes_by_more_than_the_reach_of_the_joints_that_move():
    clearance = Clearance(ROBOT, walls(SAFETY))
    path_distances = PathDistances(clearance.model, clearance.geometry)
    everything = np.arange(len(clearance.pairs))
    for first, second in zip(near_postures(40), near_postures(41)[1:], strict=True):
        path = first + np.linspace(0.0, 1.0, 30)[:, None] * (second - first)
        distances = path_distances.along(path, everything)
        change = np.abs(second - first) @ path_distances.reach.T
        assert (np.abs(distances[-1] - distances[0]) <= change + 1e-9).all()
        ends = [0, -1]
        low = path_distances.lowest(path[ends], everything, distances[ends])
        assert (low <= distances.min(axis=0) + 1e-9).all()


def test_capsules_cover_the_forearm_and_the_wrist():
    root = ElementTree.fromstring(urdf())
    for name in ('left_elbow_link', 'left_wrist_pitch_link', 'left_shoulder_yaw_link'):
        mesh = root.find(f'link[@name="{name}"]/visual/geometry/mesh').get('filename')
        points = read_stl(Path(mesh.removeprefix('file://'))).reshape(-1, 3)
        inside = np.zeros(len(points), bool)
        for capsule in ROBOT.capsules:
            if capsule.link == name:
                start, along = np.array(capsule.start), np.subtract(capsule.end, capsule.start)
                share = np.clip((points - start) @ along / (along @ along), 0, 1)
                gap = np.linalg.norm(points - start - share[:, None] * along, axis=1)
                inside |= gap < capsule.radius + 0.005
        assert inside.mean() > 0.98, name
