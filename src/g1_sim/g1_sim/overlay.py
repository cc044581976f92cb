"""The camera's picture beside what the simulated camera sees from the same posture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g1_description import load_robot
from g1_sim.simulation import Simulation

Picture = NDArray[np.uint8]

_EDGE = 40.0  # brightness a pixel that an outline is
_COLOUR = (255, 40, 40)


def simulated_view(task: str, joints: dict[str, float]) -> Picture:
    """(H, W, 3) of the simulated head camera, with the robot's joints as measured [rad].

    Joints that are not named stay as they are in the built-in posture.
    """
    camera = load_robot().embodiment.cameras['head']
    simulation = Simulation(task, 0)
    qpos = simulation.data.qpos.copy()
    for name in load_robot().state_joints:
        if name not in joints:
            continue
        both = (name, name.replace('_joint', '_mirror_joint'))  # fingers of a gripper
        for joint in both if name in load_robot().gripper_joints else both[:1]:
            qpos[simulation.model.joint(joint).qposadr[0]] = joints[name]
    simulation.show(qpos)
    try:
        return simulation.render(camera.name, camera.width, camera.height)
    finally:
        simulation.close()


def overlay(real: Picture, simulated: Picture) -> Picture:
    """(H, 2 W, 3): both blended, then the real one with the outlines of the simulated one in red.

    Both (H, W, 3). Where the cameras agree, outlines lie on what they belong to.
    """
    blended = (real.astype(np.uint16) + simulated) // 2
    outlined = real.copy()
    outlined[_outlines(simulated)] = _COLOUR
    return np.concatenate([blended.astype(np.uint8), outlined], axis=1)


def _outlines(picture: Picture) -> NDArray[np.bool_]:
    """(H, W) where the brightness changes by more than `_EDGE` over two pixels."""
    grey = picture.astype(float).mean(axis=2)
    edges = np.zeros(grey.shape, bool)
    edges[1:-1, 1:-1] = (
        np.hypot(grey[1:-1, 2:] - grey[1:-1, :-2], grey[2:, 1:-1] - grey[:-2, 1:-1]) > _EDGE
    )
    return edges
