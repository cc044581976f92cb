"""The simulated tasks: a task is one file here, of the task's name, with a class `Task`."""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from g1_sim import scenery


@dataclass(frozen=True)
class Waypoint:
    """One goal of the scripted expert.

    pose: (4, 4) grasp frame of the right hand in the world (x out of the fingers, y the closing
    direction), or None: stay. gripper: opening per finger on arrival [m]. duration: time to get
    there [s], lengthened where a joint would be too fast. straight: the hand moves along a line,
    otherwise the joints move in proportion.
    """

    pose: NDArray[np.float64] | None
    gripper: float
    duration: float
    straight: bool = False


def grasp_pose(
    position: ArrayLike, tilt: float, back: float = 0.0, up: float = 0.0
) -> NDArray[np.float64]:
    """A hand (4, 4) that reaches from the right shoulder straight towards `position` [m].

    tilt: of its approach, downwards [rad]; the closing direction is level.
    back, up: how far the hand still is from `position`, towards the shoulder and above [m].
    """
    point = np.array(position, float)
    away = point[:2] - scenery.SHOULDER
    forward = np.append(away / np.linalg.norm(away), 0.0)
    pose = np.eye(4)
    approach = np.cos(tilt) * forward - np.sin(tilt) * np.array([0.0, 0.0, 1.0])
    sideways = np.cross((0.0, 0.0, 1.0), forward)
    pose[:3, :3] = np.stack((approach, sideways, np.cross(approach, sideways)), axis=1)
    pose[:3, 3] = point - back * forward + (0.0, 0.0, up)
    return pose


class SimTask(ABC):
    """What a task adds to the robot's simulation.

    World frame: x forward, y left, z up from the floor, the robot's pelvis above the origin.
    """

    #: Name of the task's file.
    name: str
    #: The body that has to be picked up.
    object: str = 'object'
    #: Seconds after which an attempt has failed.
    time_limit: float = 15.0

    @abstractmethod
    def build(self, spec: mujoco.MjSpec) -> None:
        """Adds the room and the task's objects to the robot's spec."""

    @abstractmethod
    def arrange(self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Puts the objects at random places, with random yaw and colours."""

    @abstractmethod
    def success(self, model: mujoco.MjModel, data: mujoco.MjData) -> bool:
        """Whether the task is done at this moment."""

    @abstractmethod
    def plan(self, model: mujoco.MjModel, data: mujoco.MjData) -> list[Waypoint]:
        """The expert's way, made from the poses of the objects alone."""

    def randomise(
        self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator
    ) -> None:
        """A new scene from the model as it was built: objects, light, a slightly moved camera."""
        scenery.vary_view(model, rng)
        self.arrange(model, data, rng)
        mujoco.mj_forward(model, data)


def simulated_tasks() -> tuple[str, ...]:
    """Names of the tasks that have a file here, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def load_task(name: str) -> SimTask:
    """The task of that name. Raises ValueError naming the simulated tasks when there is none."""
    if name not in simulated_tasks():
        raise ValueError(
            f'no simulated task {name!r}; expected one of: {", ".join(simulated_tasks())}'
        )
    task: SimTask = import_module(f'{__name__}.{name}').Task()
    task.name = name
    return task
