"""The robot's meshes in viser's scene, moved by joint angles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pinocchio
import viser

from g1_console.web.meshes import JointMesh
from g1_description import Robot

_SMALLEST = 1e-3  # [rad, m]; a joint that moved less is not sent anew
_SHADE = 0.8  # so that the ghost stands out from the URDF's light grey
_PHONE = 600  # [px] of the window


def furnish(server: viser.ViserServer) -> None:
    """Floor, light, and where a viewer stands."""
    server.scene.set_up_direction('+z')
    server.scene.configure_default_lights(cast_shadow=False)
    server.scene.configure_environment_map(None)  # drawn in software, the costliest of all
    server.scene.add_light_ambient('/light', intensity=1.6)
    server.scene.add_grid('/floor', width=4.0, height=4.0, cell_size=0.25, section_size=1.0)
    server.initial_camera.position = (1.9, -1.1, 1.75)
    server.initial_camera.look_at = (0.1, 0.0, 0.95)
    server.on_client_connect(_look_over_the_sheet)


class RobotFigure:
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

    def move(self, posture: Mapping[str, float]) -> None:
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


def _look_over_the_sheet(client: viser.ClientHandle) -> None:
    """On a phone the panels are a sheet over the lower half: the robot goes to the upper one."""
    if client.camera.image_width < _PHONE:
        client.camera.position = (3.4, -2.0, 1.2)
        client.camera.look_at = (0.1, 0.0, -0.2)
