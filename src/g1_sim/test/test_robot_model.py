"""The robot in MuJoCo: it sees, stands still, and its grippers hold things."""

import mujoco
import numpy as np
import pytest

from g1_description import load_robot
from g1_description.kinematics import ArmKinematics
from g1_sim.robot_model import mujoco_spec
from g1_sim.simulation import Simulation

ROBOT = load_robot()
TABLE = 0.82  # [m] height of its top
SPOT = np.array([0.33, 0.1])  # [m] where the object stands


class Motors:
    """The robot at home, its joints driven as the firmware would: gravity torques and PD."""

    def __init__(self, spec=None):
        self.model = (spec or mujoco_spec()).compile()
        self.data = mujoco.MjData(self.model)
        self.kinematics = ArmKinematics()
        names = [joint.name for joint in ROBOT.joints]
        self.qpos = [self.model.joint(name).qposadr[0] for name in names]
        self.dofs = [self.model.joint(name).dofadr[0] for name in names]
        self.actuators = [self.model.actuator(name).id for name in names]
        self.kp = np.array([joint.kp for joint in ROBOT.joints])
        self.kd = np.array([joint.kd for joint in ROBOT.joints])
        self.target = np.array([joint.home for joint in ROBOT.joints])
        self.data.qpos[self.qpos] = self.target
        for name in ROBOT.gripper_joints:
            self.data.actuator(name).ctrl[0] = ROBOT.gripper_home
            for joint in (name, name.replace('gripper', 'gripper_mirror')):
                self.data.joint(joint).qpos[0] = ROBOT.gripper_home

    def run(self, seconds, arms=None):
        """Moves the arms to `arms` (14,) at constant speed within `seconds`."""
        start = self.target[15:].copy()
        steps = round(seconds / self.model.opt.timestep)
        for step in range(steps):
            if arms is not None:
                self.target[15:] = start + (arms - start) * (step + 1) / steps
            q, dq = self.data.qpos[self.qpos], self.data.qvel[self.dofs]
            torque = self.kp * (self.target - q) - self.kd * dq
            torque[15:] += self.kinematics.gravity(q[15:])
            self.data.ctrl[self.actuators] = torque
            mujoco.mj_step(self.model, self.data)

    def opening(self, joint):
        return self.data.joint(joint).qpos[0]


def test_mujoco_names_joints_and_actuators_as_the_rest_of_the_suite():
    model = mujoco_spec().compile()
    joints = {model.joint(index).name for index in range(model.njnt)}
    mirrors = {'left_gripper_mirror_joint', 'right_gripper_mirror_joint'}
    assert joints == set(ROBOT.state_joints) | mirrors
    actuators = {model.actuator(index).name for index in range(model.nu)}
    assert actuators == set(ROBOT.state_joints)
    assert model.nq == 33  # the pelvis is fixed
    assert model.body('pelvis').pos[2] == pytest.approx(ROBOT.pelvis_height)


def test_camera_sees_what_its_intrinsics_say():
    model = mujoco_spec().compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    camera = ROBOT.embodiment.cameras['head']
    index = model.camera(camera.name).id
    assert model.cam_fovy[index] == pytest.approx(2 * np.degrees(np.arctan(240 / 617)), abs=1e-3)
    # d435_link of the vendor's URDF, and the colour sensor 15 mm to its left, 47.6 degrees down.
    torso = data.body('torso_link').xpos
    offset = [0.0576235, 0.01753 + 0.015, 0.42987]
    np.testing.assert_allclose(data.cam_xpos[index] - torso, offset, atol=1e-4)
    right, up, backward = data.cam_xmat[index].reshape(3, 3).T
    pitch = 0.8307767
    np.testing.assert_allclose(right, [0, -1, 0], atol=1e-6)
    np.testing.assert_allclose(backward, [-np.cos(pitch), 0, np.sin(pitch)], atol=1e-6)
    optical = data.body(camera.frame).xmat.reshape(3, 3)
    np.testing.assert_allclose(optical, np.stack([right, -up, -backward], axis=1), atol=1e-6)


