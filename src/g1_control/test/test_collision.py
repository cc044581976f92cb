"""Arms that would touch each other or the body are stopped before, and may part again."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from controller_bench import OUTWARD, PERIOD, ROBOT, SAFETY, TIMES, Bench, still

from g1_control.collision import SelfCollision
from g1_control.safety import Mode, Reason
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
            for side, sign in (('left', 1.0), ('right', -1.0)):
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
def test_a_motion_that_would_touch_is_stopped_smoothly_at_the_margin(motion):
    bench = Bench().armed()
    bench.commands = []
    bench.send(motion(bench.time))
    bench.run(2.0)
    assert (bench.status.mode, bench.status.reason) == (Mode.HOLD, Reason.SELF_COLLISION)
    assert ' would come to ' in bench.status.text
    assert MARGIN - 1e-3 < nearest(bench) < MARGIN + 0.02
    velocity = np.array([command.dq for command in bench.commands])
    assert np.abs(velocity[-1]).max() < 1e-6
    limit = np.array(SAFETY.arm_acceleration * 2)
    assert (np.abs(np.diff(velocity, axis=0)) <= limit * PERIOD + 1e-9).all()


def test_a_chunk_further_in_is_refused_and_one_that_leads_out_is_followed():
    bench = Bench().armed()
    motion = into_the_torso(bench.time)
    bench.send(motion)
    bench.run(2.0)
    assert bench.status.reason is Reason.SELF_COLLISION
    stuck = bench.pose.copy()
    further = stuck + np.eye(16)[2] * -0.3
    share = (TIMES / TIMES[-1])[:, None]
    assert not bench.send(still, positions=stuck + share * (further - stuck))
    assert bench.status.rejection_reason is Reason.SELF_COLLISION
    assert bench.status.mode is Mode.HOLD
    assert bench.send(still, positions=stuck + share * (ROBOT.home - stuck))
    bench.run(1.8)
    np.testing.assert_allclose(bench.pose, ROBOT.home, atol=0.02)  # and brakes


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
