"""What can be seen in a simulation: where things and hands are, and who touches what."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from g1_description import load_robot
from g1_description.kinematics import Side
from g1_sim.scenery import TABLE_TOP
from g1_sim.waypoints import HANDS, inverse

Array = NDArray[np.float64]

_STILL, _STILL_TURNING = 0.03, 0.5  # [m/s, rad/s] below which a thing is at rest


class Scene:
    """A look at the present state of model and data; copies nothing. World frame."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self.model, self.data = model, data
        self._robot = model.body('pelvis').id
        joints = [model.joint(name) for name in load_robot().action_joints]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._qvel = np.array([joint.dofadr[0] for joint in joints])
        mirrors = [f'{side}_gripper_mirror_joint' for side in ('left', 'right')]
        self._mirrors = np.array([model.joint(name).qposadr[0] for name in mirrors])

    @property
    def posture(self) -> Array:
        """(16,) measured positions in chunk order [rad, m]."""
        return self.data.qpos[self._qpos]

    @posture.setter
    def posture(self, posture: Array) -> None:
        self.data.qpos[self._qpos] = posture
        self.data.qpos[self._mirrors] = posture[14:]

    @property
    def velocity(self) -> Array:
        """(16,) measured velocities in chunk order [rad/s, m/s]."""
        return self.data.qvel[self._qvel]

    @property
    def pelvis(self) -> Array:
        """(3,) where poses of the kinematics are measured from [m]."""
        return self.data.body('pelvis').xpos

    def position(self, body: str) -> Array:
        """(3,) of a body's origin [m]."""
        return self.data.body(body).xpos.copy()

    def pose(self, body: str) -> Array:
        """(4, 4) of a body."""
        return _pose(self.data.body(body).xpos, self.data.body(body).xmat)

    def axis(self, body: str, index: int = 2) -> Array:
        """(3,) the body's x, y or z axis in the world."""
        return self.data.body(body).xmat.reshape(3, 3)[:, index].copy()

    def seen_from(self, body: str, other: str) -> Array:
        """(3,) the origin of `other` in the frame of `body` [m]."""
        return (inverse(self.pose(body)) @ self.pose(other))[:3, 3]

    def joint(self, name: str) -> float:
        """Position of a hinge [rad] or slide [m]."""
        return float(self.data.joint(name).qpos[0])

    def hand(self, side: Side) -> Array:
        """(4, 4) grasp frame of a hand."""
        site = self.data.site(f'{side}_grasp')
        return _pose(site.xpos, site.xmat)

    def opening(self, side: Side) -> float:
        """Of a gripper [m a finger]."""
        return self.joint(f'{side}_gripper_joint')

    @property
    def things(self) -> list[str]:
        """Names of the bodies that lie or stand about loosely."""
        free = self.model.jnt_type == mujoco.mjtJoint.mjJNT_FREE
        return [self.model.body(body).name for body in self.model.jnt_bodyid[free]]

    def near(self, point: Array, within: float = 0.10) -> bool:
        """Whether anything that can be moved has its origin or part near a point [m]."""
        movable = self.model.body_weldid[self.model.geom_bodyid] != 0
        movable &= self.model.body_rootid[self.model.geom_bodyid] != self._robot
        away = np.linalg.norm(self.data.geom_xpos - point, axis=1) - self.model.geom_rbound
        return bool((away[movable] < within).any())

    def held(self, body: str) -> bool:
        """Whether any part of the robot touches a body."""
        return any(self.model.body_rootid[other] == self._robot for other in self._touched_by(body))

    def lifted(self, body: str) -> bool:
        """Whether it is in a hand and touches nothing else."""
        others = self._touched_by(body)
        return bool(others) and all(self.model.body_rootid[o] == self._robot for o in others)

    def holder(self, body: str) -> Side | None:
        """The hand that has a body between its fingers."""
        others = self._touched_by(body)
        for side in HANDS:
            fingers = {
                self.model.body(f'{side}_{finger}_finger_link').id
                for finger in ('gripper', 'gripper_mirror')
            }
            if fingers <= others:
                return side
        return None

    def underside(self, body: str) -> float:
        """Height of the lowest point of the boxes around a body's shapes [m]."""
        geoms = np.flatnonzero(self.model.geom_bodyid == self.model.body(body).id)
        boxes, turns = self.model.geom_aabb[geoms], self.data.geom_xmat[geoms][:, 6:]
        low = (turns * boxes[:, :3]).sum(axis=1) - (np.abs(turns) * boxes[:, 3:]).sum(axis=1)
        return float((self.data.geom_xpos[geoms, 2] + low).min())

    def grip(self, side: Side, body: str) -> Array:
        """(4, 4) the body in the frame of the hand that holds it."""
        return inverse(self.hand(side)) @ self.pose(body)

    def touching(self, body: str, other: str) -> bool:
        """Whether two bodies touch."""
        return self.model.body(other).id in self._touched_by(body)

    def overlaps(self, depth: float) -> set[tuple[int, int]]:
        """What is in one another by more than `depth` [m]: pairs of root bodies; the robot is one.

        As of the last `mj_collision`.
        """
        deep = self.data.contact.geom[self.data.contact.dist < -depth]
        roots = np.sort(self.model.body_rootid[self.model.geom_bodyid[deep]], axis=1)
        return {(one, other) for one, other in roots.tolist()}

    def settled(self, body: str, share: float = 1.0) -> bool:
        """Whether a free body has come to rest, to a share of the speed that is allowed."""
        velocity = self.data.joint(body).qvel
        return bool(
            np.linalg.norm(velocity[:3]) < share * _STILL
            and np.linalg.norm(velocity[3:]) < share * _STILL_TURNING
        )

    def upright(self, body: str, within: float = 0.3) -> bool:
        """Whether the body's z axis is up, within an angle [rad]."""
        return bool(self.data.body(body).xmat[8] > np.cos(within))

    def fallen(self, body: str) -> bool:
        """Whether it is off the table, or about to hit the floor."""
        return bool(self.data.body(body).xpos[2] < TABLE_TOP - 0.05)

    def _touched_by(self, body: str) -> set[int]:
        wanted = self.model.body(body).id
        pairs = self.model.geom_bodyid[self.data.contact.geom]
        return {*pairs[(pairs == wanted).any(axis=1)].ravel().tolist()} - {wanted}


def _pose(position: Array, matrix: Array) -> Array:
    pose = np.eye(4)
    pose[:3, :3] = matrix.reshape(3, 3)
    pose[:3, 3] = position
    return pose
