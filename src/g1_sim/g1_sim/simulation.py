"""The simulated robot, table and objects: MuJoCo behind the robot's commands. No ROS, no clock."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from g1_description import load_robot
from g1_ros.config import load_tasks
from g1_sim.motors import MotorCommand, MotorLaw
from g1_sim.rendering import no_device
from g1_sim.robot_model import mujoco_spec
from g1_sim.scene import Scene
from g1_sim.tasks import SimTask, load_task

#: What `SimTask.randomise` may change in the model; put back before every reset.
_SCENE_FIELDS = ('body_', 'geom_', 'site_', 'mat_', 'light_', 'cam_')


class Simulation:
    """A G1 whose pelvis is fixed, before the table of one task.

    The world frame has x forward, y left, and the pelvis at (0, 0, 0.793) m.
    """

    def __init__(self, task: str, seed: int, variant: str = '') -> None:
        """Builds the scene. Raises ValueError naming the tasks or variants there are for others."""
        self.task: SimTask = load_task(task, variant)
        robot = load_robot()
        spec = mujoco_spec()
        robot_joints = [joint.name for joint in spec.joints]
        self.task.build(spec)
        _add_overview(spec)
        self.model: mujoco.MjModel = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.scene = Scene(self.model, self.data)

        joints = [self.model.joint(name) for name in robot.state_joints]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._qvel = np.array([joint.dofadr[0] for joint in joints])
        kept = [self.model.joint(name) for name in robot_joints]
        self._robot_qpos = np.array([joint.qposadr[0] for joint in kept])
        self._robot_qvel = np.array([joint.dofadr[0] for joint in kept])
        self._motors = np.array([self.model.actuator(joint.name).id for joint in robot.joints])
        self._grippers = np.array([self.model.actuator(name).id for name in robot.gripper_joints])
        self._stroke = robot.gripper_stroke
        self._open_motors()

        posture = np.array([joint.home for joint in robot.joints])
        self._law = MotorLaw(
            posture,
            np.array([joint.kp for joint in robot.joints]),
            np.array([joint.kd for joint in robot.joints]),
        )
        self._home = np.concatenate((posture, [robot.gripper_home] * 2))
        self._scene = {
            name: getattr(self.model, name).copy()
            for name in dir(self.model)
            if name.startswith(_SCENE_FIELDS)
        }
        self._renderers: dict[tuple[int, int], mujoco.Renderer] = {}
        self.reset(seed)

    def reset(self, seed: int, *, keep_robot: bool = False) -> None:
        """The scene that belongs to `seed`: robot in its built-in posture, objects newly placed.

        With `keep_robot` the robot, its commands and the clock carry on: only the scene is new.
        """
        qpos, qvel = self.data.qpos[self._robot_qpos], self.data.qvel[self._robot_qvel]
        ctrl, time = self.data.ctrl.copy(), self.data.time
        for name, value in self._scene.items():
            getattr(self.model, name)[:] = value
        mujoco.mj_resetData(self.model, self.data)
        if keep_robot:
            self.data.qpos[self._robot_qpos], self.data.qvel[self._robot_qvel] = qpos, qvel
            self.data.ctrl[:], self.data.time = ctrl, time
        else:
            for name, value in zip(load_robot().state_joints, self._home, strict=True):
                self._place(name, value)
            self.apply(MotorCommand())
            self.set_grippers(*self._home[-2:])
        self.task.randomise(self.model, self.data, np.random.default_rng(seed))

    def step(self) -> None:
        """Advances the physics by one time step, `model.opt.timestep` = 0.002 s."""
        mujoco.mj_step(self.model, self.data)

    def apply(self, command: MotorCommand) -> None:
        """Lets the motors follow `command` until the next one."""
        drive = self._law.drive(command)
        self.data.ctrl[self._motors] = drive.feedforward
        self.model.actuator_biasprm[self._motors, 1] = -drive.kp
        self.model.actuator_biasprm[self._motors, 2] = -drive.kd

    def set_grippers(self, left: float, right: float) -> None:
        """Opening of the left and right gripper [m a finger], limited to the stroke."""
        self.data.ctrl[self._grippers] = np.clip((left, right), 0.0, self._stroke)

    @property
    def time(self) -> float:
        """Simulated time [s]."""
        return float(self.data.time)

    @property
    def positions(self) -> NDArray[np.float64]:
        """(31,) joint positions in the order of `robot.state_joints` [rad, gripper m]."""
        return self.data.qpos[self._qpos]

    @property
    def velocities(self) -> NDArray[np.float64]:
        """(31,) joint velocities [rad/s, gripper m/s]."""
        return self.data.qvel[self._qvel]

    @property
    def accelerations(self) -> NDArray[np.float64]:
        """(31,) joint accelerations of the last step [rad/s^2, gripper m/s^2]."""
        return self.data.qacc[self._qvel]

    @property
    def torques(self) -> NDArray[np.float64]:
        """(29,) motor torques of the last step [N m]."""
        return self.data.actuator_force[self._motors]

    @property
    def instruction(self) -> str:
        """The sentence a policy is given: the task's own, or that of its name in tasks.yaml."""
        return self.task.instruction or load_tasks().get(self.task.name, self.task.name)

    def success(self) -> bool:
        """Whether the task is done in the present state."""
        return self.task.success(self.scene)

    def progress(self) -> str:
        """The stage of the task reached in the present state, one of `task.stages`."""
        return self.task.progress(self.scene)

    def recall(self, seed: int, qpos: NDArray[np.float64]) -> None:
        """The scene of `seed` at rest, everything where another simulation has it: `qpos` (nq,)."""
        self.reset(seed)
        self.data.qpos[:] = qpos
        mujoco.mj_forward(self.model, self.data)

    def show(self, qpos: NDArray[np.float64]) -> None:
        """Takes over `qpos` (nq,) of another simulation of the same task, for rendering only."""
        self.data.qpos[:] = qpos
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def render(self, camera: str, width: int, height: int) -> NDArray[np.uint8]:
        """Image (height, width, 3) RGB of the camera 'head' or 'overview'.

        Raises RenderingError where nothing can be drawn.
        """
        renderer = self._renderers.get((width, height))
        if renderer is None:
            try:
                renderer = mujoco.Renderer(self.model, height, width)
            except (ImportError, RuntimeError) as error:
                raise no_device(error) from None
            renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
            renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
            self._renderers[width, height] = renderer
        renderer.update_scene(self.data, camera)
        return renderer.render()

    def close(self) -> None:
        """Frees the renderers."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _open_motors(self) -> None:
        """Makes each motor a PD with the gains of `apply`; its damping is integrated implicitly."""
        self.model.actuator_gainprm[self._motors, 0] = 1.0
        self.model.actuator_biastype[self._motors] = mujoco.mjtBias.mjBIAS_AFFINE
        self.model.actuator_ctrllimited[self._motors] = (
            False  # the torque is limited, by forcerange
        )

    def _place(self, joint: str, position: float) -> None:
        self.data.joint(joint).qpos[0] = position
        if joint in load_robot().gripper_joints:
            self.data.joint(joint.replace('_joint', '_mirror_joint')).qpos[0] = position


def _add_overview(spec: mujoco.MjSpec) -> None:
    """A third-person camera in front of the table, images up to 1280x720, and a bright sky."""
    position = np.array((0.78, -0.84, 1.38))
    backward = position - np.array((0.31, 0.0, 0.87))
    right = np.cross((0.0, 0.0, 1.0), backward)
    up = np.cross(backward, right)
    camera = spec.worldbody.add_camera(name='overview', pos=position, fovy=39.0)
    camera.alt.type = mujoco.mjtOrientation.mjORIENTATION_XYAXES
    camera.alt.xyaxes = np.concatenate((right, up))
    spec.visual.global_.offwidth = 1280
    spec.visual.global_.offheight = 720
    spec.add_texture(
        name='sky',
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=(0.75, 0.80, 0.86),
        rgb2=(0.45, 0.46, 0.48),
        width=64,
        height=384,
    )
