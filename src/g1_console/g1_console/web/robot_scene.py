"""The robot as it is, and as a ghost where the present chunk leads, in viser's scene."""

from __future__ import annotations

import numpy as np
import pinocchio
import viser
from numpy.typing import NDArray

from g1_console.plan_view import hand_paths
from g1_console.web.meshes import joint_meshes
from g1_console.web.robot_figure import RobotFigure, furnish
from g1_console.web.running_system import PlannedChunk
from g1_description import Robot
from g1_description.kinematics import ArmKinematics
from g1_description.urdf import urdf

Array = NDArray[np.float64]

_GHOST = (60, 170, 255)
_HANDS = {'left': (60, 130, 255), 'right': (255, 90, 180)}
_STALE = 1.0  # [s] after its end that a plan is still shown


class RobotScene:
    """One robot with a ghost of its arms; joints are nested as in the URDF, so that one that turns
    is one message.
    """

    def __init__(self, server: viser.ViserServer, robot: Robot) -> None:
        model = pinocchio.buildModelFromXML(urdf())
        meshes = joint_meshes(model)
        furnish(server)
        self._robot = robot
        self._body = RobotFigure(server, '/robot', model, meshes, robot)
        first = model.getJointId(robot.arm_joints[0])
        arms = [m for m in meshes if m.joint >= first]
        self._ghost = RobotFigure(server, '/ghost', model, arms, robot, _GHOST)
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