@pytest.mark.parametrize('side', ['left', 'right'])
def test_a_wrist_camera_sees_the_fingertips_and_little_of_the_gripper(side):
    simulation = Simulation('pick_and_place', 0)  # with open grippers
    model, data = simulation.model, simulation.data
    camera = ROBOT.embodiment.cameras[f'{side}_wrist']
    assert camera.intrinsics is not None
    index = model.camera(camera.name).id
    rotation = data.cam_xmat[index].reshape(3, 3)
    for finger, sign in (('gripper', 1.0), ('gripper_mirror', -1.0)):
        body = data.body(f'{side}_{finger}_finger_link')
        tip = body.xpos + body.xmat.reshape(3, 3) @ (0.062, sign * 0.006, 0.0)
        x, y, z = rotation.T @ (tip - data.cam_xpos[index])
        column = camera.intrinsics.cx + camera.intrinsics.fx * x / -z
        row = camera.intrinsics.cy - camera.intrinsics.fy * y / -z
        assert 0.1 * camera.width < column < 0.9 * camera.width
        assert 0.3 * camera.height < row < 0.8 * camera.height
    renderer = mujoco.Renderer(model, 120, 160)
    renderer.enable_segmentation_rendering()
    renderer.update_scene(data, camera.name)
    geoms = renderer.render()[:, :, 0]
    renderer.close()
    owners = model.body(f'{side}_gripper_link').id, model.body(f'{side}_wrist_yaw_link').id
    gripper = np.isin(np.where(geoms >= 0, model.geom_bodyid[geoms], -1), owners)
    assert gripper.mean() < 1 / 3


def test_the_arms_hold_still_under_pd_and_gravity_torques():
    motors = Motors()
    motors.run(1.0)
    error = motors.data.qpos[motors.qpos][15:] - motors.target[15:]
    assert np.abs(error).max() < 5e-3
    assert np.abs(motors.data.qvel[motors.dofs][15:]).max() < 1e-2
    assert motors.data.ncon == 0


def test_fingers_open_and_close_together_over_the_whole_stroke():
    motors = Motors()
    for goal in (0.0, ROBOT.gripper_stroke, 0.02):
        for name in ROBOT.gripper_joints:
            motors.data.actuator(name).ctrl[0] = goal
        motors.run(0.8)
        for name in ROBOT.gripper_joints:
            assert motors.opening(name) == pytest.approx(goal, abs=1e-3)
            mirror = motors.opening(name.replace('gripper', 'gripper_mirror'))
            assert mirror == pytest.approx(motors.opening(name), abs=1e-3)


def with_table_and(shapes):
    """The robot at a table with one free object made of (type, size, height of its centre)."""
    spec = mujoco_spec()
    box = mujoco.mjtGeom.mjGEOM_BOX
    spec.worldbody.add_geom(type=box, size=[0.3, 0.5, 0.02], pos=[0.55, 0, TABLE - 0.02])
    body = spec.worldbody.add_body(name='object', pos=[*SPOT, TABLE])
    body.add_freejoint()
    for kind, size, height in shapes:
        body.add_geom(type=kind, size=size, pos=[0, 0, height], mass=0.03)
    return spec


def hand_pose(height, back=0.0):
    """Left grasp over the spot, pitched down by 0.6 rad and drawn back along the fingers [m]."""
    cos, sin = np.cos(0.6), np.sin(0.6)
    pose = np.eye(4)
    pose[:3, :3] = [[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]
    pose[:3, 3] = [*SPOT, TABLE + height - ROBOT.pelvis_height]
    pose[:3, 3] -= back * pose[:3, 0]
    return pose


BOX, CYLINDER = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER


@pytest.mark.parametrize(
    ('shapes', 'height', 'width'),
    [
        ([(BOX, [0.015, 0.015, 0.015], 0.015)], 0.02, 0.03),
        ([(CYLINDER, [0.02, 0.03, 0], 0.03)], 0.035, 0.04),
        ([(CYLINDER, [0.004, 0.075, 0], 0.08), (CYLINDER, [0.02, 0.003, 0], 0.003)], 0.08, 0.008),
    ],
    ids=['3 cm cube', '4 cm cylinder', '8 mm stem'],
)
def test_a_grasped_object_stays_in_the_hand_when_lifted(shapes, height, width):
    motors = Motors(with_table_and(shapes))
    q = ROBOT.home[:14]
    for back in np.linspace(0.08, 0.0, 9):
        q = motors.kinematics.inverse('left', hand_pose(height, back), q)
        motors.run(1.5 if back == 0.08 else 0.1, q)
    motors.data.actuator('left_gripper_joint').ctrl[0] = 0.0
    motors.run(0.6)
    assert motors.opening('left_gripper_joint') == pytest.approx(width / 2, abs=1e-3)
    for lift in np.linspace(0.0, 0.08, 9)[1:]:
        q = motors.kinematics.inverse('left', hand_pose(height + lift), q)
        motors.run(0.15, q)
    lifted = motors.data.body('object').xpos.copy()
    assert lifted[2] > TABLE + 0.065
    motors.run(2.0)
    np.testing.assert_allclose(motors.data.body('object').xpos, lifted, atol=5e-3)
