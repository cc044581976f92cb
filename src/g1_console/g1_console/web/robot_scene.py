"""The robot as it is, and as a ghost where the present chunk leads, in viser's scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pinocchio
import viser
from numpy.typing import NDArray

from g1_console.plan_view import hand_paths
from g1_console.web.meshes import JointMesh, joint_meshes
from g1_console.web.running_system import PlannedChunk
from g1_description import Robot
from g1_description.kinematics import ArmKinematics
from g1_description.urdf import urdf

Array = NDArray[np.float64]

_SMALLEST = 1e-3  # [rad, m]; a joint that moved less is not sent anew
_SHADE = 0.8  # so that the ghost stands out from the URDF's light grey
_GHOST = (60, 170, 255)
_HANDS = {'left': (60, 130, 255), 'right': (255, 90, 180)}
_PHONE = 600  # [px] of the window
_STALE = 1.0  # [s] after its end that a plan is still shown


class RobotScene:
    """One robot with a ghost of its arms; joints are nested as in the URDF, so that one that turns
    is one message.
    """

    def __init__(self, server: viser.ViserServer, robot: Robot) -> None:
        model = pinocchio.buildModelFromXML(urdf())
        meshes = joint_meshes(model)
        server.scene.set_up_direction('+z')
        server.scene.configure_default_lights(cast_shadow=False)
        server.scene.configure_environment_map(None)  # drawn in software, the costliest of all
        server.scene.add_light_ambient('/light', intensity=1.6)
        server.scene.add_grid('/floor', width=4.0, height=4.0, cell_size=0.25, section_size=1.0)
        server.initial_camera.position = (1.9, -1.1, 1.75)
        server.initial_camera.look_at = (0.1, 0.0, 0.95)
        server.on_client_connect(_look_over_the_sheet)
        self._robot = robot
        self._body = _Figure(server, '/robot', model, meshes, robot)
        first = model.getJointId(robot.arm_joints[0])
        arms = [m for m in meshes if m.joint >= first]
        self._ghost = _Figure(server, '/ghost', model, arms, robot, _GHOST)
        self._ghost.visible = False
        self._kinematics = ArmKinematics()
        self._paths = {
            side: server.scene.add_line_segments(
                f'/plan/{side}', np.zeros((1, 2, 3)), colour, thickness=0.006, visible=False
            )
            for side, colour in _HANDS.items()
        }
        for path in self._paths.values():
            path.position = (0.0, 0.0, robot.pelvis_height)
        self._shown: PlannedChunk | None = None

    def show(self, state: Array, plan: PlannedChunk | None, now: float) -> None:
        """state: (31,) of `robot.state_joints` [rad, m]; now [s], on the clock of plans."""
        posture = dict(zip(self._robot.state_joints, state.tolist(), strict=True))
        self._body.move(posture)
        leads = plan is not None and now < plan.stamp + plan.reach + _STALE
        if plan is not None and leads:
            target = dict(zip(plan.joints, plan.positions[-1].tolist(), strict=True))
            self._ghost.move({**posture, **target})
            if plan is not self._shown:
                self._draw(plan)
        self._shown = plan
        if self._ghost.visible != leads:
            self._ghost.visible = leads
            for path in self._paths.values():
                path.visible = leads

    def _draw(self, plan: PlannedChunk) -> None:
        try:
            paths = hand_paths(plan.joints, plan.positions, self._kinematics)
        except ValueError:
            return  # control says what is wrong with it
        for side, path in paths.items():
            if len(path) > 1:
                self._paths[side].points = np.stack((path[:-1], path[1:]), axis=1)


def _look_over_the_sheet(client: viser.ClientHandle) -> None:
    """On a phone the panels are a sheet over the lower half: the robot goes to the upper one."""
    if client.camera.image_width < _PHONE:
        client.camera.position = (3.4, -2.0, 1.2)
        client.camera.look_at = (0.1, 0.0, -0.2)


class _Figure:
    """Some of the robot's meshes under one name, moved by joint angles."""

    def __init__(
        self,
        server: viser.ViserServer,
        name: str,
        model: pinocchio.Model,
        meshes: Sequence[JointMesh],
        robot: Robot,
        colour: tuple[int, int, int] | None = None,
    ) -> None:
        self._model, self._data = model, model.createData()
        self._q = pinocchio.neutral(model)
        self._root = server.scene.add_frame(name, show_axes=False)
        self._root.position = (0.0, 0.0, robot.pelvis_height)
        pinocchio.forwardKinematics(model, self._data, self._q)
        names = [name]
        self._frames: list[viser.FrameHandle] = [self._root]
        for joint in range(1, model.njoints):
            names.append(f'{names[model.parents[joint]]}/{model.names[joint]}')
            frame = server.scene.add_frame(names[-1], show_axes=False)
            self._frames.append(frame)
            self._place(joint, frame)
        for number, mesh in enumerate(meshes):
            red, green, blue = (round(_SHADE * 255 * value) for value in mesh.colour)
            server.scene.add_mesh_simple(
                f'{names[mesh.joint]}/mesh{number}',
                mesh.vertices,
                mesh.faces,
                color=colour or (red, green, blue),
                opacity=None if colour is None else 0.35,
                flat_shading=True,
                cast_shadow=False,  # they cost a phone more than all else
                receive_shadow=False,
            )
        self._index = {model.names[j]: model.joints[j].idx_q for j in range(1, model.njoints)}

    @property
    def visible(self) -> bool:
        """Whether it is shown."""
        return bool(self._root.visible)

    @visible.setter
    def visible(self, visible: bool) -> None:
        self._root.visible = visible

    def move(self, posture: dict[str, float]) -> None:
        """Turns the joints named to these angles [rad, m]."""
        q = self._q.copy()
        for name, value in posture.items():
            q[self._index[name]] = value
            mirror = name.replace('_gripper_', '_gripper_mirror_')
            if mirror != name:
                q[self._index[mirror]] = value
        moved = np.flatnonzero(np.abs(q - self._q) > _SMALLEST)
        if not len(moved):
            return
        self._q[moved] = q[moved]
        pinocchio.forwardKinematics(self._model, self._data, self._q)
        for joint in moved + 1:  # every joint has one coordinate
            self._place(int(joint), self._frames[joint])

    def _place(self, joint: int, frame: viser.FrameHandle) -> None:
        placement = self._data.liMi[joint]
        x, y, z, w = pinocchio.Quaternion(placement.rotation).coeffs()
        frame.wxyz = (w, x, y, z)
        if not np.array_equal(frame.position, placement.translation):
            frame.position = placement.translation
